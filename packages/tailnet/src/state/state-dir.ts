/**
 * The directory in which one node keeps its keys: 0700, one writer, nobody else's files.
 *
 * ```
 * state.json        the document                       state.json.bak   the same, written second
 * state.json.damaged  what was found instead of it     lock.N           the writer (host/instance-lock.ts)
 * engine.log, engine.log.1, engine.sock, engine.sock.lock.N   the engine's, when it runs from here
 * ```
 */

import { join, resolve } from 'node:path';
import { acquireInstanceLock, type InstanceLock, isLockEntry, type LockAttempt } from '@heddle/host/instance-lock';
import { TailnetError } from '../tailnet-error.ts';
import type { LogLine } from '../types.ts';
import { codeOf, type FileSystem, foreign, isSomebodyElses, nodeFileSystem, toStateError } from './state-files.ts';

/** An open state directory: this process is its only writer until `close()`. */
export interface StateDir {
  readonly path: string;
  readonly fs: FileSystem;
  readonly log: (line: LogLine) => void;
  /** Gives the directory free; further calls do nothing. */
  close(): void;
}

export interface StateDirOptions {
  /** Told what was repaired. Default: nowhere. */
  readonly log?: ((line: LogLine) => void) | undefined;
  /** For tests. */
  readonly fs?: FileSystem | undefined;
}

/** The document and its copy. */
export const STATE_FILE = 'state.json';
export const STATE_COPY = 'state.json.bak';
export const STATE_DAMAGED = 'state.json.damaged';

/**
 * Makes sure that the directory exists, is ours alone and has mode 0700, without becoming its writer. Returns its
 * absolute path.
 * @throws {TailnetError} `state/foreign`, `state/disk-full`, `state/unwritable`.
 */
export function prepareStateDir(path: string, options: StateDirOptions = {}): string {
  const fs = options.fs ?? nodeFileSystem;
  const absolute = resolve(path);
  try {
    fs.mkdirSync(absolute, { recursive: true, mode: 0o700 });
    refuseForeign(fs, absolute);
    tightenMode(fs, absolute, 0o700, options.log ?? (() => {}));
    return absolute;
  } catch (error) {
    if (codeOf(error) === 'EEXIST' || codeOf(error) === 'ENOTDIR') throw foreign(absolute, 'is not a directory');
    throw toStateError(error, absolute);
  }
}

/**
 * Prepares the directory and becomes its writer.
 * @throws {TailnetError} `state/locked` (names the process) and those of {@link prepareStateDir}.
 */
export function openStateDir(path: string, options: StateDirOptions = {}): StateDir {
  const absolute = prepareStateDir(path, options);
  const lock = lockStateDir(absolute);
  const log = options.log ?? (() => {});
  return { path: absolute, fs: options.fs ?? nodeFileSystem, log, close: () => lock.release() };
}

/** Narrows the mode of something that is ours and says so in the log. */
export function tightenMode(fs: FileSystem, path: string, mode: number, log: (line: LogLine) => void): void {
  if (process.platform === 'win32') return;
  let found: number;
  try {
    found = fs.lstatSync(path).mode & 0o777;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw toStateError(error, path);
  }
  if ((found & ~mode) === 0) return;
  fs.chmodSync(path, mode);
  const message = `"${path}" was open to other users (mode ${found.toString(8)}); it is now ${mode.toString(8)}`;
  log({ level: 'warn', message, fields: { code: 'state/mode-tightened' } });
}

function lockStateDir(path: string): InstanceLock {
  let attempt: LockAttempt;
  try {
    attempt = acquireInstanceLock(join(path, LOCK));
  } catch (error) {
    throw toStateError(error, path);
  }
  if (attempt.kind === 'acquired') return attempt.lock;
  throw new TailnetError('state/locked', `State "${path}" is in use by process ${attempt.pid}`, { isRetryable: true });
}

// Runs before anything is changed: a mistyped path must not cost a stranger's directory its mode.
function refuseForeign(fs: FileSystem, path: string): void {
  const stat = fs.lstatSync(path);
  if (!stat.isDirectory()) throw foreign(path, 'is not a directory');
  if (isSomebodyElses(stat.uid)) throw foreign(path, `belongs to user ${stat.uid}`);
  const stranger = fs.readdirSync(path).find((name) => !isOurName(name));
  if (stranger !== undefined) throw foreign(path, `contains "${stranger}"`);
}

const LOCK = 'lock';
const ENGINE_SOCKET = 'engine.sock';

function isOurName(name: string): boolean {
  if (isLockEntry(LOCK, name) || isLockEntry(`${ENGINE_SOCKET}.lock`, name)) return true;
  return OUR_NAMES.has(name);
}

const OUR_NAMES = new Set([
  STATE_FILE,
  STATE_COPY,
  STATE_DAMAGED,
  `.${STATE_FILE}.tmp`,
  `.${STATE_COPY}.tmp`,
  'engine.log',
  'engine.log.1',
  ENGINE_SOCKET,
  'lost+found',
]);
