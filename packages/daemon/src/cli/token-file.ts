import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { reasonOf } from '../socket/socket-path.ts';

const FILE_BYTES_MAX = 4096;
/** Nothing in it ends the line of a header. The daemon itself asks for 16 at least. */
const TOKEN_PATTERN = /^[\x21-\x7e]{1,512}$/;
/** Group and others. */
const MODE_OF_OTHERS = 0o077;

/**
 * The one token in a file, for the field Authorization. What the file holds is never part of a message.
 * @throws {TailnetError} `rest/bad-token-file`, also when anybody but the file's owner may read it.
 */
export function readTokenFile(path: string): string {
  const token = readOwnFile(path).trim();
  if (TOKEN_PATTERN.test(token)) return token;
  throw bad(`What is in the token file "${path}" is not one token`);
}

function readOwnFile(path: string): string {
  // A pipe would be waited for without O_NONBLOCK, which Windows does not have.
  const fd = opened(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw bad(`The token file "${path}" is not a file`);
    if (process.platform !== 'win32' && (stat.mode & MODE_OF_OTHERS) !== 0)
      throw bad(`Others may use the token file "${path}": its mode is ${(stat.mode & 0o777).toString(8)}, not 600`);
    const buffer = Buffer.alloc(FILE_BYTES_MAX);
    return buffer.toString('utf8', 0, readSync(fd, buffer, 0, FILE_BYTES_MAX, 0));
  } finally {
    closeSync(fd);
  }
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
