import { describe, expect, test } from 'vitest';
import { seededRng } from '../../test/seeded-rng.ts';
import {
  bytesOf,
  createEndPair,
  createSession,
  exchange,
  numberedPacket,
  packetNumber,
  runTimers,
  runUnanswered,
  START_UNIX_MS,
  WireGuardEnd,
} from '../../test/wireguard-end.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { decodePublicKey } from '../keys/public-key.ts';
import { OutgoingMacs } from './outgoing-macs.ts';

const INITIATION = 1;
const RESPONSE = 2;
const TRANSPORT = 4;

function types(datagrams: readonly Uint8Array[]): number[] {
  return datagrams.map((bytes) => bytes[0]!);
}

function numbers(packets: readonly Uint8Array[]): number[] {
  return packets.map((packet) => packetNumber(packet));
}

describe('a first packet', () => {
  test('waits for one round trip and arrives whole', () => {
    const { a, b } = createEndPair(1);
    a.send(1, numberedPacket(42, 1280), 0);
    expect(a.wireGuard.pollTimeout()).toEqual({ atMs: 0, why: 'wireguard output' });
    const [initiation, ...more] = a.takeDatagrams();
    expect(more).toEqual([]);
    b.receive(initiation!, 10);
    const [response] = b.takeDatagrams();
    expect(b.eventKinds()).toEqual(['received']);
    a.receive(response!, 20);
    expect(a.eventKinds()).toEqual(['received', 'handshake-completed']);
    const [data] = a.takeDatagrams();
    expect(data!.length).toBe(1280 + 32);
    b.receive(data!, 30);
    expect(b.eventKinds()).toEqual(['handshake-completed']);
    expect(b.takePackets()).toEqual([numberedPacket(42, 1280)]);
    expect(a.wireGuard.stats(1)).toEqual({ rxBytes: 92, txBytes: 148 + 1312, lastHandshakeUnixMs: START_UNIX_MS });
    expect(b.wireGuard.stats(2)).toEqual({ rxBytes: 148 + 1312, txBytes: 92, lastHandshakeUnixMs: START_UNIX_MS });
  });

  test('causes one initiation however many follow, and all arrive in order', () => {
    const { a, b } = createEndPair(2);
    for (let number = 0; number < 100; number++) a.send(1, numberedPacket(number), number);
    expect(exchange(a, b, 100)).toBe(1 + 1 + 100);
    expect(numbers(b.takePackets())).toEqual(Array.from({ length: 100 }, (_, number) => number));
  });

  test('is dropped from the queue of its peer when 128 newer ones wait', () => {
    const { a, b } = createEndPair(3);
    for (let number = 0; number < 200; number++) {
      a.send(1, numberedPacket(number), 0);
    }
    exchange(a, b, 1);
    expect(numbers(b.takePackets())).toEqual(Array.from({ length: 128 }, (_, i) => 72 + i));
    expect(a.wireGuard.counters.count('staging-full')).toBe(72);
  });
});

test('the responder sends nothing before the initiator has proven the session', () => {
  const { a, b } = createEndPair(4);
  a.send(1, numberedPacket(1), 0);
  b.receive(a.takeDatagrams()[0]!, 0);
  b.send(2, numberedPacket(2), 1);
  const datagrams = b.takeDatagrams();
  expect(types(datagrams)).toEqual([RESPONSE]);
  a.receive(datagrams[0]!, 2);
  exchange(a, b, 3);
  expect(numbers(a.takePackets())).toEqual([2]);
  expect(numbers(b.takePackets())).toEqual([1]);
});

test('a responder whose response was lost initiates by itself when its turn comes', () => {
  const { a, b } = createEndPair(5);
  a.send(1, numberedPacket(1), 0);
  b.receive(a.takeDatagrams()[0]!, 0);
  b.takeDatagrams();
  a.wireGuard.removePeer(1);
  b.send(2, numberedPacket(2), 1);
  expect(b.takeDatagrams()).toEqual([]);
  runTimers([a, b], 5400);
  expect(numbers(a.takePackets())).toEqual([2]);
});

