import { expect, it } from 'vitest';
import { TokenBucket } from './token-bucket.ts';

it('lets a burst through, then the rate', () => {
  const bucket = new TokenBucket(10, 3);
  expect([1, 2, 3, 4].map(() => bucket.take(0))).toEqual([true, true, true, false]);
  expect([bucket.take(99), bucket.take(101)]).toEqual([false, true]);
  expect([1, 2, 3, 4].map(() => bucket.take(10_000))).toEqual([true, true, true, false]);
});
