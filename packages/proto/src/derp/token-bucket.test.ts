import { expect, test } from 'vitest';
import { TokenBucket } from './token-bucket.ts';

test('it starts full, refuses what it does not have, and fills at its rate up to the burst', () => {
  const bucket = new TokenBucket({ perSecond: 1000, burst: 300, nowMs: 0 });
  expect(bucket.refillAtMs).toBeUndefined();
  expect(bucket.take(300)).toBe(true);
  expect(bucket.take(1)).toBe(false);
  bucket.refill(100);
  expect(bucket.take(101)).toBe(false);
  expect(bucket.take(100)).toBe(true);
  bucket.refill(10_000);
  expect(bucket.take(301)).toBe(false);
  expect(bucket.take(300)).toBe(true);
});

test('a small burst is refilled more often, so that no allowance is lost at the brim', () => {
  const bucket = new TokenBucket({ perSecond: 1_000_000, burst: 10_000, nowMs: 0 });
  bucket.take(1);
  expect(bucket.refillAtMs).toBe(5);
});

test('time that runs backwards gives nothing', () => {
  const bucket = new TokenBucket({ perSecond: 1000, burst: 10, nowMs: 100 });
  bucket.take(10);
  bucket.refill(50);
  expect(bucket.take(1)).toBe(false);
});

test('a rate or burst that is not positive is a mistake', () => {
  expect(() => new TokenBucket({ perSecond: 0, burst: 1, nowMs: 0 })).toThrow(RangeError);
  expect(() => new TokenBucket({ perSecond: 1, burst: -1, nowMs: 0 })).toThrow(RangeError);
});
