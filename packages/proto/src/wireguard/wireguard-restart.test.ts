import { describe, expect, test } from 'vitest';
import { seededRng } from '../../test/seeded-rng.ts';
import {
  createSession,
  exchange,
  numberedPacket,
  packetNumber,
  runTimers,
  runUnanswered,
  WireGuardEnd,
} from '../../test/wireguard-end.ts';

/** The same node in a new process: same key, no sessions. */
function restart(end: WireGuardEnd): WireGuardEnd {
  const restarted = new WireGuardEnd({ privateKey: end.privateKey.exposeBytes(), rng: seededRng(1000) });
  for (const [handle, key] of end.listed) restarted.listed.set(handle, key);
  restarted.unixMs = end.unixMs + 5000;
  return restarted;
}

function numbers(end: WireGuardEnd): number[] {
  return end.takePackets().map((packet) => packetNumber(packet));
}

describe('a peer whose process restarted', () => {
  test('gets a new session with the next packet, even 5 s after the last handshake', () => {
    const { a, b } = createSession(1);
    const restarted = restart(b);
    a.wireGuard.restartSession(1);
    a.send(1, numberedPacket(7), 1000);
    exchange(a, restarted, 1000);
    expect(numbers(restarted)).toEqual([7]);
    restarted.send(2, numberedPacket(8), 1001);
    exchange(a, restarted, 1001);
    expect(numbers(a)).toEqual([8]);
  });

  test('is noticed without being told after 15 s of silence', () => {
    const { a, b } = createSession(2);
    const restarted = restart(b);
    a.send(1, numberedPacket(1), 30_000);
    exchange(a, restarted, 30_000);
    expect(restarted.wireGuard.counters.snapshot()).toEqual({ 'unknown-session': 1 });
    runTimers([a, restarted], 45_400);
    a.send(1, numberedPacket(2), 45_400);
    exchange(a, restarted, 45_400);
    expect(numbers(restarted)).toEqual([2]);
  });

  test('and spoke first keeps its new session when the news comes late', () => {
    const { a, b } = createSession(3);
    const restarted = restart(b);
    restarted.send(2, numberedPacket(1), 1000);
    exchange(a, restarted, 1000);
    expect(numbers(a)).toEqual([1]);
    a.wireGuard.restartSession(1);
    restarted.send(2, numberedPacket(2), 1001);
    exchange(a, restarted, 1001);
    expect(numbers(a)).toEqual([2]);
    a.send(1, numberedPacket(3), 1002);
    exchange(a, restarted, 1002);
    expect(numbers(restarted)).toEqual([3]);
  });

  test('whose initiation was answered but not yet confirmed when the news came, is not asked again', () => {
    const { a, b } = createSession(4);
    const restarted = restart(b);
    restarted.send(2, numberedPacket(1), 1000);
    a.receive(restarted.takeDatagrams()[0]!, 1000);
    a.wireGuard.restartSession(1);
    exchange(a, restarted, 1001);
    expect(numbers(a)).toEqual([1]);
    a.send(1, numberedPacket(2), 1002);
    expect(a.takeDatagrams().map((bytes) => bytes[0])).toEqual([4]);
  });

  test('during our handshake gets a new initiation at once for the packets that wait', () => {
    const { a, b } = createSession(5);
    runTimers([a, b], 200_000);
    a.send(1, numberedPacket(9), 200_000);
    a.takeDatagrams();
    const restarted = restart(b);
    a.wireGuard.restartSession(1);
    expect(a.wireGuard.pollTimeout()?.atMs).toBe(200_000);
    runTimers([a, restarted], 200_000);
    expect(numbers(restarted)).toEqual([9]);
  });

  test('owes and is owed nothing of the old session', () => {
    const { a, b } = createSession(6);
    b.send(2, numberedPacket(1), 1000);
    exchange(a, b, 1000);
    a.send(1, numberedPacket(1), 1500);
    a.takeDatagrams();
    a.wireGuard.restartSession(1);
    expect(runUnanswered(a, 500_000)).toEqual([]);
  });

  test('and is unknown here, changes nothing', () => {
    const { a } = createSession(7);
    a.wireGuard.restartSession(55);
    a.wireGuard.removePeer(55);
    expect(a.wireGuard.stats(55)).toEqual({ rxBytes: 0, txBytes: 0, lastHandshakeUnixMs: 0 });
    a.wireGuard.removePeer(1);
    expect(a.wireGuard.pollTimeout()).toBeUndefined();
  });
});

describe('a removed peer', () => {
  test('leaves no timer, no index and no slot', () => {
    const { a, b } = createSession(8);
    a.send(1, numberedPacket(1), 200_000);
    a.takeDatagrams();
    a.wireGuard.removePeer(1);
    expect(a.wireGuard.pollTimeout()).toBeUndefined();
    expect(a.arena.freeCount).toBe(a.arena.slotCount);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'peer-removed': 1 });
    b.send(2, numberedPacket(2), 10_000);
    a.receive(b.takeDatagrams()[0]!, 10_000);
    expect(a.wireGuard.counters.count('unknown-session')).toBe(1);
  });

  test('that comes back makes a new session', () => {
    const { a, b } = createSession(9);
    a.wireGuard.removePeer(1);
    a.send(1, numberedPacket(4), 1000);
    exchange(a, b, 1000);
    expect(numbers(b)).toEqual([4]);
  });
});
