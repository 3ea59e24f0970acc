import { parseAddress } from '@heddle/proto/ip/address';
import { formatPrefix, type IpPrefix, parsePrefix } from '@heddle/proto/ip/prefix';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findFreePrefixes } from './free-prefix.ts';

const prefix = (text: string): IpPrefix => parsePrefix(text)!;

function find(pool: string, bits: number, busy: readonly string[], countMax = 3): string[] {
  return findFreePrefixes({ pool: prefix(pool), bits, busy: busy.map(prefix), countMax }).map(formatPrefix);
}

const toBigInt = ({ address }: IpPrefix): bigint =>
  address.bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);

/** First and last address, without the code under test. */
function rangeOf(one: IpPrefix): readonly [bigint, bigint] {
  const size = 1n << BigInt(one.address.bytes.length * 8 - one.bits);
  const first = toBigInt(one) - (toBigInt(one) % size);
  return [first, first + size - 1n];
}

function toText(value: bigint, family: 4 | 6): string {
  const part = (shift: number, mask: bigint): bigint => (value >> BigInt(shift)) & mask;
  if (family === 4) return [24, 16, 8, 0].map((shift) => part(shift, 255n)).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => part(112 - 16 * i, 0xffffn).toString(16));
  return parseAddress(groups.join(':'))!.text;
}

/** Tries every place, one after the other. */
function scanNaively(pool: IpPrefix, bits: number, busy: readonly IpPrefix[]): string[] {
  const { family } = pool.address;
  const ranges = busy.filter(({ address }) => address.family === family).map(rangeOf);
  const [first, last] = rangeOf(pool);
  const size = 1n << BigInt(pool.address.bytes.length * 8 - bits);
  const found: string[] = [];
  for (let at = first; at + size - 1n <= last; at += size) {
    const isFree = ranges.every(([low, high]) => high < at || low > at + size - 1n);
    if (isFree) found.push(`${toText(at, family)}/${bits}`);
  }
  return found;
}

interface Case {
  readonly pool: IpPrefix;
  readonly bits: number;
  readonly busy: readonly IpPrefix[];
}

/** A pool of at most 64 places, and busy prefixes of every size in and around it, some of the other family. */
const anyCase: fc.Arbitrary<Case> = fc
  .record({ family: fc.constantFrom<4 | 6>(4, 6), poolBits: fc.integer({ min: 4, max: 26 }), shift: fc.nat(96) })
  .chain(({ family, poolBits, shift }) => {
    const bitsMax = family === 4 ? 32 : 128;
    const bitsOfPool = family === 4 ? poolBits : poolBits + shift;
    const base = (1n << BigInt(bitsMax - 1)) | (0x5an << BigInt(bitsMax - 12));
    const poolSize = 1n << BigInt(bitsMax - bitsOfPool);
    const first = base - (base % poolSize);
    const toPrefix = (offset: bigint, bits: number): IpPrefix => {
      const value = (first + offset) % (1n << BigInt(bitsMax));
      return prefix(`${toText(value, family)}/${bits}`);
    };
    const busy = fc
      .tuple(fc.bigInt(0n, 2n * poolSize), fc.integer({ min: Math.max(0, bitsOfPool - 1), max: bitsOfPool + 8 }))
      .map(([offset, bits]) => toPrefix(offset, Math.min(bits, bitsMax)));
    const other = fc.constantFrom(prefix('0.0.0.0/0'), prefix('::/0'));
    const isForeign = (one: IpPrefix): boolean => one.address.family !== family;
    return fc.record({
      pool: fc.bigInt(0n, poolSize - 1n).map((offset) => toPrefix(offset, bitsOfPool)),
      bits: fc.integer({ min: bitsOfPool, max: Math.min(bitsMax, bitsOfPool + 6) }),
      busy: fc
        .tuple(fc.array(busy, { maxLength: 24 }), fc.array(other, { maxLength: 2 }))
        .map(([same, others]) => [...same, ...others.filter(isForeign)]),
    });
  });

