import { isIPv4, isIPv6 } from 'node:net';

/**
 * Writes 4 bytes as IPv4 and 16 as IPv6 (RFC 5952: lower case, no leading zeros, the first longest run of two or more
 * zero groups as `::`, IPv4-mapped with dots). `undefined` for any other length.
 */
export function formatAddress(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join('.');
  return bytes.length === 16 ? formatIpv6(bytes) : undefined;
}

/**
 * Reads an address to its 4 or 16 bytes: four decimal numbers without leading zeros, or any spelling of RFC 4291.
 * `undefined` for anything else, an IPv6 address with a zone too.
 */
export function parseAddress(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.').map(Number));
  return isIPv6(text) && !text.includes('%') ? parseIpv6(text) : undefined;
}

/** Reads `10.1.0.0/24` or `fd00:1::/64`. `undefined` for anything else, and where host bits are set. */
export function parsePrefix(text: string): { readonly address: Uint8Array; readonly bits: number } | undefined {
  const [, addressText = '', bitsText = ''] = /^([^/]*)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  const address = parseAddress(addressText);
  const bits = Number(bitsText);
  if (address === undefined || bits > 8 * address.length || !isNetwork(address, bits)) return undefined;
  return { address, bits };
}

function isNetwork(address: Uint8Array, bits: number): boolean {
  return address.every((byte, at) => (byte & (0xff >> Math.min(8, Math.max(0, bits - 8 * at)))) === 0);
}

// Only of what isIPv6 holds for.
function parseIpv6(text: string): Uint8Array {
  const [head = '', tail = ''] = text.split('::');
  const front = parseGroups(head);
  const back = parseGroups(tail);
  const bytes = new Uint8Array(16);
  bytes.set(front);
  bytes.set(back, 16 - back.length);
  return bytes;
}

function parseGroups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const word = Number.parseInt(group, 16);
    return [word >> 8, word & 0xff];
  });
}

function formatIpv6(bytes: Uint8Array): string {
  if (isMappedIpv4(bytes)) return `::ffff:${bytes.subarray(12).join('.')}`;
  const groups = Array.from({ length: 8 }, (_, at) => ((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0));
  const run = longestZeroRun(groups);
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

function isMappedIpv4(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  groups.forEach((group, at) => {
    if (group !== 0) start = at + 1;
    else if (at + 1 - start > best.length) best = { start, length: at + 1 - start };
  });
  return best;
}
