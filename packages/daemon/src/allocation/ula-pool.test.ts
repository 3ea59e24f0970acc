import { formatPrefix } from '@heddle/proto/ip/prefix';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeRange } from './judge-request.ts';
import { deriveUlaPool } from './ula-pool.ts';

describe('the pool of IPv6 of a machine', () => {
  it.each([
    [[0x12, 0x34, 0x56, 0x78, 0x9a], 'fd12:3456:789a::/48'],
    [[0, 0, 0, 0, 0], 'fd00::/48'],
    [[0xff, 0xff, 0xff, 0xff, 0xff], 'fdff:ffff:ffff::/48'],
  ])('of %j is %s', (bytes, expected) => {
    expect(formatPrefix(deriveUlaPool(Uint8Array.from(bytes)))).toBe(expected);
  });

  it('may always be used, and does not share bytes with what it was made of', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 5, maxLength: 5 }), (bytes) => {
        const pool = deriveUlaPool(bytes);
        const before = formatPrefix(pool);
        bytes.fill(0x55);
        expect(pool.address.bytes.subarray(1, 6)).not.toBe(bytes);
        expect(formatPrefix(pool)).toBe(before);
        expect(judgeRange(pool)).toEqual({ refusals: [], warnings: [] });
      }),
    );
  });

  it.each([0, 4, 6, 16])('cannot be made of %i bytes', (length) => {
    expect(() => deriveUlaPool(new Uint8Array(length))).toThrow(RangeError);
  });
});