describe('copies, by relay and by UDP', () => {
  test('of an initiation, a response and data are silent drops', () => {
    const { a, b } = createEndPair(6);
    a.send(1, numberedPacket(1), 0);
    const [initiation] = a.takeDatagrams();
    b.receive(initiation!, 0);
    b.receive(initiation!, 100);
    const responses = b.takeDatagrams();
    expect(types(responses)).toEqual([RESPONSE]);
    a.receive(responses[0]!, 0);
    a.receive(responses[0]!, 100);
    const [data] = a.takeDatagrams();
    b.receive(data!, 0);
    b.receive(data!, 100);
    expect(numbers(b.takePackets())).toEqual([1]);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'unexpected-response': 1 });
    expect(b.wireGuard.counters.snapshot()).toEqual({ 'replayed-initiation': 1, replayed: 1 });
  });
});

describe('forged messages', () => {
  test('a response that does not open leaves the handshake waiting for the true one', () => {
    const { a, b } = createEndPair(7);
    const mallory = new WireGuardEnd({ privateKey: new Uint8Array(32).fill(3), rng: seededRng(3) });
    a.send(1, numberedPacket(1), 0);
    const [initiation] = a.takeDatagrams();
    b.receive(initiation!, 0);
    const [response] = b.takeDatagrams();
    // A mac1 that is right, around a body that is not: only the AEAD can tell.
    const forged = response!.slice();
    forged[50]! ^= 1;
    mallory.listed.set(1, a.privateKey.publicKey);
    a.receive(restamp(forged, a), 1);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'unauthentic-response': 1 });
    a.receive(response!, 2);
    expect(a.eventKinds()).toEqual(['received', 'handshake-completed']);
  });

  test('an initiation by somebody who only knows both public keys makes no state', () => {
    const { a, b } = createEndPair(8);
    a.send(1, numberedPacket(1), 0);
    const initiation = a.takeDatagrams()[0]!;
    initiation[100]! ^= 1;
    b.receive(restamp(initiation, b), 0);
    expect(b.wireGuard.counters.snapshot()).toEqual({ 'unauthentic-initiation': 1 });
    expect(b.wireGuard.pollTimeout()).toBeUndefined();
  });

  test('data for an index that was never given out is dropped', () => {
    const { a } = createSession(9);
    a.receive(bytesOf(`04000000deadbeef${'00'.repeat(40)}`), 1);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'unknown-session': 1 });
  });

  test('a wrong pre-shared key keeps the sessions apart', () => {
    const { a, b } = createEndPair(10);
    a.presharedKeys.set(1, new Uint8Array(32).fill(1));
    a.send(1, numberedPacket(1), 0);
    exchange(a, b, 0);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'unauthentic-response': 1 });
  });
});

describe('who is not in the directory', () => {
  test('gets no answer and leaves no state', () => {
    const { a, b } = createEndPair(11);
    b.listed.clear();
    a.send(1, numberedPacket(1), 0);
    exchange(a, b, 0);
    expect(b.wireGuard.counters.snapshot()).toEqual({ 'unknown-peer': 1 });
    expect(b.wireGuard.pollTimeout()).toBeUndefined();
  });

  test('cannot be sent to', () => {
    const { a } = createEndPair(12);
    a.send(99, numberedPacket(1), 0);
    expect(a.takeDatagrams()).toEqual([]);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'unknown-peer': 1 });
  });

  test('any more when its response arrives, completes nothing', () => {
    const { a, b } = createEndPair(13);
    a.send(1, numberedPacket(1), 0);
    b.receive(a.takeDatagrams()[0]!, 0);
    a.listed.clear();
    a.receive(b.takeDatagrams()[0]!, 1);
    expect(a.eventKinds()).toEqual([]);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'unknown-peer': 1 });
  });

  test('any more at the next initiation, is not bothered, and its packets are dropped', () => {
    const { a } = createEndPair(14);
    a.send(1, numberedPacket(1), 0);
    a.takeDatagrams();
    a.listed.clear();
    expect(runUnanswered(a, 60_000)).toEqual([]);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'unknown-peer': 1 });
    expect(a.arena.freeCount).toBe(a.arena.slotCount);
  });

  test('because its handle now means another key, is not taken for the other', () => {
    const { a, b } = createSession(15);
    const other = new WireGuardEnd({ privateKey: new Uint8Array(32).fill(5), rng: seededRng(5) });
    other.listed.set(1, b.privateKey.publicKey);
    b.listed.set(2, other.privateKey.publicKey);
    other.send(1, numberedPacket(1), 0);
    exchange(other, b, 0);
    expect(b.wireGuard.counters.snapshot()).toEqual({ 'unknown-peer': 1 });
    a.send(1, numberedPacket(7), 1);
    exchange(a, b, 1);
    expect(numbers(b.takePackets())).toEqual([7]);
  });

  test('because its key has a low order, is never sent anything', () => {
    const { a } = createEndPair(16);
    a.listed.set(1, decodePublicKey('node', new Uint8Array(32)));
    a.send(1, numberedPacket(1), 0);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'unknown-peer': 1 });
  });
});

