import { closeSync, openSync, readSync } from 'node:fs';
import { RegistrationError } from './registration-error.ts';

/** What lets a node register: one of the two, never both. */
export type RegistrationCredential =
  | { readonly kind: 'registration-token'; readonly token: string }
  /** A JSON web token of a signed-in person. */
  | { readonly kind: 'access-token'; readonly token: string };

/** The flags a token can come by. A value of `-` means standard input. */
export interface TokenFlags {
  readonly registrationToken: string | undefined;
  readonly registrationTokenFile: string | undefined;
  readonly accessToken: string | undefined;
  readonly accessTokenFile: string | undefined;
}

/** The server's own limit is 255 characters; signed tokens are longer. */
const LENGTH_MAX = { 'registration-token': 255, 'access-token': 8192 } as const;
const FILE_BYTES_MAX = 16_384;

/**
 * Takes the one token that was given. What it is never becomes part of a message.
 * @param readInput Standard input to its end, for `-`.
 * @throws {RegistrationError} `registration/token-choice`, `registration/bad-token`.
 */
export async function readCredential(
  flags: TokenFlags,
  readInput: () => Promise<string>,
): Promise<RegistrationCredential> {
  const given = SOURCES.filter(({ name }) => flags[name] !== undefined);
  const source = given[0];
  if (source === undefined) throw new RegistrationError('registration/token-choice', 'No token is given');
  if (given.length > 1) {
    const message = `More than one token is given (${given.map(({ flag }) => flag).join(', ')})`;
    throw new RegistrationError('registration/token-choice', message);
  }
  const value = flags[source.name] as string;
  if (source.isFile) return check(source.kind, readTokenFile(value, source.flag), `the file of ${source.flag}`);
  if (value === '-') return check(source.kind, await readInput(), 'standard input');
  return check(source.kind, value, source.flag);
}

const SOURCES: readonly {
  readonly name: keyof TokenFlags;
  readonly flag: string;
  readonly kind: RegistrationCredential['kind'];
  readonly isFile: boolean;
}[] = [
  { name: 'registrationToken', flag: '--registration-token', kind: 'registration-token', isFile: false },
  { name: 'registrationTokenFile', flag: '--registration-token-file', kind: 'registration-token', isFile: true },
  { name: 'accessToken', flag: '--access-token', kind: 'access-token', isFile: false },
  { name: 'accessTokenFile', flag: '--access-token-file', kind: 'access-token', isFile: true },
];

// Printable ASCII without blanks: nothing that could end a header line.
function check(kind: RegistrationCredential['kind'], text: string, source: string): RegistrationCredential {
  const token = text.trim();
  if (/^[\x21-\x7e]+$/.test(token) && token.length <= LENGTH_MAX[kind]) return { kind, token };
  const message = `There is not one token of at most ${LENGTH_MAX[kind]} characters in ${source}`;
  throw new RegistrationError('registration/bad-token', message);
}

function readTokenFile(path: string, flag: string): string {
  const buffer = Buffer.alloc(FILE_BYTES_MAX);
  try {
    const fd = openSync(path, 'r');
    try {
      return buffer.toString('utf8', 0, readSync(fd, buffer, 0, FILE_BYTES_MAX, 0));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new RegistrationError('registration/bad-token', `Cannot read the file of ${flag} "${path}" (${reason})`);
  }
}
