import { randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { reasonOf } from '../socket/socket-path.ts';

/** 32 random bytes in hex; what a person wrote may be shorter. */
const TOKEN_PATTERN = /^[\x21-\x7e]{16,512}$/;

/**
 * Reads the token that lets whoever sends it change interfaces. A missing file is made with a random one, for its owner
 * alone (0600).
 * @throws {TailnetError} `rest/bad-token-file` for one that others can read or change, or that holds no token.
 */
export function readTokenFile(path: string): string {
  try {
    return readToken(openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW), path);
  } catch (error) {
    if (error instanceof TailnetError) throw error;
    if (reasonOf(error) !== 'ENOENT') throw badFile(path, reasonOf(error));
    return makeToken(path);
  }
}

function readToken(fd: number, path: string): string {
  try {
    const { uid, mode } = fstatSync(fd);
    if ((mode & 0o077) !== 0 || (uid !== 0 && uid !== process.geteuid?.())) {
      throw badFile(path, 'other users can read or change it; chown root and chmod 600');
    }
    const token = readFileSync(fd, 'utf8').trim();
    if (TOKEN_PATTERN.test(token)) return token;
    throw badFile(path, 'a token is 16 to 512 characters without blanks');
  } finally {
    closeSync(fd);
  }
}

function makeToken(path: string): string {
  const token = randomBytes(32).toString('hex');
  try {
    writeFileSync(path, `${token}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw badFile(path, reasonOf(error));
  }
  return token;
}

function badFile(path: string, reason: string): TailnetError {
  return new TailnetError('rest/bad-token-file', `Cannot use the token file "${path}": ${reason}`);
}