describe('both sides at once', () => {
  test('answer each other, and either session carries data both ways', () => {
    const { a, b } = createEndPair(17);
    a.send(1, numberedPacket(1), 0);
    b.send(2, numberedPacket(2), 0);
    const [fromA] = a.takeDatagrams();
    const [fromB] = b.takeDatagrams();
    a.receive(fromB!, 50);
    b.receive(fromA!, 50);
    exchange(a, b, 100);
    expect(numbers(a.takePackets())).toEqual([2]);
    expect(numbers(b.takePackets())).toEqual([1]);
    for (let second = 1; second < 400; second++) {
      runTimers([a, b], second * 1000);
      a.send(1, numberedPacket(second), second * 1000);
      b.send(2, numberedPacket(second), second * 1000);
      exchange(a, b, second * 1000);
      expect(numbers(a.takePackets())).toEqual([second]);
      expect(numbers(b.takePackets())).toEqual([second]);
    }
    expect(a.wireGuard.counters.snapshot()).toEqual({});
    expect(b.wireGuard.counters.snapshot()).toEqual({});
  });

  test('with one response lost, still end with a session', () => {
    const { a, b } = createEndPair(18);
    a.send(1, numberedPacket(1), 0);
    b.send(2, numberedPacket(2), 0);
    const [fromA] = a.takeDatagrams();
    const [fromB] = b.takeDatagrams();
    a.receive(fromB!, 50);
    b.receive(fromA!, 50);
    a.takeDatagrams();
    exchange(a, b, 100);
    runTimers([a, b], 6000);
    expect(numbers(a.takePackets())).toEqual([2]);
    expect(numbers(b.takePackets())).toEqual([1]);
  });
});

describe('a peer that does not answer', () => {
  test('gets a new initiation every 5 s plus jitter, each with its own key and index', () => {
    const { a } = createEndPair(19);
    a.send(1, numberedPacket(1), 0);
    const sent = [{ atMs: 0, bytes: a.takeDatagrams()[0]! }, ...runUnanswered(a, 88_000)];
    expect(types(sent.map(({ bytes }) => bytes)).every((type) => type === INITIATION)).toBe(true);
    const gaps = sent.slice(1).map(({ atMs }, i) => atMs - sent[i]!.atMs);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(5000);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(5333);
    expect(new Set(gaps).size).toBeGreaterThan(gaps.length / 2);
    for (const [from, to] of [
      [4, 8],
      [8, 40],
    ] as const) {
      expect(new Set(sent.map(({ bytes }) => bytes.subarray(from, to).join())).size).toBe(sent.length);
    }
  });

  test('is given up after 90 s: the packets that waited are dropped, and the next one starts afresh', () => {
    const { a, b } = createEndPair(20);
    for (let number = 0; number < 3; number++) a.send(1, numberedPacket(number), number * 1000);
    const last = runUnanswered(a, 89_999).at(-1)!;
    expect(a.eventKinds()).toEqual([]);
    runUnanswered(a, 95_400);
    expect(a.takeEvents()).toEqual([{ kind: 'handshake-gave-up', peer: 1 }]);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'handshake-gave-up': 3 });
    expect(a.arena.freeCount).toBe(a.arena.slotCount);
    b.receive(last.bytes, 95_500);
    for (const late of b.takeDatagrams()) a.receive(late, 95_500);
    expect(a.wireGuard.counters.count('unexpected-response')).toBe(1);
    a.send(1, numberedPacket(9), 96_000);
    exchange(a, b, 96_000);
    expect(numbers(b.takePackets())).toEqual([9]);
  });

  test('and keeps initiating towards us, is still given up', () => {
    const { a, b } = createEndPair(21);
    a.send(1, numberedPacket(1), 0);
    a.takeDatagrams();
    let gaveUpAtMs = 0;
    for (let nowMs = 0; nowMs < 100_000 && gaveUpAtMs === 0; nowMs += 1000) {
      b.wireGuard.restartSession(2);
      b.send(2, numberedPacket(1), nowMs);
      for (const datagram of b.takeDatagrams()) a.receive(datagram, nowMs);
      runUnanswered(a, nowMs);
      if (a.eventKinds().includes('handshake-gave-up')) gaveUpAtMs = nowMs;
      a.takeDatagrams();
    }
    expect(gaveUpAtMs).toBeGreaterThanOrEqual(90_000);
    expect(gaveUpAtMs).toBeLessThanOrEqual(96_000);
  });
});

