import { describe, expect, it } from 'vitest';
import { Cubic } from './cubic.ts';

const SEGMENT = 1000;

/** Acknowledges one window in each round trip. */
function rounds(cubic: Cubic, options: { count: number; rttMs: number; startMs: number }): number[] {
  return Array.from({ length: options.count }, (_, round) => {
    const window = cubic.windowBytes;
    const nowMs = options.startMs + round * options.rttMs;
    for (let acknowledged = 0; acknowledged < window; acknowledged += SEGMENT) {
      cubic.onAcknowledged(SEGMENT, nowMs, options.rttMs);
    }
    return cubic.windowBytes;
  });
}

describe('CUBIC', () => {
  it('starts with ten segments and doubles each round trip', () => {
    const cubic = new Cubic(SEGMENT);
    expect(cubic.windowBytes).toBe(10_000);
    expect(rounds(cubic, { count: 3, rttMs: 10, startMs: 0 })).toEqual([20_000, 40_000, 80_000]);
  });

  it('leaves seven tenths after a loss', () => {
    const cubic = new Cubic(SEGMENT);
    cubic.windowBytes = 100_000;
    expect(cubic.onLoss()).toBeCloseTo(70_000);
  });

  it('is back at the old window after K seconds: cbrt(0.3 W / 0.4), flat around it, then steep', () => {
    const cubic = new Cubic(SEGMENT);
    cubic.windowBytes = 1_000_000;
    cubic.windowBytes = cubic.onLoss();
    const k = Math.cbrt(300 / 0.4);
    const windows = rounds(cubic, { count: 200, rttMs: 100, startMs: 0 });
    const at = (seconds: number): number => windows[Math.round(seconds * 10)] as number;
    expect(at(k)).toBeGreaterThan(970_000);
    expect(at(k)).toBeLessThan(1_030_000);
    expect(at(k / 2)).toBeGreaterThan(940_000);
    expect(at(2 * k)).toBeGreaterThan(1_200_000);
  });

  it('is never slower than Reno on a short path', () => {
    const cubic = new Cubic(SEGMENT);
    cubic.windowBytes = 20_000;
    cubic.windowBytes = cubic.onLoss();
    const windows = rounds(cubic, { count: 20, rttMs: 2, startMs: 0 });
    // 0.53 segments a round trip up to the old window.
    expect(windows.at(-1)).toBeGreaterThan(14_000 + 0.5 * 20 * SEGMENT * 0.9 - SEGMENT);
  });

  it('aims lower when a second loss comes before the old window is reached (fast convergence)', () => {
    const cubic = new Cubic(SEGMENT);
    cubic.windowBytes = 1_000_000;
    cubic.windowBytes = cubic.onLoss();
    cubic.windowBytes = cubic.onLoss();
    const windows = rounds(cubic, { count: 60, rttMs: 100, startMs: 0 });
    expect(Math.max(...windows)).toBeLessThan(700_000);
  });

  it('falls to one segment at a timeout, and halves its threshold only at the first', () => {
    const cubic = new Cubic(SEGMENT);
    cubic.windowBytes = 100_000;
    cubic.onTimeout(true);
    expect([cubic.windowBytes, Math.round(cubic.slowStartThreshold)]).toEqual([SEGMENT, 70_000]);
    cubic.onTimeout(false);
    expect(Math.round(cubic.slowStartThreshold)).toBe(70_000);
  });

  it('stays below 2^30 however long it grows', () => {
    const cubic = new Cubic(SEGMENT);
    for (let i = 0; i < 100; i++) cubic.onAcknowledged(0x10000000, i, 1);
    expect(cubic.windowBytes).toBe(0x40000000);
  });
});
