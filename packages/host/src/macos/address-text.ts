import { isIPv4, isIPv6 } from 'node:net';
import { formatAddress } from '../netlink/ip-text.ts';

/** Reads IPv4 (four parts, no leading zeros) as 4 bytes and IPv6 as 16. `undefined` for anything else, also with a zone. */
export function parseAddress(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.').map(Number));
  return isIPv6(text) && !text.includes('%') ? parseIpv6(text) : undefined;
}

/** Reads an address and writes it as all of heddle does (RFC 5952). `undefined` as in {@link parseAddress}. */
export function canonicalAddress(text: string): string | undefined {
  const bytes = parseAddress(text);
  return bytes === undefined ? undefined : formatAddress(bytes);
}

/** Writes the network of an address: `10.1.2.3` and 24 give `10.1.2.0/24`. `undefined` when the bits do not fit. */
export function formatNetwork(bytes: Uint8Array, bits: number): string | undefined {
  if (!isPrefixBits(bits, bytes.length)) return undefined;
  const network = formatAddress(bytes.map((byte, at) => byte & maskByte(bits, at)));
  return network === undefined ? undefined : `${network}/${bits}`;
}

/** Writes a netmask of IPv4 with dots. @throws {RangeError} unless the bits are 0–32. */
export function formatNetmask(bits: number): string {
  if (!isPrefixBits(bits, 4)) throw new RangeError(`No netmask of IPv4 has ${bits} bits`);
  return [0, 1, 2, 3].map((at) => maskByte(bits, at)).join('.');
}

/** Counts the bits of a netmask of IPv4, given as a number. `undefined` when its ones are not all in front. */
export function netmaskBits(mask: number): number | undefined {
  const bits = Math.clz32(~mask);
  return mask === (bits === 0 ? 0 : (-1 << (32 - bits)) >>> 0) ? bits : undefined;
}

/** True for what can stand after the `/` of an address of so many bytes. */
export function isPrefixBits(bits: number, addressBytes: number): boolean {
  return Number.isInteger(bits) && bits >= 0 && bits <= 8 * addressBytes;
}

function maskByte(bits: number, at: number): number {
  return 0xff & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * at)));
}

function parseIpv6(text: string): Uint8Array {
  const [head = '', tail] = text.split('::');
  const before = parseGroups(head);
  const after = tail === undefined ? [] : parseGroups(tail);
  const zeros = Array<number>(16 - before.length - after.length).fill(0);
  return Uint8Array.from([...before, ...zeros, ...after]);
}

function parseGroups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
