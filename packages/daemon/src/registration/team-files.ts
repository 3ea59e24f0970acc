/**
 * Single files of a team's folder. Each is replaced as a whole, mode 0600 (temporary file → fsync → rename → fsync of
 * the folder), and read only when it is a regular file of ours: never through a symbolic link.
 */

import { constants } from 'node:fs';
import { join } from 'node:path';
import { codeOf, replaceFile } from '@heddle/tailnet/state/state-files';
import { RegistrationError } from './registration-error.ts';
import { checkTeamFolder, isForeign, type TeamFolder, toFileError, unsafe } from './team-folder.ts';

export type TeamFileName =
  | 'config.yml'
  | 'node.key'
  | 'node.crt'
  | 'ca.crt'
  | 'credentials.json'
  | 'auth-revoked.json'
  | '.pending.json';

/** Larger ones are not ours. */
const FILE_BYTES_MAX = 4_194_304;
/** What is kept of files that can be damaged: the same text, written second. */
const COPY_SUFFIX = '.bak';

/** Reads a file, `undefined` when it is missing. @throws {RegistrationError} `registration/unsafe-folder`, `registration/unwritable`. */
export function readTeamFile(folder: TeamFolder, name: TeamFileName): string | undefined {
  return readOwn(folder, name);
}

/** Replaces a file. @throws {RegistrationError} `registration/unsafe-folder`, `registration/disk-full`, `registration/unwritable`. */
export function writeTeamFile(folder: TeamFolder, name: TeamFileName, text: string): void {
  writeOwn(folder, name, text);
}

/** Replaces a file and then its copy. */
export function writeWithCopy(folder: TeamFolder, name: TeamFileName, text: string): void {
  writeOwn(folder, name, text);
  writeOwn(folder, `${name}${COPY_SUFFIX}`, text);
}

/** Removes a file; a missing one is fine. */
export function removeTeamFile({ path, fs }: TeamFolder, name: TeamFileName): void {
  try {
    fs.unlinkSync(join(path, name));
    if (process.platform === 'win32') return;
    const fd = fs.openSync(path, 'r');
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw toFileError(error, join(path, name));
  }
}

/** A document and whether it came from the copy. */
export interface ReadDocument<T> {
  readonly value: T;
  readonly text: string;
  readonly isFromCopy: boolean;
}

/**
 * Reads a file that has a copy: `undefined` when both are missing. A missing or damaged file is answered from the copy;
 * nothing is written.
 * @param parse `undefined` for a text that is damaged.
 * @throws {RegistrationError} `registration/damaged-file` when the file is damaged and no copy helps.
 */
export function readWithCopy<T>(
  folder: TeamFolder,
  name: TeamFileName,
  parse: (text: string) => T | undefined,
): ReadDocument<T> | undefined {
  const text = readOwn(folder, name);
  const value = text === undefined ? undefined : parse(text);
  if (text !== undefined && value !== undefined) return { value, text, isFromCopy: false };
  const copyText = readOwn(folder, `${name}${COPY_SUFFIX}`);
  const copy = copyText === undefined ? undefined : parse(copyText);
  if (copyText !== undefined && copy !== undefined) return { value: copy, text: copyText, isFromCopy: true };
  if (text === undefined && copyText === undefined) return undefined;
  const message = `"${join(folder.path, name)}" is damaged and so is its copy`;
  throw new RegistrationError('registration/damaged-file', message);
}

/** The text of the copy alone, without judging it. */
export function readCopyText(folder: TeamFolder, name: TeamFileName): string | undefined {
  return readOwn(folder, `${name}${COPY_SUFFIX}`);
}

/** Keeps a text under another name beside the file, and returns the path. */
export function keepAside(folder: TeamFolder, name: TeamFileName, suffix: string, text: string): string {
  writeOwn(folder, `${name}${suffix}`, text);
  return join(folder.path, `${name}${suffix}`);
}

function writeOwn(folder: TeamFolder, name: string, text: string): void {
  const path = join(folder.path, name);
  checkTeamFolder(folder);
  try {
    if (isLink(folder, path)) throw unsafe(path, 'is a symbolic link');
    replaceFile(folder.fs, path, text);
  } catch (error) {
    throw toFileError(error, path);
  }
}

function isLink({ fs }: TeamFolder, path: string): boolean {
  try {
    return fs.lstatSync(path).isSymbolicLink();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

function readOwn(folder: TeamFolder, name: string): string | undefined {
  const path = join(folder.path, name);
  const { fs } = folder;
  checkTeamFolder(folder);
  let fd: number;
  try {
    fd = fs.openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw codeOf(error) === 'ELOOP' ? unsafe(path, 'is a symbolic link') : toFileError(error, path);
  }
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) throw unsafe(path, 'is not a regular file');
    if (isForeign(stat.uid)) throw unsafe(path, `belongs to user ${stat.uid}`);
    if (stat.size > FILE_BYTES_MAX) throw unsafe(path, `has ${stat.size} bytes`);
    return fs.readFileSync(fd, 'utf8');
  } catch (error) {
    throw toFileError(error, path);
  } finally {
    fs.closeSync(fd);
  }
}
