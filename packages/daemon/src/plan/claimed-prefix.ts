import { decodeAddress } from '@heddle/proto/ip/address';
import { type IpPrefix, isPrefixOfBytes, parsePrefix } from '@heddle/proto/ip/prefix';

/** A prefix somebody uses; host bits are clear. */
export interface ClaimedPrefix {
  readonly prefix: IpPrefix;
  /** True for what merely leads somewhere, false for the addresses of a network itself. */
  readonly isRoute: boolean;
}

const TEXT_LENGTH_MAX = 64;
const MAPPED_IPV4 = parsePrefix('::ffff:0:0/96') as IpPrefix;

/** Parses CIDR text; undefined for anything else, and for IPv4 in IPv6 clothes: it would hide an overlap. */
export function parseClaimedPrefix(text: string, isRoute: boolean): ClaimedPrefix | undefined {
  const parsed = text.length > TEXT_LENGTH_MAX ? undefined : parsePrefix(text);
  if (parsed === undefined) return undefined;
  const { address, bits } = parsed;
  const { family, bytes } = address;
  if (family === 6 && isPrefixOfBytes(MAPPED_IPV4, bytes, 0)) return undefined;
  if (!hasHostBits(bytes, bits)) return { prefix: parsed, isRoute };
  return { prefix: { address: decodeAddress(clearHostBits(bytes, bits), 0, family === 4 ? 4 : 16), bits }, isRoute };
}

/**
 * Reads as {@link parseClaimedPrefix} and keeps the results: the tables of a machine are tens of thousands of texts that
 * hardly change between two looks. A text that is no prefix is not kept. When the results become too many, all of them
 * are forgotten.
 */
export class ClaimedPrefixReader {
  readonly #countMax: number;
  readonly #networks = new Map<string, ClaimedPrefix>();
  readonly #routes = new Map<string, ClaimedPrefix>();

  /** @param countMax Results to keep; about half a kilobyte each. */
  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** How many results are kept. */
  get count(): number {
    return this.#networks.size + this.#routes.size;
  }

  read(text: string, isRoute: boolean): ClaimedPrefix | undefined {
    const known = isRoute ? this.#routes : this.#networks;
    const found = known.get(text);
    if (found !== undefined) return found;
    const claimed = parseClaimedPrefix(text, isRoute);
    if (claimed !== undefined) this.#keep(known, text, claimed);
    return claimed;
  }

  #keep(known: Map<string, ClaimedPrefix>, text: string, claimed: ClaimedPrefix): void {
    if (this.count >= this.#countMax) {
      this.#networks.clear();
      this.#routes.clear();
    }
    if (this.#countMax > 0) known.set(text, claimed);
  }
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

function hasHostBits(bytes: Uint8Array, bits: number): boolean {
  for (let i = bits >> 3; i < bytes.length; i++) {
    const hostMask = 0xff >> Math.max(0, bits - i * 8);
    if (((bytes[i] as number) & hostMask) !== 0) return true;
  }
  return false;
}

function clearHostBits(bytes: Uint8Array, bits: number): Uint8Array {
  return bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - i * 8))) & 0xff);
}
