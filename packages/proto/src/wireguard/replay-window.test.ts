import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { REPLAY_WINDOW_PACKETS, ReplayWindow } from './replay-window.ts';

/** The obvious twin: remembers every counter. */
class SlowWindow {
  readonly #seen = new Set<number>();
  #greatest = -1;

  accept(counter: number): boolean {
    if (this.#seen.has(counter) || this.#greatest - counter > REPLAY_WINDOW_PACKETS) return false;
    this.#seen.add(counter);
    this.#greatest = Math.max(this.#greatest, counter);
    return true;
  }
}

test('the window is deep enough for relay and UDP at once', () => {
  expect(REPLAY_WINDOW_PACKETS).toBeGreaterThanOrEqual(8192);
});

describe('RFC 6479', () => {
  test.each([0, 5, 31, 32, 2 ** 31, 2 ** 32 + 7, 2 ** 52])('around greatest counter %d + window', (base) => {
    const window = new ReplayWindow();
    const greatest = base + REPLAY_WINDOW_PACKETS;
    expect(window.accept(greatest)).toBe(true);
    expect(window.accept(greatest)).toBe(false);
    expect(window.accept(base)).toBe(true);
    expect(window.accept(base)).toBe(false);
    if (base > 0) expect(window.isNew(base - 1)).toBe(false);
    if (base > 0) expect(window.accept(base - 1)).toBe(false);
    expect(window.accept(greatest + 1)).toBe(true);
    expect(window.isNew(base + 1)).toBe(true);
    expect(window.accept(base)).toBe(false);
  });

  test('a jump over the whole ring forgets everything before it', () => {
    const window = new ReplayWindow();
    for (let counter = 0; counter < 100; counter++) window.accept(counter);
    window.accept(1_000_000);
    for (let counter = 1_000_000 - REPLAY_WINDOW_PACKETS; counter < 1_000_000; counter++) {
      if (!window.accept(counter)) throw new Error(`counter ${counter} was taken for seen`);
    }
  });

  test('asking changes nothing', () => {
    const window = new ReplayWindow();
    expect(window.isNew(1e9)).toBe(true);
    expect(window.isNew(1e9)).toBe(true);
    expect(window.accept(3)).toBe(true);
  });
});

test('it accepts exactly what a window that remembers everything accepts', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: -40, max: 40 }) },
    { weight: 2, arbitrary: fc.integer({ min: -REPLAY_WINDOW_PACKETS - 40, max: 40 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 3 * REPLAY_WINDOW_PACKETS }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const window = new ReplayWindow();
      const slow = new SlowWindow();
      let greatest = 0;
      for (const offset of steps) {
        const counter = Math.max(0, greatest + offset);
        const expected = slow.accept(counter);
        expect(window.isNew(counter)).toBe(expected);
        expect(window.accept(counter)).toBe(expected);
        greatest = Math.max(greatest, counter);
      }
    }),
  );
});
