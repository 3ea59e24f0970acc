import fc from 'fast-check';
import { expect, test } from 'vitest';
import complete from '../../test/vectors/wireguard/complete.json' with { type: 'json' };
import { formatHex } from '../bytes/hex.ts';
import { isLater, Tai64nClock } from './tai64n.ts';

test('a timestamp is the TAI64N of the wall clock, cut to granules of 2^24 ns', () => {
  expect(formatHex(new Tai64nClock(() => 1_700_000_000_303).next())).toBe(complete.timestamp);
  expect(formatHex(new Tai64nClock(() => 1_700_000_000_318).next())).toBe(complete.timestamp);
  expect(formatHex(new Tai64nClock(() => 1_700_000_000_319).next())).toBe('400000006553f10a13000000');
  expect(formatHex(new Tai64nClock(() => 0).next())).toBe('400000000000000a00000000');
  expect(formatHex(new Tai64nClock(() => 2 ** 32 * 1000).next())).toBe('400000010000000a00000000');
});

test('timestamps within one granule differ, and carry into the next second', () => {
  const clock = new Tai64nClock(() => 1_700_000_000_999);
  expect([1, 2, 3].map(() => formatHex(clock.next()))).toEqual([
    '400000006553f10a3b000000',
    '400000006553f10b00000000',
    '400000006553f10b01000000',
  ]);
});

test('whatever the wall clock does, each timestamp is later than the one before', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 4e12, noNaN: true }), { minLength: 2 }), (walk) => {
      let at = 0;
      const clock = new Tai64nClock(() => walk[at++] as number);
      let last = clock.next();
      for (let i = 1; i < walk.length; i++) {
        const next = clock.next();
        expect(isLater(next, last)).toBe(true);
        expect(isLater(last, next)).toBe(false);
        expect(isLater(next, next)).toBe(false);
        last = next;
      }
    }),
  );
});
