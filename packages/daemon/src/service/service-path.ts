import { Buffer } from 'node:buffer';
import { posix } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';

/** PATH_MAX of macOS without its NUL; Linux allows more. */
export const SERVICE_PATH_BYTES_MAX = 1023;

/**
 * Checks a path that goes into a unit or a plist and returns it without doubled and trailing slashes. Blanks, `%` and `$`
 * are allowed: the writers escape them. Quotes and backslashes are not, because the directives of systemd disagree about
 * them, nor is what XML cannot hold.
 * @param what Whose path, for the message: `the state database`.
 * @throws {TailnetError} `service/bad-path`.
 */
export function checkServicePath(what: string, path: string): string {
  const fault = findFault(path);
  if (fault !== undefined) throw badPath(what, path, fault);
  const plain = posix.normalize(path);
  return plain.endsWith('/') ? plain.slice(0, -1) : plain;
}

/** The error of a path that a service cannot use. */
export function badPath(what: string, path: string, fault: string): TailnetError {
  return new TailnetError('service/bad-path', `Path of ${what} ${JSON.stringify(path.slice(0, 200))} ${fault}`);
}

/** True for the folder itself and what is below it. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
}

const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u{FFFE}\u{FFFF}]/u;
const QUOTE = /["'`\\]/;

function findFault(path: string): string | undefined {
  if (!path.startsWith('/')) return 'is not absolute; give it from the root folder on';
  if (Buffer.byteLength(path) > SERVICE_PATH_BYTES_MAX) return `has more than ${SERVICE_PATH_BYTES_MAX} bytes`;
  if (CONTROL.test(path)) return 'holds a line break or another control character';
  if (QUOTE.test(path)) return 'holds a quotation mark or a backslash; rename it';
  if (path.split('/').includes('..')) return 'holds ".."; give it without';
  return posix.normalize(path) === '/' ? 'is the root folder' : undefined;
}
