import { formatPrefix } from '@heddle/proto/ip/prefix';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ClaimedPrefix,
  ClaimedPrefixReader,
  hasOverlap,
  isDefaultPrefix,
  judgeOverlap,
  parseClaimedPrefix,
} from './claimed-prefix.ts';

const network = (text: string): ClaimedPrefix => parseClaimedPrefix(text, false)!;
const route = (text: string): ClaimedPrefix => parseClaimedPrefix(text, true)!;

/** First and last address as numbers, without the code under test. */
function rangeOf(value: bigint, bits: number, width: number): readonly [bigint, bigint] {
  const size = 1n << BigInt(width - bits);
  const first = value - (value % size);
  return [first, first + size - 1n];
}

function textOf(value: bigint, bits: number, width: number): string {
  const part = (shift: number, mask: bigint): bigint => (value >> BigInt(shift)) & mask;
  if (width === 32) return `${[24, 16, 8, 0].map((shift) => part(shift, 255n)).join('.')}/${bits}`;
  return `${Array.from({ length: 8 }, (_, i) => part(112 - 16 * i, 0xffffn).toString(16)).join(':')}/${bits}`;
}

// Few distinct addresses, so that overlaps are frequent; never IPv4-mapped because of the highest bit.
const anyRange = fc.constantFrom(32, 128).chain((width) =>
  fc.record({
    width: fc.constant(width),
    bits: fc.integer({ min: 0, max: width }),
    value: fc
      .tuple(fc.bigInt(0n, 7n), fc.bigInt(0n, 7n))
      .map(([high, low]) => (1n << BigInt(width - 1)) | (high << BigInt(width / 2)) | low),
  }),
);

describe('a claimed prefix', () => {
  it.each([
    ['10.42.0.5/24', '10.42.0.0/24'],
    ['10.42.255.255/23', '10.42.254.0/23'],
    ['10.42.0.5', '10.42.0.5/32'],
    ['255.255.255.255/0', '0.0.0.0/0'],
    ['FD00:0:0:1:ffff::1/50', 'fd00::/50'],
    ['fd7a:115c:a1e0::53/48', 'fd7a:115c:a1e0::/48'],
    ['::1', '::1/128'],
  ])('%s has the network %s', (text, expected) => {
    expect(formatPrefix(network(text).prefix)).toBe(expected);
  });

  it.each([
    ['an empty text', ''],
    ['a word', 'default'],
    ['three parts', '10.42.0/24'],
    ['a leading zero', '010.42.0.0/24'],
    ['too many bits', '10.42.0.0/33'],
    ['too many IPv6 bits', 'fd00::/129'],
    ['bits with a sign', '10.0.0.0/+8'],
    ['bits with a leading zero', '10.0.0.0/08'],
    ['no bits behind the slash', '10.0.0.0/'],
    ['two slashes', '10.0.0.0/8/8'],
    ['white space', ' 10.0.0.0/8'],
    ['a line feed', '10.0.0.0/8\n'],
    ['a zone', 'fe80::1%eth0/64'],
    ['IPv4 in IPv6 clothes', '::ffff:10.42.0.0/120'],
    ['a very long text', `10.0.0.0/8${' '.repeat(100_000)}`],
  ])('is not read from %s', (_, text) => {
    expect(parseClaimedPrefix(text, false)).toBeUndefined();
  });

  it('is not read from any random text by accident, and reading never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const read = parseClaimedPrefix(text, false);
        if (read !== undefined)
          expect(formatPrefix(network(formatPrefix(read.prefix)).prefix)).toBe(formatPrefix(read.prefix));
      }),
    );
  });
});

