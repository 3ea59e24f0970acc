/** The token that lets whoever sends it change interfaces. What a file holds is never part of a message. */

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { reasonOf } from '../socket/socket-path.ts';

const FILE_BYTES_MAX = 4096;
/** Of the tokens that are made here; others may be shorter. */
const TOKEN_BYTES = 32;
/** Nothing in it ends the line of a header, and nobody guesses it. */
const TOKEN_PATTERN = /^[\x21-\x7e]{16,512}$/;
/** Group and others. */
const MODE_OF_OTHERS = 0o077;

/**
 * Reads the one token of a file.
 * @throws {TailnetError} `rest/bad-token-file`, also when anybody but its owner may read it, or somebody else owns it.
 */
export function readTokenFile(path: string): string {
  const token = readOwnFile(path).trim();
  if (TOKEN_PATTERN.test(token)) return token;
  throw bad(`What is in the token file "${path}" is not one token of 16 to 512 characters`);
}

/**
 * As {@link readTokenFile}; a missing file is made with a random token, for its owner alone (0600). It appears whole, or
 * not at all.
 * @throws {TailnetError} `rest/bad-token-file`.
 */
export function ensureTokenFile(path: string): string {
  if (existsSync(path)) return readTokenFile(path);
  const token = randomBytes(TOKEN_BYTES).toString('hex');
  const draft = `${path}.${randomBytes(DRAFT_MARK_BYTES).toString('hex')}.new`;
  try {
    writeDurably(draft, `${token}\n`);
    // Unlike a rename it replaces nothing: of two daemons one makes the file, and the other reads it.
    linkSync(draft, path);
    return token;
  } catch (error) {
    if (reasonOf(error) === 'EEXIST') return readTokenFile(path);
    throw bad(`Cannot make the token file "${path}" (${reasonOf(error)})`);
  } finally {
    removeQuietly(draft);
  }
}

const DRAFT_MARK_BYTES = 8;

function writeDurably(path: string, text: string): void {
  const fd = openSync(path, 'wx', 0o600);
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was not made, or nobody misses it.
  }
}

function readOwnFile(path: string): string {
  // A pipe would be waited for without O_NONBLOCK, which Windows does not have.
  const fd = opened(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw bad(`The token file "${path}" is not a file`);
    if (process.platform !== 'win32') checkOwner(path, stat);
    const buffer = Buffer.alloc(FILE_BYTES_MAX);
    return buffer.toString('utf8', 0, readSync(fd, buffer, 0, FILE_BYTES_MAX, 0));
  } finally {
    closeSync(fd);
  }
}

function checkOwner(path: string, { uid, mode }: { readonly uid: number; readonly mode: number }): void {
  if ((mode & MODE_OF_OTHERS) !== 0)
    throw bad(`Others may use the token file "${path}": its mode is ${(mode & 0o777).toString(8)}, not 600`);
  if (uid !== 0 && uid !== process.geteuid?.()) throw bad(`The token file "${path}" belongs to user ${uid}`);
}

function opened(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    throw bad(`Cannot read the token file "${path}" (${reasonOf(error)})`);
  }
}

function bad(message: string): TailnetError {
  return new TailnetError('rest/bad-token-file', message);
}
