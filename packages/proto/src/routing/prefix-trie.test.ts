import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeAddress } from '../ip/address.ts';
import { type IpPrefix, isPrefixOfBytes, parsePrefix } from '../ip/prefix.ts';
import { PrefixTrie } from './prefix-trie.ts';

function createTrie(prefixes: readonly string[]): PrefixTrie {
  const trie = new PrefixTrie();
  for (const [value, text] of prefixes.entries()) trie.insert(parsePrefix(text)!, value);
  return trie;
}

function lookup(trie: PrefixTrie, address: string): number {
  const { bytes, family } = parsePrefix(address)!.address;
  return trie.lookup(bytes, 0, family);
}

describe('longest match', () => {
  const trie = createTrie([
    '100.64.0.1/32',
    '100.64.0.2/32',
    '10.0.0.0/8',
    '10.1.0.0/16',
    '10.1.2.3/32',
    '0.0.0.0/0',
    'fd7a:115c:a1e0::1/128',
    'fd7a:115c:a1e0::/48',
  ]);

  test.each([
    ['100.64.0.1', 0],
    ['100.64.0.2', 1],
    ['100.64.0.3', 5],
    ['10.200.0.1', 2],
    ['10.1.9.9', 3],
    ['10.1.2.3', 4],
    ['255.255.255.255', 5],
    ['fd7a:115c:a1e0::1', 6],
    ['fd7a:115c:a1e0::2', 7],
    ['fd7a:115c:a1e1::2', -1],
    ['::', -1],
  ])('%s goes to %d', (address, expected) => {
    expect(lookup(trie, address)).toBe(expected);
  });

  test('nothing matches in an empty trie, nor across families', () => {
    expect(lookup(new PrefixTrie(), '10.0.0.1')).toBe(-1);
    expect(lookup(createTrie(['::/0']), '10.0.0.1')).toBe(-1);
    expect(lookup(createTrie(['0.0.0.0/0']), '::1')).toBe(-1);
  });

  test('the last value of a prefix wins, and host bits do not count', () => {
    expect(lookup(createTrie(['10.0.0.0/8', '10.9.9.9/8']), '10.1.1.1')).toBe(1);
  });

  test('a default route may come before or after the routes in it', () => {
    expect(lookup(createTrie(['10.0.0.0/8', '0.0.0.0/0']), '10.1.1.1')).toBe(0);
    expect(lookup(createTrie(['0.0.0.0/0', '10.0.0.0/8']), '11.1.1.1')).toBe(0);
  });
});

test('an address is read at its offset; one that is cut off matches nothing', () => {
  const trie = createTrie(['0.0.0.0/0', '::/0']);
  const bytes = new Uint8Array(20);
  expect(trie.lookup(bytes, 16, 4)).toBe(0);
  expect(trie.lookup(bytes, 17, 4)).toBe(-1);
  expect(trie.lookup(bytes, 4, 6)).toBe(1);
  expect(trie.lookup(bytes, 5, 6)).toBe(-1);
});

test.each([-1, 0.5, Number.NaN])('the value %d is refused', (value) => {
  expect(() => new PrefixTrie().insert(parsePrefix('10.0.0.0/8')!, value)).toThrow(RangeError);
});

test.each([-1, 33, 1.5])('a prefix of %d bits is refused', (bits) => {
  const { address } = parsePrefix('10.0.0.0/8')!;
  expect(() => new PrefixTrie().insert({ address, bits }, 1)).toThrow(RangeError);
});

describe.each([
  [4, 4],
  [6, 16],
] as const)('IPv%d', (family, lengthBytes) => {
  // Few different bits, so that prefixes nest and neighbour.
  const bytes = fc.uint8Array({ minLength: lengthBytes, maxLength: lengthBytes, max: 3 });
  const prefix = fc.record({ bytes, bits: fc.nat(lengthBytes * 8) });

  test('answers as a search through all prefixes does', () => {
    fc.assert(
      fc.property(fc.array(prefix, { maxLength: 60 }), fc.array(bytes, { maxLength: 20 }), (inserted, asked) => {
        const trie = new PrefixTrie();
        const list: IpPrefix[] = inserted.map((entry) => ({
          address: { ...decodeAddress(entry.bytes, 0, lengthBytes), family, bytes: entry.bytes },
          bits: entry.bits,
        }));
        for (const [value, entry] of list.entries()) trie.insert(entry, value);
        for (const address of [...asked, ...inserted.map((entry) => entry.bytes)]) {
          let best = -1;
          for (const [value, entry] of list.entries()) {
            const isBetter = best < 0 || entry.bits >= list[best]!.bits;
            if (isBetter && isPrefixOfBytes(entry, address, 0)) best = value;
          }
          expect(trie.lookup(address, 0, family)).toBe(best);
        }
      }),
    );
  });
});
