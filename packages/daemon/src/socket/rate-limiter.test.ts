import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RateLimiter } from './rate-limiter.ts';

describe('RateLimiter', () => {
  it('lets 30 requests of a user pass, tells the 31st when to come back, and counts users apart', () => {
    const limiter = new RateLimiter(30, 60_000);
    for (let i = 0; i < 30; i++) expect(limiter.admit(1000, i)).toBe(0);
    expect(limiter.admit(1000, 30)).toBe(59_970);
    expect(limiter.admit(1001, 30)).toBe(0);
    expect(limiter.admit(1000, 59_999)).toBe(1);
    expect(limiter.admit(1000, 60_000)).toBe(0);
    expect(limiter.admit(1000, 60_000)).toBe(1);
  });

  it('never lets more than 30 pass in any minute', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(5000), { maxLength: 300 }), (gaps) => {
        const limiter = new RateLimiter(30, 60_000);
        const passed: number[] = [];
        let nowMs = 0;
        for (const gap of gaps) {
          nowMs += gap;
          if (limiter.admit(0, nowMs) === 0) passed.push(nowMs);
        }
        for (let i = 30; i < passed.length; i++) {
          expect((passed[i] as number) - (passed[i - 30] as number)).toBeGreaterThanOrEqual(60_000);
        }
      }),
    );
  });

  it('forgets idle users when there are many', () => {
    const limiter = new RateLimiter(1, 60_000);
    for (let uid = 0; uid < 5000; uid++) expect(limiter.admit(uid, uid)).toBe(0);
    expect(limiter.admit(4999, 5000)).toBeGreaterThan(0);
  });
});