describe('initiations', () => {
  test('follow no handshake message of either kind within 5 s', () => {
    const { a, b } = createEndPair(22);
    a.send(1, numberedPacket(1), 0);
    const initiation = a.takeDatagrams()[0]!;
    b.receive(initiation, 0);
    b.takeDatagrams();
    b.send(2, numberedPacket(2), 100);
    const sent = runUnanswered(b, 20_000);
    expect(types(sent.map(({ bytes }) => bytes))).toEqual([INITIATION, INITIATION, INITIATION]);
    expect(sent[0]!.atMs).toBeGreaterThanOrEqual(5000);
    expect(sent[0]!.atMs).toBeLessThanOrEqual(5333);
  });

  test('of one peer within 20 ms are dropped, however fresh', () => {
    const { a, b } = createEndPair(23);
    for (let nowMs = 0; nowMs < 40; nowMs += 10) {
      a.wireGuard.restartSession(1);
      a.send(1, numberedPacket(1), nowMs);
      a.wireGuard.handleTimeout(nowMs);
      const datagrams = a.takeDatagrams();
      expect(types(datagrams)).toEqual([INITIATION]);
      b.receive(datagrams[0]!, nowMs);
    }
    expect(types(b.takeDatagrams())).toEqual([RESPONSE, RESPONSE]);
    expect(b.wireGuard.counters.snapshot()).toEqual({ 'initiation-flood': 2 });
  });

  test('are accepted after the wall clock was set back', () => {
    const { a, b } = createSession(24);
    a.unixMs -= 3_600_000;
    a.send(1, numberedPacket(1), 200_000);
    exchange(a, b, 200_000);
    expect(numbers(b.takePackets())).toEqual([1]);
    expect(b.wireGuard.counters.snapshot()).toEqual({});
  });

  test('of a process that started with its clock behind are refused until the clock is right', () => {
    const { a, b } = createSession(25);
    const restarted = new WireGuardEnd({ privateKey: a.privateKey.exposeBytes(), rng: seededRng(99) });
    restarted.listed.set(1, b.privateKey.publicKey);
    restarted.unixMs = START_UNIX_MS - 60_000;
    restarted.send(1, numberedPacket(1), 100_000);
    exchange(restarted, b, 100_000);
    expect(b.wireGuard.counters.snapshot()).toEqual({ 'replayed-initiation': 1 });
    restarted.unixMs = START_UNIX_MS + 1000;
    runTimers([restarted, b], 106_000);
    expect(numbers(b.takePackets())).toEqual([1]);
  });
});

test('a keepalive confirms the session when nothing waits any more', () => {
  const { a, b } = createEndPair(26, { slotCount: 4 });
  a.listed.set(3, decodePublicKey('node', new Uint8Array(32).fill(9)));
  a.send(1, numberedPacket(1), 0);
  b.receive(a.takeDatagrams()[0]!, 0);
  a.send(3, numberedPacket(2), 0);
  a.takeDatagrams();
  a.receive(b.takeDatagrams()[0]!, 1);
  const datagrams = a.takeDatagrams();
  expect(types(datagrams)).toEqual([TRANSPORT]);
  expect(datagrams[0]!.length).toBe(32);
});

/** Gives a message the mac1 that its receiver expects. */
function restamp(message: Uint8Array, receiver: WireGuardEnd): Uint8Array {
  const stamped = message.slice();
  new OutgoingMacs(nobleProvider, receiver.privateKey.publicKey).stamp(stamped, 0);
  return stamped;
}
