import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ring } from './ring.ts';
import { advance } from './sequence.ts';

describe('a ring', () => {
  it('gives back what was stored, across growth and the wrap of buffer and sequence', () => {
    const steps = fc.array(fc.tuple(fc.nat(20_000), fc.nat(20_000)), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(steps, fc.integer({ min: -0x80000000, max: 0x7fffffff }), (sizes, base) => {
        const ring = new Ring(base, 0x100000);
        let end = base;
        let kept: number[] = [];
        let next = 0;
        for (const [write, read] of sizes) {
          const data = Uint8Array.from({ length: write }, () => next++ & 255);
          expect(ring.reserve(kept.length + write, kept.length)).toBe(true);
          ring.store(end, data, 0, write);
          end = advance(end, write);
          kept = [...kept, ...data];
          const length = Math.min(read, kept.length);
          const out = new Uint8Array(length);
          ring.load(ring.start, length, out, 0);
          expect([...out]).toEqual(kept.slice(0, length));
          ring.start = advance(ring.start, length);
          kept = kept.slice(length);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('takes no memory before the first byte, and none beyond its bound', () => {
    const ring = new Ring(0, 0x10000);
    expect(ring.capacity).toBe(0);
    expect(ring.reserve(0x10001, 0)).toBe(false);
    expect(ring.reserve(0x10000, 0)).toBe(true);
    ring.clear();
    expect(ring.capacity).toBe(0);
  });
});
