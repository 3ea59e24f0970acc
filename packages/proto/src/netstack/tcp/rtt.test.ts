import { describe, expect, it } from 'vitest';
import { RttEstimator } from './rtt.ts';

describe('the retransmission timeout', () => {
  it('is a second before the first sample, then smoothed RTT and four deviations (RFC 6298 §2)', () => {
    const rtt = new RttEstimator();
    expect(rtt.rtoMs).toBe(1000);
    rtt.sample(400, 0);
    expect([rtt.smoothedMs, rtt.rtoMs]).toEqual([400, 1200]);
    rtt.sample(480, 1);
    expect(rtt.smoothedMs).toBe(410);
    expect(rtt.rtoMs).toBe(410 + 4 * (0.75 * 200 + 0.25 * 80));
  });

  it('stays between 200 ms and a minute', () => {
    const rtt = new RttEstimator();
    rtt.sample(0, 0);
    expect(rtt.rtoMs).toBe(200);
    rtt.sample(500_000, 1);
    expect(rtt.rtoMs).toBe(60_000);
  });

  it('doubles at each expiry up to a minute, and ends that with a sample', () => {
    const rtt = new RttEstimator();
    rtt.backOff();
    expect(rtt.rtoMs).toBe(2000);
    for (let i = 0; i < 20; i++) rtt.backOff();
    expect(rtt.rtoMs).toBe(60_000);
    rtt.sample(100, 0);
    expect(rtt.rtoMs).toBe(300);
  });

  it('is three seconds after a lost SYN (RFC 6298 §5.7)', () => {
    const rtt = new RttEstimator();
    rtt.restartAfterSynLoss();
    expect(rtt.rtoMs).toBe(3000);
  });

  it('forgets a minimum that is a minute old', () => {
    const rtt = new RttEstimator();
    rtt.sample(10, 0);
    rtt.sample(50, 1000);
    expect(rtt.minMs).toBe(10);
    rtt.sample(50, 61_000);
    expect(rtt.minMs).toBe(50);
  });
});