describe('the search for free prefixes', () => {
  it.each([
    ['begins at the start of an empty pool', '10.0.0.0/8', 24, [], ['10.0.0.0/24', '10.0.1.0/24', '10.0.2.0/24']],
    ['goes around what is busy', '10.0.0.0/8', 24, ['10.0.1.0/24'], ['10.0.0.0/24', '10.0.2.0/24', '10.0.3.0/24']],
    [
      'counts a single address as its whole network',
      '10.0.0.0/8',
      24,
      ['10.0.0.1/32'],
      ['10.0.1.0/24', '10.0.2.0/24', '10.0.3.0/24'],
    ],
    [
      'sees a network of which host bits are set',
      '10.0.0.0/8',
      16,
      ['10.1.2.3/14'],
      ['10.4.0.0/16', '10.5.0.0/16', '10.6.0.0/16'],
    ],
    ['reads a pool of which host bits are set', '10.9.9.9/15', 16, [], ['10.8.0.0/16', '10.9.0.0/16']],
    [
      'takes the gap in the middle first',
      '10.0.0.0/22',
      24,
      ['10.0.0.0/24', '10.0.2.0/24'],
      ['10.0.1.0/24', '10.0.3.0/24'],
    ],
    ['sees a network that contains the pool', '10.1.0.0/16', 24, ['10.0.0.0/8'], []],
    [
      'ignores neighbours of the pool',
      '10.1.0.0/24',
      25,
      ['10.0.255.0/24', '10.1.1.0/24'],
      ['10.1.0.0/25', '10.1.0.128/25'],
    ],
    ['ignores the other family', '10.1.0.0/24', 25, ['::/0'], ['10.1.0.0/25', '10.1.0.128/25']],
    ['gives the whole pool', '10.1.0.0/24', 24, [], ['10.1.0.0/24']],
    ['gives nothing of the whole pool when one address is busy', '10.1.0.0/24', 24, ['10.1.0.7/32'], []],
    ['gives nothing wider than the pool', '10.1.0.0/24', 23, [], []],
    ['gives single addresses', '10.1.0.0/31', 32, ['10.1.0.0/32'], ['10.1.0.1/32']],
    ['knows the end of IPv4', '255.255.255.0/24', 25, ['255.255.255.0/25'], ['255.255.255.128/25']],
    [
      'works in IPv6',
      'fd00:1:2::/48',
      64,
      ['fd00:1:2::/63'],
      ['fd00:1:2:2::/64', 'fd00:1:2:3::/64', 'fd00:1:2:4::/64'],
    ],
    ['finds place 2^46 - 1 exactly', 'fd00::/18', 64, allButTheLast(18), ['fd00:3fff:ffff:ffff::/64']],
  ] as [string, string, number, string[], string[]][])('%s', (_, pool, bits, busy, expected) => {
    expect(find(pool, bits, busy)).toEqual(expected);
  });

  it('finds exactly the places of a naive scan, in its order', () => {
    fc.assert(
      fc.property(anyCase, fc.integer({ min: 0, max: 70 }), ({ pool, bits, busy }, countMax) => {
        const expected = scanNaively(pool, bits, busy).slice(0, countMax);
        expect(findFreePrefixes({ pool, bits, busy, countMax }).map(formatPrefix)).toEqual(expected);
      }),
      { numRuns: 1000 },
    );
  });

  it('does not depend on the order of what is busy', () => {
    const shuffled = anyCase.chain((one) =>
      fc.tuple(fc.constant(one), fc.shuffledSubarray([...one.busy], { minLength: one.busy.length })),
    );
    fc.assert(
      fc.property(shuffled, ([{ pool, bits, busy }, other]) => {
        const search = { pool, bits, countMax: 64 };
        expect(findFreePrefixes({ ...search, busy: other })).toEqual(findFreePrefixes({ ...search, busy }));
      }),
    );
  });

  it('gives what was taken, and freed again, once more', () => {
    fc.assert(
      fc.property(anyCase, fc.nat(), ({ pool, bits, busy }, pick) => {
        const search = { pool, bits, busy, countMax: 64 };
        const all = findFreePrefixes(search);
        expect(findFreePrefixes({ ...search, busy: [...busy, ...all] })).toEqual([]);
        const freed = all[pick % all.length];
        const others = all.filter((one) => one !== freed);
        const again = findFreePrefixes({ ...search, busy: [...busy, ...others] });
        expect(again).toEqual(freed === undefined ? [] : [freed]);
      }),
    );
  });

  it('reads all of 65,535 busy networks', () => {
    const busy = Array.from({ length: 65_536 }, (_, i) => prefix(`10.${i >> 8}.${i & 255}.0/24`)).reverse();
    expect(findFreePrefixes({ pool: prefix('10.0.0.0/8'), bits: 24, busy, countMax: 1 })).toEqual([]);
    const [hole] = busy.splice(4711, 1);
    expect(findFreePrefixes({ pool: prefix('10.0.0.0/8'), bits: 24, busy, countMax: 2 })).toEqual([hole]);
  });

  it('refuses sizes that the family does not have, and counts that are none', () => {
    for (const bits of [-1, 33, 8.5, Number.NaN]) expect(() => find('10.0.0.0/8', bits, [])).toThrow(RangeError);
    expect(() => find('fd00::/8', 129, [])).toThrow(RangeError);
    for (const countMax of [-1, 0.5, Number.POSITIVE_INFINITY]) {
      expect(() => find('10.0.0.0/8', 24, [], countMax)).toThrow(RangeError);
    }
    for (const pool of ['::ffff:10.0.0.0/104', '::/0', '::ffff:0:0/96']) {
      expect(() => find(pool, 120, [])).toThrow('IPv4-mapped');
    }
  });
});

