import { expect, test } from 'vitest';
import { ReconnectDelay } from './reconnect-delay.ts';

/** Random bytes in the middle: the jitter is then nothing. */
const middle = { fill: (bytes: Uint8Array) => void bytes.fill(0).fill(0x80, 0, 1) };

function delays(code: string, count: number): number[] {
  const delay = new ReconnectDelay(middle);
  return Array.from({ length: count }, () => delay.afterFailure(code, 0));
}

test('delays double from 100 ms to 5 s', () => {
  expect(delays('derp/unreachable', 8)).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
});

test('a refused port is asked again within 1.5 s: a restarted relay is found soon', () => {
  expect(delays('derp/refused', 7)).toEqual([100, 200, 400, 800, 1500, 1500, 1500]);
});

test('what somebody must mend is asked ever more rarely', () => {
  expect(delays('derp/not-authorised', 8)).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
});

test('a connection that lasted 2 s starts the delays anew, a shorter one does not', () => {
  const delay = new ReconnectDelay(middle);
  delay.afterFailure('derp/unreachable', 0);
  expect(delay.afterFailure('derp/lost', 1999)).toBe(200);
  expect(delay.afterFailure('derp/lost', 2000)).toBe(100);
});

test('the jitter stays between three and five quarters', () => {
  for (const byte of [0, 255]) {
    const delay = new ReconnectDelay({ fill: (bytes) => void bytes.fill(byte) });
    expect(Math.abs(delay.afterFailure('derp/lost', 0) - 100)).toBeLessThanOrEqual(25);
  }
});
