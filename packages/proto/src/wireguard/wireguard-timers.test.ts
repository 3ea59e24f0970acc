import { describe, expect, test } from 'vitest';
import {
  createEndPair,
  createSession,
  exchange,
  numberedPacket,
  packetNumber,
  runTimers,
  runUnanswered,
  type WireGuardEnd,
} from '../../test/wireguard-end.ts';

const KEEPALIVE_BYTES = 32;
const INITIATION_BYTES = 148;

function lengths(sent: readonly { atMs: number; bytes: Uint8Array }[]): [number, number][] {
  return sent.map(({ atMs, bytes }) => [atMs, bytes.length]);
}

/** Sends one packet and says whether it arrived at once. */
function carries(from: WireGuardEnd, to: WireGuardEnd, peer: number, nowMs: number): boolean {
  from.send(peer, numberedPacket(nowMs), nowMs);
  exchange(from, to, nowMs);
  return to.takePackets().some((packet) => packetNumber(packet) === nowMs);
}

describe('rekey', () => {
  test('is begun by the initiator with the first packet after 120 s, and loses nothing', () => {
    const { a, b } = createSession(1);
    expect(carries(a, b, 1, 119_999)).toBe(true);
    expect(a.eventKinds()).not.toContain('handshake-completed');
    expect(carries(a, b, 1, 120_000)).toBe(true);
    expect(a.eventKinds()).toContain('handshake-completed');
    expect(carries(b, a, 2, 120_001)).toBe(true);
  });

  test('is never begun by the responder', () => {
    const { a, b } = createSession(2);
    for (let nowMs = 1000; nowMs < 180_000; nowMs += 1000) {
      b.send(2, numberedPacket(nowMs), nowMs);
      expect(b.takeDatagrams().map((bytes) => bytes[0])).toEqual([4]);
    }
    expect(a.takeEvents()).toEqual([]);
  });

  test('is begun by an initiator that only receives at 165 s, once', () => {
    const { a, b } = createSession(3);
    b.send(2, numberedPacket(1), 164_999);
    a.receive(b.takeDatagrams()[0]!, 164_999);
    expect(a.takeDatagrams()).toEqual([]);
    for (const nowMs of [165_000, 165_100, 175_000]) {
      b.send(2, numberedPacket(1), nowMs);
      a.receive(b.takeDatagrams()[0]!, nowMs);
    }
    expect(a.takeDatagrams().map((bytes) => bytes.length)).toEqual([INITIATION_BYTES]);
  });

  test('whose messages are all lost does not stop the old session before 180 s', () => {
    const { a, b } = createSession(4);
    for (let nowMs = 120_000; nowMs < 180_000; nowMs += 1000) {
      a.send(1, numberedPacket(nowMs), nowMs);
      for (const datagram of [...a.takeDatagrams(), ...runUnanswered(a, nowMs).map(({ bytes }) => bytes)]) {
        if (datagram[0] === 4) b.receive(datagram, nowMs);
      }
      expect(b.takePackets()).toHaveLength(1);
    }
    a.send(1, numberedPacket(1), 180_000);
    expect(a.takeDatagrams().every((bytes) => bytes[0] === 1)).toBe(true);
  });
});

