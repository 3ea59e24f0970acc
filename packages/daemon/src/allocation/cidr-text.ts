import { decodeAddress, type IpAddress } from '@heddle/proto/ip/address';
import { formatPrefix, type IpPrefix, isInPrefix } from '@heddle/proto/ip/prefix';
import { parseClaimedPrefix } from '../plan/claimed-prefix.ts';

/** What a client wrote, read. */
export type NetworkText =
  | { readonly kind: 'ok'; readonly prefix: IpPrefix }
  | { readonly kind: 'bad-cidr' }
  /** The network that was probably meant: `10.1.0.0/24` for `10.1.0.5/24`. */
  | { readonly kind: 'host-bits'; readonly hint: string };

/**
 * Parses the text of a client as a network with its bits, as in `10.1.0.0/24`. Other programs read a leading zero as octal
 * and three parts as 10.1.0.0: such text is refused, as is a bare address, a zone and IPv4-mapped IPv6. IPv6 may be
 * written in any form of RFC 4291; `formatPrefix` of the result is canonical (RFC 5952).
 */
export function parseNetwork(text: string): NetworkText {
  const network = text.includes('/') ? parseClaimedPrefix(text, false)?.prefix : undefined;
  if (network === undefined) return { kind: 'bad-cidr' };
  const asked = parseClaimedPrefix(text.slice(0, text.indexOf('/')), false)?.prefix;
  const hasHostBits = asked?.address.text !== network.address.text;
  return hasHostBits ? { kind: 'host-bits', hint: formatPrefix(network) } : { kind: 'ok', prefix: network };
}

/**
 * The network of an address, host bits clear.
 * @throws {RangeError} when the family has no such `bits`.
 */
export function networkOf(address: IpAddress, bits: number): IpPrefix {
  checkBits(bits, address);
  return { address: withHostBits(address, bits, 0), bits };
}

/** The first address for a host: behind that of the network itself, which only a prefix of one or two addresses lets a host have. */
export function firstHost({ address, bits }: IpPrefix): IpAddress {
  const { bytes } = networkOf(address, bits).address;
  const last = bytes.length - 1;
  return copyAddress(bytes.map((byte, i) => (i === last && bits < bytes.length * 8 - 1 ? byte + 1 : byte)));
}

/** True for an address that a host may have: not that of the network itself, nor the broadcast of IPv4. */
export function isHostOf({ address, bits }: IpPrefix, host: IpAddress): boolean {
  const network = networkOf(address, bits).address;
  if (!isInPrefix({ address, bits }, host)) return false;
  if (bits >= host.bytes.length * 8 - 1) return true;
  return host.text !== network.text && (host.family === 6 || host.text !== broadcastOf(host, bits).text);
}

/** 24 as 255.255.255.0. @throws {RangeError} unless `bits` is 0–32. */
export function dottedNetmask(bits: number): string {
  if (!Number.isInteger(bits) || bits < 0 || bits > 32) throw new RangeError(`"${bits}" is no size of an IPv4 network`);
  return withHostBits(ALL_ONES, bits, 0).text;
}

/**
 * The last address of the IPv4 network of an address: 10.0.0.255 for 10.0.0.1 and 24.
 * @throws {RangeError} for IPv6, which has no broadcast, and unless `bits` is 0–32.
 */
export function broadcastOf(address: IpAddress, bits: number): IpAddress {
  if (address.family !== 4) throw new RangeError(`"${address.text}" has no broadcast`);
  checkBits(bits, address);
  return withHostBits(address, bits, 0xff);
}

const ALL_ONES: IpAddress = decodeAddress(new Uint8Array(4).fill(0xff), 0, 4);

function withHostBits({ bytes }: IpAddress, bits: number, fill: 0 | 0xff): IpAddress {
  return copyAddress(
    bytes.map((byte, i) => {
      const hostMask = 0xff >> Math.min(8, Math.max(0, bits - i * 8));
      return (byte & ~hostMask) | (fill & hostMask);
    }),
  );
}

function copyAddress(bytes: Uint8Array): IpAddress {
  return decodeAddress(bytes, 0, bytes.length === 4 ? 4 : 16);
}

function checkBits(bits: number, { bytes, family }: IpAddress): void {
  if (!Number.isInteger(bits) || bits < 0 || bits > bytes.length * 8) {
    throw new RangeError(`"${bits}" is no size of an IPv${family} network`);
  }
}
