import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SegmentOptions } from './options.ts';
import { REORDER_RANGES_MAX, ReorderRanges } from './reorder-ranges.ts';

function report(ranges: ReorderRanges, blocksMax = 4): [number, number][] {
  const options = new SegmentOptions();
  ranges.report(options, blocksMax);
  return Array.from({ length: options.sackCount }, (_, i) => [
    options.sack[2 * i] as number,
    options.sack[2 * i + 1] as number,
  ]);
}

describe('reorder ranges', () => {
  it('are the union of what was added, whatever the order and the wrap', () => {
    const range = fc.tuple(fc.nat(200), fc.integer({ min: 1, max: 30 }));
    fc.assert(
      fc.property(
        fc.array(range, { maxLength: 40 }),
        fc.integer({ min: -0x80000000, max: 0x7fffffff }),
        (added, base) => {
          const ranges = new ReorderRanges();
          const model = new Set<number>();
          for (const [left, length] of added) {
            const isCovered = Array.from({ length }, (_, i) => left + i).every((at) => model.has(at));
            expect(ranges.covers((base + left) | 0, (base + left + length) | 0)).toBe(isCovered);
            expect(ranges.add((base + left) | 0, (base + left + length) | 0)).toBe(true);
            for (let at = left; at < left + length; at++) model.add(at);
          }
          const starts = [...model].filter((at) => !model.has(at - 1));
          expect(ranges.count).toBe(starts.length);
          let reached = 0;
          while (model.has(reached)) reached++;
          expect((ranges.absorb(base) - base) | 0).toBe(reached);
          expect(ranges.count).toBe(starts.length - (reached > 0 ? 1 : 0));
        },
      ),
    );
  });

  it('report the latest change first (RFC 2018 §4)', () => {
    const ranges = new ReorderRanges();
    ranges.add(100, 110);
    ranges.add(300, 310);
    ranges.add(200, 210);
    ranges.add(110, 120);
    expect(report(ranges)).toEqual([
      [100, 120],
      [200, 210],
      [300, 310],
    ]);
    expect(ranges.covers(305, 310)).toBe(true);
    expect(report(ranges, 2)).toEqual([
      [300, 310],
      [100, 120],
    ]);
  });

  it('refuse one hole more than the bound, and still join what touches', () => {
    const ranges = new ReorderRanges();
    for (let i = 0; i < REORDER_RANGES_MAX; i++) expect(ranges.add(10 * i, 10 * i + 5)).toBe(true);
    expect(ranges.add(10 * REORDER_RANGES_MAX, 10 * REORDER_RANGES_MAX + 5)).toBe(false);
    expect(ranges.add(5, 10)).toBe(true);
    expect(ranges.count).toBe(REORDER_RANGES_MAX - 1);
    ranges.clear();
    expect(ranges.count).toBe(0);
  });
});
