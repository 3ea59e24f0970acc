import { createHash } from 'node:crypto';

const DEVICE_PREFIX = 'cvpn';
const HASH_DIGITS = 8;
const HASH_SPACE = 36n ** BigInt(HASH_DIGITS);

/** How many names a team may try before it is refused. */
export const DEVICE_ATTEMPT_COUNT_MAX = 64;

/**
 * True for a name that means the same to everybody: 1–15 ASCII characters, beginning with a letter. The kernel accepts
 * more, but expands `%d`, and a leading `-` is an option to `ip`.
 */
export function isDeviceName(name: string): boolean {
  return /^[A-Za-z][A-Za-z0-9_.-]{0,14}$/.test(name) && name !== 'lo' && name !== 'all' && name !== 'default';
}

/** True for a name {@link deriveDeviceName} may have made, for whatever team. */
export function isDerivedDeviceName(name: string): boolean {
  return /^cvpn[0-9a-z]{8}$/.test(name);
}

/** The same 12 characters for a team on every machine; another name for each attempt from 0. */
export function deriveDeviceName(team: string, attempt: number): string {
  const digest = createHash('sha256')
    .update(attempt === 0 ? team : `${team}/${attempt}`)
    .digest();
  const digits = (digest.readBigUInt64BE(0) % HASH_SPACE).toString(36);
  return `${DEVICE_PREFIX}${digits.padStart(HASH_DIGITS, '0')}`;
}
