import { decodeAddress } from '@heddle/proto/ip/address';
import { type IpPrefix, parsePrefix } from '@heddle/proto/ip/prefix';
import { hasOverlap } from '../plan/claimed-prefix.ts';

/** What to look for, and what is in the way. Host bits may be set in all of them. */
export interface FreeSearch {
  readonly pool: IpPrefix;
  /** Of the wanted prefixes. */
  readonly bits: number;
  /** In any order, nested or twice, of any family. */
  readonly busy: readonly IpPrefix[];
  readonly countMax: number;
}

const KEY_WIDTHS = 64;
/** The search counts in units of the wanted size; 2^46 of them, times {@link KEY_WIDTHS}, are exact in a number. */
const UNIT_BITS_MAX = 46;
// Such addresses would come out as IPv4.
const MAPPED_IPV4 = parsePrefix('::ffff:0:0/96') as IpPrefix;

/**
 * Finds the first prefixes of a size in a pool that touch nothing busy: aligned, ascending, and the same for every order
 * of what is busy. None when the pool is smaller than the size.
 *
 * Takes O(n log n) for n busy prefixes; a pool of IPv6 with more than 2^46 places is cut into blocks, each read alone.
 *
 * @throws {RangeError} when `bits` or `countMax` is out of range, or the pool holds IPv4-mapped addresses.
 */
export function findFreePrefixes({ pool, bits, busy, countMax }: FreeSearch): readonly IpPrefix[] {
  if (!Number.isInteger(bits) || bits < 0 || bits > pool.address.bytes.length * 8) {
    throw new RangeError(`"${bits}" is no size of a prefix of IPv${pool.address.family}`);
  }
  if (!Number.isInteger(countMax) || countMax < 0) throw new RangeError(`"${countMax}" is no number of prefixes`);
  if (hasOverlap(pool, MAPPED_IPV4)) throw new RangeError('A pool may not hold IPv4-mapped addresses');
  const found: IpPrefix[] = [];
  if (bits < pool.bits || countMax === 0) return found;
  for (const free of walk(pool, bits, busy)) if (found.push(free) >= countMax) break;
  return found;
}

function* walk(pool: IpPrefix, bits: number, busy: readonly IpPrefix[]): Generator<IpPrefix> {
  if (bits - pool.bits <= UNIT_BITS_MAX) return yield* walkUnits(pool, bits, busy);
  const inside = busy.filter((one) => hasOverlap(one, pool));
  const blockBits = bits - UNIT_BITS_MAX;
  const covering = inside.filter((one) => one.bits <= blockBits);
  for (const block of walk(pool, blockBits, covering)) yield* walkUnits(block, bits, inside);
}

function* walkUnits(pool: IpPrefix, bits: number, busy: readonly IpPrefix[]): Generator<IpPrefix> {
  const keys = readBusyUnits(pool, bits, busy);
  if (keys === 'full') return;
  let next = 0;
  for (const key of keys) {
    const first = Math.floor(key / KEY_WIDTHS);
    for (; next < first; next++) yield toPrefix(pool, bits, next);
    next = Math.max(next, first + 2 ** (key % KEY_WIDTHS));
  }
  for (; next < 2 ** (bits - pool.bits); next++) yield toPrefix(pool, bits, next);
}

/** A busy prefix is one number: its first unit, times 64, plus the logarithm of how many units it covers. Sorted. */
function readBusyUnits(pool: IpPrefix, bits: number, busy: readonly IpPrefix[]): Uint32Array | Float64Array | 'full' {
  const isSmall = 2 ** (bits - pool.bits) * KEY_WIDTHS <= 2 ** 32;
  const keys = isSmall ? new Uint32Array(busy.length) : new Float64Array(busy.length);
  let count = 0;
  for (const one of busy) {
    if (!hasOverlap(one, pool)) continue;
    if (one.bits <= pool.bits) return 'full';
    const unit = readUnit(one.address.bytes, pool.bits, bits);
    const widthLog = Math.max(0, bits - one.bits);
    keys[count++] = (unit - (unit % 2 ** widthLog)) * KEY_WIDTHS + widthLog;
  }
  return keys.subarray(0, count).sort();
}

/** The bits from `start` up to `end` as a number; bit 0 is the highest of the first byte. */
function readUnit(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return 0;
  const last = (end - 1) >> 3;
  // With the bits behind `end` in the last byte these are at most 46 + 7.
  let value = (bytes[start >> 3] as number) & (0xff >> (start & 7));
  for (let i = (start >> 3) + 1; i <= last; i++) value = value * 0x100 + (bytes[i] as number);
  return Math.floor(value / (1 << (7 - ((end - 1) & 7))));
}

function toPrefix(pool: IpPrefix, bits: number, unit: number): IpPrefix {
  const bytes = new Uint8Array(pool.address.bytes.length);
  for (let at = 0; at < pool.bits; at++) {
    const mask = 0x80 >> (at & 7);
    bytes[at >> 3] = (bytes[at >> 3] as number) | ((pool.address.bytes[at >> 3] as number) & mask);
  }
  let rest = unit;
  for (let at = bits - 1; at >= pool.bits; at--) {
    if (rest % 2 === 1) bytes[at >> 3] = (bytes[at >> 3] as number) | (0x80 >> (at & 7));
    rest = Math.floor(rest / 2);
  }
  return { address: decodeAddress(bytes, 0, pool.address.family === 4 ? 4 : 16), bits };
}
