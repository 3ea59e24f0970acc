import { describe, expect, it } from 'vitest';
import { RestartPolicy } from './restart-policy.ts';

const highest = (): number => 1 - Number.EPSILON;

function delaysOf(policy: RestartPolicy, count: number, everyMs: number): unknown[] {
  return Array.from({ length: count }, (_, i) => {
    const decision = policy.decide('backoff', i * everyMs);
    return decision.kind === 'wait' ? decision.delayMs : decision.reason;
  });
}

describe('a restart', () => {
  it('waits twice as long after each failure, up to a minute', () => {
    const delays = delaysOf(new RestartPolicy(highest), 9, 120_000);
    expect(delays).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  });
  it('has a random part of one half', () => {
    expect(delaysOf(new RestartPolicy(() => 0), 3, 120_000)).toEqual([250, 500, 1000]);
  });
  it('is given up after the fifth exit in two minutes', () => {
    expect(delaysOf(new RestartPolicy(highest), 5, 29_000)).toEqual([500, 1000, 2000, 4000, 'crash-loop']);
    expect(delaysOf(new RestartPolicy(highest), 5, 30_000)).not.toContain('crash-loop');
  });
  it('starts from the beginning after a minute of health, not after less', () => {
    const policy = new RestartPolicy(highest);
    delaysOf(policy, 3, 0);
    policy.noteUp(1000);
    expect(policy.decide('backoff', 60_999)).toEqual({ kind: 'wait', delayMs: 4000 });
    policy.noteUp(61_000);
    expect(policy.decide('backoff', 121_000)).toEqual({ kind: 'wait', delayMs: 500 });
  });
  it('is never made where only a change can help', () => {
    expect(new RestartPolicy(highest).decide('never', 0)).toEqual({ kind: 'give-up', reason: 'fatal' });
  });
  it('is tried thrice where something may be about to go', () => {
    const policy = new RestartPolicy(highest);
    const kinds = [0, 1, 2, 3].map((nowMs) => policy.decide('few', nowMs).kind);
    expect(kinds).toEqual(['wait', 'wait', 'wait', 'give-up']);
  });
  it('is free again when somebody asks for a start', () => {
    const policy = new RestartPolicy(highest);
    delaysOf(policy, 5, 0);
    policy.reset();
    expect(policy.decide('backoff', 1)).toEqual({ kind: 'wait', delayMs: 500 });
  });
});
