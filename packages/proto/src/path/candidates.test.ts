import { describe, expect, it } from 'vitest';
import { endpoint } from '../../test/path-world.ts';
import { CANDIDATE_COUNT_MAX, CandidateSet } from './candidates.ts';

const A = endpoint('203.0.113.1:1');
const B = endpoint('203.0.113.2:1');

function many(count: number, host: string): ReturnType<typeof endpoint>[] {
  return Array.from({ length: count }, (_, i) => endpoint(`${host}:${i + 1}`));
}

describe('CandidateSet', () => {
  it('keeps a netmap address while it is listed', () => {
    const set = new CandidateSet();
    expect(set.setNetmap([A, B], 0)).toBe(true);
    expect(set.setNetmap([A, B], 500_000)).toBe(false);
    set.setNetmap([B], 500_000);
    expect([...set.values()].map((candidate) => candidate.endpoint)).toEqual([B]);
  });

  it('keeps an address that two sources list when one drops it', () => {
    const set = new CandidateSet();
    set.setNetmap([A], 0);
    set.setCalled([A, B], 0);
    set.setNetmap([], 0);
    expect(set.size).toBe(2);
    set.setCalled([B], 0);
    expect(set.get(A)).toBeUndefined();
  });

  it('forgets a learned address 45 s after its last use', () => {
    const set = new CandidateSet();
    set.learn(A, 0);
    set.learn(A, 10_000);
    set.prune(55_000);
    expect(set.size).toBe(1);
    set.prune(55_001);
    expect(set.size).toBe(0);
  });

  it('refuses to learn when full, until something expires', () => {
    const set = new CandidateSet();
    for (const learned of many(CANDIDATE_COUNT_MAX, '203.0.113.9')) set.learn(learned, 0);
    expect(set.learn(A, 1000)).toBeUndefined();
    expect(set.learn(A, 45_001)).toBeDefined();
    expect(set.size).toBe(1);
  });

  it('lets listed addresses displace the learned one that is silent for longest', () => {
    const set = new CandidateSet();
    for (const [i, learned] of many(CANDIDATE_COUNT_MAX, '203.0.113.9').entries()) set.learn(learned, 100 - i);
    set.setNetmap([A], 100);
    expect(set.size).toBe(CANDIDATE_COUNT_MAX);
    expect(set.get(A)).toBeDefined();
    expect(set.get(endpoint(`203.0.113.9:${CANDIDATE_COUNT_MAX}`))).toBeUndefined();
  });

  it('never grows beyond its bound, whoever lists', () => {
    const set = new CandidateSet();
    set.setNetmap(many(300, '203.0.113.3'), 0);
    set.setCalled(many(300, '203.0.113.4'), 0);
    set.learn(A, 0);
    expect(set.size).toBe(CANDIDATE_COUNT_MAX);
  });
});
