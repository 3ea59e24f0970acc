import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from 'node:fs';
import { TailnetError } from '@heddle/tailnet/tailnet-error';

const FILE_BYTES_MAX = 1_024;
/** What RFC 6750 allows in a bearer token, long enough not to be guessed. */
const TOKEN = /^[A-Za-z0-9._~+/-]{16,512}=*$/;

/**
 * Reads the token that lets its holder change interfaces. The file is a regular one of root or of our own user, no one
 * else may read or change it, and it holds one line of 16 to 512 characters.
 * @throws {TailnetError} `rest/bad-token-file`; the message never has the content.
 */
export function readTokenFile(path: string): string {
  const token = readGuarded(path).trim();
  if (!TOKEN.test(token)) throw badFile(path, 'it does not hold one token of 16 to 512 characters');
  return token;
}

// Checked and read through one descriptor, so that nobody can put another file there in between.
function readGuarded(path: string): string {
  const fd = open(path);
  try {
    const fault = faultOf(fstatSync(fd));
    if (fault !== undefined) throw badFile(path, fault);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

function open(path: string): number {
  try {
    // Not blocking: the open of a pipe would wait for a writer.
    return openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    throw badFile(path, (error as NodeJS.ErrnoException).code ?? 'it cannot be opened');
  }
}

function faultOf(file: Stats): string | undefined {
  if (!file.isFile()) return 'it is not a regular file';
  if (file.size > FILE_BYTES_MAX) return `it has more than ${FILE_BYTES_MAX} bytes`;
  const own = process.geteuid?.();
  if (own === undefined) return undefined; // Windows keeps access in lists of its own.
  if (file.uid !== own && file.uid !== 0) return 'it belongs to another user';
  return (file.mode & 0o077) === 0 ? undefined : 'others may read or change it: chmod 600';
}

function badFile(path: string, reason: string): TailnetError {
  return new TailnetError('rest/bad-token-file', `Cannot use the token file "${path}" (${reason})`);
}