describe('two prefixes', () => {
  it('overlap exactly when their ranges of addresses do, both ways round', () => {
    fc.assert(
      fc.property(anyRange, anyRange, (a, b) => {
        const [first, last] = rangeOf(a.value, a.bits, a.width);
        const [otherFirst, otherLast] = rangeOf(b.value, b.bits, b.width);
        const expected = a.width === b.width && first <= otherLast && otherFirst <= last;
        const [x, y] = [a, b].map(({ value, bits, width }) => network(textOf(value, bits, width)).prefix);
        expect([hasOverlap(x!, y!), hasOverlap(y!, x!)]).toEqual([expected, expected]);
      }),
      { numRuns: 2000 },
    );
  });

  it('are judged the same both ways round, and never when they do not overlap', () => {
    fc.assert(
      fc.property(anyRange, anyRange, fc.boolean(), fc.boolean(), (a, b, isFirstRoute, isSecondRoute) => {
        const x = parseClaimedPrefix(textOf(a.value, a.bits, a.width), isFirstRoute)!;
        const y = parseClaimedPrefix(textOf(b.value, b.bits, b.width), isSecondRoute)!;
        expect(judgeOverlap(x, y)).toBe(judgeOverlap(y, x));
        if (!hasOverlap(x.prefix, y.prefix)) expect(judgeOverlap(x, y)).toBeUndefined();
        if (hasOverlap(x.prefix, y.prefix) && !isFirstRoute && !isSecondRoute)
          expect(judgeOverlap(x, y)).toBe('refusal');
      }),
    );
  });

  it.each([
    ['equal networks', network('10.42.0.0/24'), network('10.42.0.9/24'), 'refusal'],
    ['equal routes', route('10.42.0.0/24'), route('10.42.0.0/24'), 'refusal'],
    ['a route equal to a network', route('10.42.0.0/24'), network('10.42.0.0/24'), 'refusal'],
    ['a network inside a network', network('10.42.0.0/24'), network('10.0.0.0/8'), 'refusal'],
    ['a route inside a network', route('10.42.0.0/25'), network('10.42.0.0/24'), 'refusal'],
    ['a network inside a route', network('10.42.0.0/24'), route('10.0.0.0/8'), 'warning'],
    ['a route inside a route', route('10.42.0.0/24'), route('10.0.0.0/8'), 'warning'],
    ['a network inside a default route', network('10.42.0.0/24'), route('0.0.0.0/0'), undefined],
    ['a network inside half a default route', network('10.42.0.0/24'), route('0.0.0.0/1'), undefined],
    ['half a default route and a whole one', route('::/1'), route('::/0'), 'refusal'],
    ['two default routes', route('0.0.0.0/0'), route('0.0.0.0/0'), 'refusal'],
    ['neighbours', network('10.42.0.0/24'), network('10.42.1.0/24'), undefined],
    ['two families', network('0.0.0.0/0'), network('::/0'), undefined],
  ])('%s', (_, a, b, expected) => {
    expect(judgeOverlap(a, b)).toBe(expected);
  });

  it('are a default route up to the halves of IPv4 and an eighth of IPv6', () => {
    const texts = ['0.0.0.0/0', '128.0.0.0/1', '::/0', '2000::/3', '0.0.0.0/2', 'fc00::/7'];
    expect(texts.filter((text) => isDefaultPrefix(route(text).prefix))).toEqual(texts.slice(0, 4));
  });
});

const anyText = fc.oneof(
  fc.tuple(fc.nat(3), fc.nat(255), fc.integer({ min: 0, max: 33 })).map(([a, b, bits]) => `10.${a}.0.${b}/${bits}`),
  fc.tuple(fc.nat(3), fc.nat(0xffff), fc.integer({ min: 0, max: 129 })).map(([a, b, bits]) => {
    return `fd00:${a}::${b.toString(16)}/${bits}`;
  }),
  fc.constantFrom('', '10.0.0.1', '::ffff:10.0.0.1/128', '::ffff:0:0/96', '::ffff:0:0/95', '::/0', '010.0.0.0/8'),
);

describe('a reader that keeps what it read', () => {
  it('says what the parser says, the first time and again, however little it may keep', () => {
    fc.assert(
      fc.property(fc.nat(4), fc.array(fc.tuple(anyText, fc.boolean()), { maxLength: 40 }), (countMax, asked) => {
        const reader = new ClaimedPrefixReader(countMax);
        for (const [text, isRoute] of [...asked, ...asked]) {
          expect(reader.read(text, isRoute)).toEqual(parseClaimedPrefix(text, isRoute));
          expect(reader.count).toBeLessThanOrEqual(countMax);
        }
      }),
    );
  });

  it('gives the same object again, another one for a route, and keeps nothing of what is no prefix', () => {
    const reader = new ClaimedPrefixReader(8);
    const first = reader.read('10.0.0.1/8', false);
    expect(reader.read('10.0.0.1/8', false)).toBe(first);
    expect(reader.read('10.0.0.1/8', true)).toEqual({ ...first, isRoute: true });
    expect(reader.read('nonsense', false)).toBeUndefined();
    expect(reader.count).toBe(2);
  });

  it('forgets everything when there is no more room', () => {
    const reader = new ClaimedPrefixReader(2);
    for (const text of ['10.0.0.0/8', '10.1.0.0/16', '10.2.0.0/16']) reader.read(text, true);
    expect(reader.count).toBe(1);
  });
});