describe('an idle session', () => {
  test('is not renewed by itself', () => {
    const { a, b } = createSession(5);
    runTimers([a, b], 30_000);
    expect([...runUnanswered(a, 500_000), ...runUnanswered(b, 500_000)]).toEqual([]);
  });

  test.each([180_000, 200_000, 539_000, 541_000, 4_000_000])(
    'carries the next packet at %d ms by a new handshake',
    (nowMs) => {
      const { a, b } = createSession(6);
      runTimers([a, b], nowMs);
      expect(carries(b, a, 2, nowMs)).toBe(true);
      expect(carries(a, b, 1, nowMs + 1)).toBe(true);
    },
  );

  test('refuses a packet that was under way when it turned 180 s', () => {
    const { a, b } = createSession(7);
    a.send(1, numberedPacket(1), 119_000);
    const [late] = a.takeDatagrams();
    b.receive(late!, 180_000);
    expect(b.takePackets()).toEqual([]);
    expect(b.wireGuard.counters.snapshot()).toEqual({ 'expired-session': 1 });
  });

  test('is destroyed at 540 s: its index means nothing any more, and no timer is left', () => {
    const { a, b } = createSession(8);
    a.send(1, numberedPacket(1), 100_000);
    const [late] = a.takeDatagrams();
    runUnanswered(b, 539_999);
    b.receive(late!, 539_999);
    runUnanswered(b, 540_000);
    b.receive(late!, 540_000);
    expect(b.wireGuard.counters.snapshot()).toEqual({ 'expired-session': 1, 'unknown-session': 1 });
    expect(b.wireGuard.pollTimeout()).toBeUndefined();
  });

  test('whose end comes during a handshake does not disturb it', () => {
    const { a, b } = createSession(9);
    runTimers([a, b], 539_990);
    a.send(1, numberedPacket(5), 539_995);
    const [initiation] = a.takeDatagrams();
    runUnanswered(a, 540_000);
    b.receive(initiation!, 540_010);
    exchange(a, b, 540_020);
    expect(b.takePackets().map((packet) => packetNumber(packet))).toEqual([5]);
  });
});

describe('keepalive', () => {
  test('follows unanswered data after exactly 10 s, once', () => {
    const { a, b } = createSession(10);
    a.send(1, numberedPacket(1), 1000);
    exchange(a, b, 1000);
    expect(lengths(runUnanswered(b, 100_000))).toEqual([[10_000, KEEPALIVE_BYTES]]);
  });

  test('is not answered by a keepalive', () => {
    const { a, b } = createSession(11);
    runTimers([a, b], 10_000);
    expect(b.wireGuard.stats(2).txBytes).toBe(92 + KEEPALIVE_BYTES);
    expect([...runUnanswered(a, 60_000), ...runUnanswered(b, 60_000)]).toEqual([]);
  });

  test('is spared when data goes back', () => {
    const { a, b } = createSession(12);
    expect(carries(b, a, 2, 9000)).toBe(true);
    expect(lengths(runUnanswered(b, 23_999))).toEqual([]);
  });

  test('that is persistent keeps a session alive and renewed without data', () => {
    const { a, b } = createEndPair(13);
    a.persistentKeepaliveMs = 25_000;
    a.send(1, numberedPacket(1), 0);
    exchange(a, b, 0);
    runTimers([a, b], 600_000);
    expect(b.wireGuard.stats(2).lastHandshakeUnixMs).toBeGreaterThan(0);
    b.send(2, numberedPacket(1), 600_000);
    expect(b.takeDatagrams().map((bytes) => bytes[0])).toEqual([4]);
  });
});

describe('silence', () => {
  test('of 15 s after data makes a new handshake, measured from the first unanswered packet', () => {
    const { a, b } = createSession(14);
    runTimers([a, b], 30_000);
    for (let nowMs = 40_000; nowMs < 54_000; nowMs += 2000) a.send(1, numberedPacket(1), nowMs);
    a.takeDatagrams();
    const sent = runUnanswered(a, 58_000);
    expect(sent).toHaveLength(1);
    expect(sent[0]!.bytes.length).toBe(INITIATION_BYTES);
    expect(sent[0]!.atMs).toBeGreaterThanOrEqual(55_000);
    expect(sent[0]!.atMs).toBeLessThanOrEqual(55_333);
  });

  test('is ended by a keepalive', () => {
    const { a, b } = createSession(15);
    runTimers([a, b], 30_000);
    a.send(1, numberedPacket(1), 40_000);
    exchange(a, b, 40_000);
    runTimers([a, b], 50_000);
    expect(runUnanswered(a, 100_000)).toEqual([]);
  });
});

test('the received event comes at most once a second', () => {
  const { a, b } = createSession(16);
  const seenAtMs: number[] = [];
  for (let nowMs = 1000; nowMs < 5000; nowMs += 100) {
    a.send(1, numberedPacket(1), nowMs);
    exchange(a, b, nowMs);
    if (b.eventKinds().includes('received')) seenAtMs.push(nowMs);
  }
  expect(seenAtMs).toEqual([1000, 2000, 3000, 4000]);
});