describe('a pool with more than 2^46 places', () => {
  it.each([
    ['is searched from its start', 'fd00:1:2::/48', 126, [], ['fd00:1:2::/126', 'fd00:1:2::4/126', 'fd00:1:2::8/126']],
    [
      'skips a wide network',
      'fd00:1:2::/48',
      126,
      ['fd00:1:2::/64'],
      ['fd00:1:2:1::/126', 'fd00:1:2:1::4/126', 'fd00:1:2:1::8/126'],
    ],
    [
      'skips single addresses',
      'fd00:1:2::/48',
      128,
      ['fd00:1:2::/128', 'fd00:1:2::2/128'],
      ['fd00:1:2::1/128', 'fd00:1:2::3/128', 'fd00:1:2::4/128'],
    ],
    [
      'goes on behind a block that is full in pieces',
      'fd00:1:2::/48',
      126,
      ['fd00:1:2::/81', 'fd00:1:2:0:0:8000::/81', 'fd00:1:2:0:1::/80'],
      ['fd00:1:2:0:2::/126', 'fd00:1:2:0:2::4/126', 'fd00:1:2:0:2::8/126'],
    ],
    ['finds the last of 2^48 places', 'fd00::/16', 64, allButTheLast(16), ['fd00:ffff:ffff:ffff::/64']],
    ['may be nearly everything', 'fc00::/7', 128, ['fc00::/8'], ['fd00::/128', 'fd00::1/128', 'fd00::2/128']],
    ['is full inside a busy network', 'fd00:1:2::/48', 126, ['fd00::/16'], []],
    ['is full when its halves are busy', 'fd00:1:2::/48', 126, ['fd00:1:2::/49', 'fd00:1:2:8000::/49'], []],
  ] as [string, string, number, string[], string[]][])('%s', (_, pool, bits, busy, expected) => {
    expect(find(pool, bits, busy)).toEqual(expected);
  });

  it('gives aligned prefixes that meet nothing busy, ascending, up to the number asked for', () => {
    const busyPrefix = fc
      .tuple(fc.bigInt(0n, (1n << 68n) - 1n), fc.integer({ min: 61, max: 128 }))
      .map(([low, bits]) => prefix(`${toText((0xfd00_0001_0002n << 80n) | low, 6)}/${bits}`));
    const pool = prefix('fd00:1:2::/48');
    fc.assert(
      fc.property(fc.array(busyPrefix, { maxLength: 12 }), fc.integer({ min: 97, max: 128 }), (busy, bits) => {
        const found = findFreePrefixes({ pool, bits, busy, countMax: 20 }).map(rangeOf);
        expect(found).toHaveLength(20);
        const [first, last] = rangeOf(pool);
        for (const [i, [low, high]] of found.entries()) {
          expect(low % (1n << BigInt(128 - bits))).toBe(0n);
          expect(low).toBeGreaterThan(found[i - 1]?.[1] ?? first - 1n);
          expect(high).toBeLessThanOrEqual(last);
          expect(busy.map(rangeOf).filter(([a, b]) => a <= high && b >= low)).toEqual([]);
        }
      }),
    );
  });
});

/** Networks that fill fd00:: with its bits, but for the last /64: a half, a quarter, … */
function allButTheLast(bits: number): string[] {
  return Array.from({ length: 64 - bits }, (_, i) => {
    const ones = ((1n << BigInt(i)) - 1n) << 1n;
    return `${toText((0xfd00n << 112n) | (ones << BigInt(127 - bits - i)), 6)}/${bits + 1 + i}`;
  });
}
