import { encodeUtf8 } from '../bytes/utf8.ts';

/** Longest DNS label (RFC 1035 §2.3.4). */
export const LABEL_BYTES_MAX = 63;

// Endings that local resolvers put behind a machine's name; inside a tailnet they mean nothing.
const LOCAL_SUFFIXES = ['.local', '.localdomain', '.lan'] as const;
const SEPARATORS = ' .@_';

/**
 * Turns whatever a machine calls itself into one DNS label: letters a–z, digits and inner hyphens. Other characters
 * are dropped, separators become hyphens. Empty when nothing is left, which no server accepts: the caller then needs
 * a name of its own. docs/spec/dns.md#host-names
 */
export function sanitizeHostname(text: string): string {
  let name = text;
  for (const suffix of LOCAL_SUFFIXES) if (name.endsWith(suffix)) name = name.slice(0, -suffix.length);
  const characters = Array.from(encodeUtf8(name).subarray(0, LABEL_BYTES_MAX), (byte) => String.fromCharCode(byte));
  const first = characters.findIndex(isLetterOrDigit);
  if (first < 0) return '';
  const last = characters.findLastIndex(isLetterOrDigit);
  return characters
    .slice(first, last + 1)
    .map(sanitizeCharacter)
    .join('');
}

function sanitizeCharacter(character: string): string {
  if (isLetterOrDigit(character)) return character.toLowerCase();
  return character === '-' || SEPARATORS.includes(character) ? '-' : '';
}

function isLetterOrDigit(character: string): boolean {
  return /[A-Za-z0-9]/.test(character);
}
