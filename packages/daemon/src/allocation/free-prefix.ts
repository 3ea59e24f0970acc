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

/** The search counts in units of the wanted size, and 2^48 of them are exact in a number, doubled or not. */
const UNIT_BITS_MAX = 48;
// Such addresses would come out as IPv4.
const MAPPED_IPV4 = parsePrefix('::ffff:0:0/96') as IpPrefix;

/**
 * Finds the first prefixes of a size in a pool that touch nothing busy: aligned, ascending, and the same for every order
 * of what is busy. None when the pool is smaller than the size.
 *
 * Takes O(n log n) for n busy prefixes; a pool of IPv6 with more than 2^48 places is cut into blocks, each read alone.
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

interface BusyUnits {
  /** Sorted. */
  readonly firsts: Float64Array;
  /** Sorted for itself: an entry need not belong to the one of `firsts` at the same place. */
  readonly lasts: Float64Array;
}

/**
 * Behind the i-th smallest last unit there is a gap exactly when the next first unit is larger: only then have all ranges
 * that began ended too. So both lists are sorted alone, as plain numbers.
 */
function* walkUnits(pool: IpPrefix, bits: number, busy: readonly IpPrefix[]): Generator<IpPrefix> {
  const units = readBusyUnits(pool, bits, busy);
  if (units === 'full') return;
  const { firsts, lasts } = units;
  for (let i = 0; i <= firsts.length; i++) {
    const gapStart = i === 0 ? 0 : (lasts[i - 1] as number) + 1;
    const gapEnd = i < firsts.length ? (firsts[i] as number) : 2 ** (bits - pool.bits);
    for (let unit = gapStart; unit < gapEnd; unit++) yield toPrefix(pool, bits, unit);
  }
}

function readBusyUnits(pool: IpPrefix, bits: number, busy: readonly IpPrefix[]): BusyUnits | 'full' {
  const firsts = new Float64Array(busy.length);
  const lasts = new Float64Array(busy.length);
  let count = 0;
  for (const one of busy) {
    if (!hasOverlap(one, pool)) continue;
    if (one.bits <= pool.bits) return 'full';
    const unit = readUnit(one.address.bytes, pool.bits, bits);
    const width = one.bits >= bits ? 1 : 2 ** (bits - one.bits);
    const first = unit - (unit % width);
    firsts[count] = first;
    lasts[count++] = first + width - 1;
  }
  return { firsts: firsts.subarray(0, count).sort(), lasts: lasts.subarray(0, count).sort() };
}

/** The bits from `start` up to `end` as a number; bit 0 is the highest of the first byte. */
function readUnit(bytes: Uint8Array, start: number, end: number): number {
  let unit = 0;
  for (let at = start; at < end; ) {
    const bitInByte = at & 7;
    const step = Math.min(8 - bitInByte, end - at);
    const part = ((bytes[at >> 3] as number) >> (8 - bitInByte - step)) & ((1 << step) - 1);
    unit = unit * 2 ** step + part;
    at += step;
  }
  return unit;
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
