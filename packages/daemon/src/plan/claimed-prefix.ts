import { decodeAddress } from '@heddle/proto/ip/address';
import { type IpPrefix, isPrefixOfBytes, parsePrefix } from '@heddle/proto/ip/prefix';

/** A prefix somebody uses; host bits are clear. */
export interface ClaimedPrefix {
  readonly prefix: IpPrefix;
  /** True for what merely leads somewhere, false for the addresses of a network itself. */
  readonly isRoute: boolean;
}

const TEXT_LENGTH_MAX = 64;

/** Parses CIDR text; undefined for anything else, and for IPv4 in IPv6 clothes: it would hide an overlap. */
export function parseClaimedPrefix(text: string, isRoute: boolean): ClaimedPrefix | undefined {
  const parsed = text.length > TEXT_LENGTH_MAX ? undefined : parsePrefix(text);
  if (parsed === undefined) return undefined;
  const { family, bytes } = parsed.address;
  if (decodeAddress(bytes, 0, family === 4 ? 4 : 16).family !== family) return undefined;
  const network = decodeAddress(clearHostBits(bytes, parsed.bits), 0, family === 4 ? 4 : 16);
  return { prefix: { address: network, bits: parsed.bits }, isRoute };
}

/** True when one contains the other: two prefixes never overlap otherwise. */
export function hasOverlap(a: IpPrefix, b: IpPrefix): boolean {
  if (a.address.family !== b.address.family) return false;
  return a.bits <= b.bits ? isPrefixOfBytes(a, b.address.bytes, 0) : isPrefixOfBytes(b, a.address.bytes, 0);
}

/** True for the default route and for the parts it is split into: 0.0.0.0/1 and 128.0.0.0/1, 2000::/3. */
export function isDefaultPrefix({ address, bits }: IpPrefix): boolean {
  return bits <= (address.family === 4 ? 1 : 3);
}

/** Judges two prefixes that different devices would have in the kernel, by the table in claims.ts; symmetric. */
export function judgeOverlap(a: ClaimedPrefix, b: ClaimedPrefix): 'refusal' | 'warning' | undefined {
  if (!hasOverlap(a.prefix, b.prefix)) return undefined;
  const wider = a.prefix.bits <= b.prefix.bits ? a : b;
  if (a.prefix.bits === b.prefix.bits || !wider.isRoute) return 'refusal';
  if (!isDefaultPrefix(wider.prefix)) return 'warning';
  return isDefaultPrefix(a.prefix) && isDefaultPrefix(b.prefix) ? 'refusal' : undefined;
}

function clearHostBits(bytes: Uint8Array, bits: number): Uint8Array {
  return bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - i * 8))) & 0xff);
}
