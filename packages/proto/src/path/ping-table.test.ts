import { describe, expect, it } from 'vitest';
import { endpoint } from '../../test/path-world.ts';
import { PING_COUNT_MAX, PING_TIMEOUT_MS, PingTable } from './ping-table.ts';

const HERE = endpoint('203.0.113.1:1');

function txId(number: number): Uint8Array {
  return Uint8Array.of(number >> 8, number & 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

describe('PingTable', () => {
  it('gives a ping to the first pong only', () => {
    const table = new PingTable();
    table.add(txId(1), { endpoint: HERE, sentAtMs: 10 });
    expect(table.take(txId(2))).toBeUndefined();
    expect(table.take(txId(1))).toEqual({ endpoint: HERE, sentAtMs: 10 });
    expect(table.take(txId(1))).toBeUndefined();
  });

  it('gives up a ping after its time', () => {
    const table = new PingTable();
    table.add(txId(1), { endpoint: HERE, sentAtMs: 10 });
    table.add(txId(2), { endpoint: HERE, sentAtMs: 20 });
    expect(table.nextLossAtMs).toBe(10 + PING_TIMEOUT_MS);
    expect(table.takeLost(9 + PING_TIMEOUT_MS)).toBeUndefined();
    expect(table.takeLost(10 + PING_TIMEOUT_MS)?.sentAtMs).toBe(10);
    expect(table.takeLost(10 + PING_TIMEOUT_MS)).toBeUndefined();
    table.clear();
    expect(table.nextLossAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  it('forgets the oldest when full', () => {
    const table = new PingTable();
    for (let i = 0; i <= PING_COUNT_MAX; i++) table.add(txId(i), { endpoint: HERE, sentAtMs: i });
    expect(table.size).toBe(PING_COUNT_MAX);
    expect(table.take(txId(0))).toBeUndefined();
    expect(table.take(txId(1))).toBeDefined();
  });
});
