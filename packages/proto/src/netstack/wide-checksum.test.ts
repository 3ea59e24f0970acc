import fc from 'fast-check';
import { expect, it } from 'vitest';
import { PacketArena } from '../bytes/packet-arena.ts';
import { addToChecksum, finishChecksum } from '../ip/checksum.ts';
import { foldChecksum, WideChecksum } from './wide-checksum.ts';

const arena = new PacketArena(new Uint8Array(64 * 2048));
const wide = new WideChecksum(arena);

function complement(sum: number): number {
  return ~foldChecksum(sum) & 0xffff;
}

it('gives the sum of the readable twin at any alignment and length', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1500 }), fc.nat(7), (bytes, shift) => {
      arena.bytes.set(bytes, 4096 + shift);
      const expected = finishChecksum(addToChecksum(0, arena.bytes, 4096 + shift, bytes.length));
      expect(complement(wide.sum(4096 + shift, bytes.length))).toBe(expected);
    }),
  );
});

it('stays exact at the largest sum there is', () => {
  arena.bytes.fill(0xff);
  const expected = finishChecksum(addToChecksum(0, arena.bytes, 0, 65_532));
  expect(complement(wide.sum(0, 65_532))).toBe(expected);
});

it('sums nothing to zero', () => {
  expect(wide.sum(0, 0)).toBe(0);
});
