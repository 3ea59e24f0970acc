/**
 * The file operations of the state directory. Every failure becomes a TailnetError that says what to do.
 *
 * A document is replaced as a whole: temporary file → fsync → rename → fsync of the directory, so that a crash or a full
 * disk at any point leaves the old text or the new one (docs/spec/state.md#replace).
 */

import * as nodeFs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { TailnetError } from '../tailnet-error.ts';

/** What the state needs of `node:fs`; tests replace single functions to inject a full disk. */
export type FileSystem = Pick<
  typeof nodeFs,
  | 'chmodSync'
  | 'closeSync'
  | 'fstatSync'
  | 'fsyncSync'
  | 'lstatSync'
  | 'mkdirSync'
  | 'openSync'
  | 'readdirSync'
  | 'readFileSync'
  | 'renameSync'
  | 'unlinkSync'
  | 'writeSync'
>;

export const nodeFileSystem: FileSystem = nodeFs;

/** A document larger than this is not ours. */
const DOCUMENT_BYTES_MAX = 65_536;

/**
 * Replaces the file, mode 0600.
 * @throws {TailnetError} `state/disk-full`, `state/unwritable`; the old file is then untouched.
 */
export function replaceFile(fs: FileSystem, path: string, text: string): void {
  const temporary = join(dirname(path), `.${basename(path)}.tmp`);
  try {
    writeWhole(fs, temporary, new TextEncoder().encode(text));
    fs.renameSync(temporary, path);
    syncDirectory(fs, dirname(path));
  } catch (error) {
    removeQuietly(fs, temporary);
    throw toStateError(error, path);
  }
}

/**
 * Reads a small file of ours, `undefined` when it is missing.
 * @throws {TailnetError} `state/foreign` when it is no regular file, is too large or belongs to somebody else.
 */
export function readOwnFile(fs: FileSystem, path: string): string | undefined {
  const flags = nodeFs.constants.O_RDONLY | (nodeFs.constants.O_NOFOLLOW ?? 0) | (nodeFs.constants.O_NONBLOCK ?? 0);
  let fd: number;
  try {
    fd = fs.openSync(path, flags);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    if (codeOf(error) === 'ELOOP') throw foreign(path, 'is a symbolic link');
    throw toStateError(error, path);
  }
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) throw foreign(path, 'is not a regular file');
    if (isSomebodyElses(stat.uid)) throw foreign(path, `belongs to user ${stat.uid}`);
    if (stat.size > DOCUMENT_BYTES_MAX) throw foreign(path, `has ${stat.size} bytes`);
    return fs.readFileSync(fd, 'utf8');
  } catch (error) {
    throw toStateError(error, path);
  } finally {
    fs.closeSync(fd);
  }
}

/** True when this user id is neither ours nor unknowable (Windows). */
export function isSomebodyElses(uid: number): boolean {
  const own = process.geteuid?.();
  return own !== undefined && uid !== own;
}

export function foreign(path: string, what: string): TailnetError {
  return new TailnetError('state/foreign', `State "${path}" ${what}: not heddle's own; choose another directory`);
}

/** Turns a failed system call into the error the user sees; a TailnetError passes unchanged. */
export function toStateError(error: unknown, path: string): TailnetError {
  if (error instanceof TailnetError) return error;
  const code = codeOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const message = `No space left to write "${path}"; free some and try again, nothing was lost`;
    return new TailnetError('state/disk-full', message, { isRetryable: true, cause: error });
  }
  const reason = code ?? (error instanceof Error ? error.message : String(error));
  return new TailnetError('state/unwritable', `Cannot use state "${path}" (${reason})`, { cause: error });
}

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

function writeWhole(fs: FileSystem, path: string, bytes: Uint8Array): void {
  removeQuietly(fs, path);
  const fd = fs.openSync(path, 'wx', 0o600);
  try {
    for (let offset = 0; offset < bytes.length; ) offset += fs.writeSync(fd, bytes, offset);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

// Windows cannot open a directory; its rename is durable on its own.
function syncDirectory(fs: FileSystem, path: string): void {
  if (process.platform === 'win32') return;
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function removeQuietly(fs: FileSystem, path: string): void {
  try {
    fs.unlinkSync(path);
  } catch {
    // Missing already, or the directory is in a state the caller is about to report.
  }
}
