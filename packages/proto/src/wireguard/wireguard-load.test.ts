import { describe, expect, test } from 'vitest';
import { seededRng } from '../../test/seeded-rng.ts';
import {
  createEndPair,
  exchange,
  numberedPacket,
  packetNumber,
  runUnanswered,
  type WireGuardEnd,
} from '../../test/wireguard-end.ts';
import { formatHex } from '../bytes/hex.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { LOAD_INITIATIONS_MAX } from './load-meter.ts';
import { INITIATION_BYTES } from './messages.ts';
import { OutgoingMacs } from './outgoing-macs.ts';

const HONEST = Uint8Array.of(198, 51, 100, 1, 0x10, 0x01);
const FLOODER = Uint8Array.of(203, 0, 113, 9, 0x20, 0x02);
const COOKIE_REPLY = 3;

/** Initiations with a valid mac1 and random rest: what anybody can make who knows the public key. */
function flood(end: WireGuardEnd, nowMs: number, count = LOAD_INITIATIONS_MAX + 1): Uint8Array[] {
  const macs = new OutgoingMacs(nobleProvider, end.privateKey.publicKey);
  const rng = seededRng(nowMs + 1);
  const replies: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const message = new Uint8Array(INITIATION_BYTES);
    rng.fill(message);
    message.set([1, 0, 0, 0]);
    macs.stamp(message, nowMs);
    end.receive(message, nowMs, FLOODER);
    replies.push(...end.takeDatagrams());
  }
  return replies;
}

function initiation(end: WireGuardEnd, nowMs: number): Uint8Array {
  end.wireGuard.restartSession(1);
  end.send(1, numberedPacket(7), nowMs);
  end.wireGuard.handleTimeout(nowMs);
  return end.takeDatagrams()[0]!;
}

describe('under a flood', () => {
  test('an honest initiator is asked for a cookie, and gets its session with the next try', () => {
    const { a, b } = createEndPair(1);
    flood(b, 0);
    a.send(1, numberedPacket(7), 0);
    const received = b.arena.copyIn(a.takeDatagrams()[0]!);
    b.wireGuard.receive(received, HONEST, 0);
    const slot = b.wireGuard.pollDatagram();
    // Nobody knows who sent the initiation: the reply, in its slot, goes where that came from.
    expect(slot).toBe(received);
    expect(b.arena.peer[slot]).toBe(-1);
    const reply = b.arena.packet(slot).slice();
    b.arena.free(slot);
    expect([reply.length, reply[0]]).toEqual([64, COOKIE_REPLY]);
    a.receive(reply, 10);
    expect(a.takeDatagrams()).toEqual([]);
    const [retry] = runUnanswered(a, 5400);
    expect(retry!.bytes.subarray(132).some((byte) => byte !== 0)).toBe(true);
    flood(b, retry!.atMs);
    b.receive(retry!.bytes, retry!.atMs, HONEST);
    exchange(a, b, retry!.atMs);
    expect(b.takePackets().map((packet) => packetNumber(packet))).toEqual([7]);
  });

  test('the flooder only gets cookie replies, and no initiation costs a key agreement', () => {
    const { b } = createEndPair(2);
    const replies = flood(b, 0, LOAD_INITIATIONS_MAX + 10);
    expect(replies.map((bytes) => bytes.length)).toEqual(new Array(10).fill(64));
    expect(b.wireGuard.counters.snapshot()).toEqual({
      'unauthentic-initiation': LOAD_INITIATIONS_MAX,
      'cookie-demanded': 10,
    });
  });

  test('messages whose mac1 is wrong get nothing and do not count as load', () => {
    const { a, b } = createEndPair(3);
    for (let i = 0; i < 10 * LOAD_INITIATIONS_MAX; i++) {
      const message = new Uint8Array(INITIATION_BYTES).fill(i);
      message.set([1, 0, 0, 0]);
      b.receive(message, 0, FLOODER);
    }
    expect(b.takeDatagrams()).toEqual([]);
    b.receive(initiation(a, 0), 0, HONEST);
    expect(b.takeDatagrams().map((bytes) => bytes[0])).toEqual([2]);
  });

  test('a cookie is of no use from another address', () => {
    const { a, b } = createEndPair(4);
    flood(b, 0);
    b.receive(initiation(a, 0), 0, HONEST);
    a.receive(b.takeDatagrams()[0]!, 0);
    const withCookie = initiation(a, 100);
    b.receive(withCookie, 100, FLOODER);
    expect(b.takeDatagrams().map((bytes) => bytes[0])).toEqual([COOKIE_REPLY]);
    b.receive(withCookie, 100, HONEST);
    expect(b.takeDatagrams().map((bytes) => bytes[0])).toEqual([2]);
  });

  test('a source with a cookie still gets five handshakes at once at most', () => {
    const { a, b } = createEndPair(5);
    flood(b, 0);
    b.receive(initiation(a, 0), 0, HONEST);
    a.receive(b.takeDatagrams()[0]!, 0);
    for (let i = 0; i < 20; i++) b.receive(initiation(a, 1), 1, HONEST);
    expect(b.wireGuard.counters.count('rate-limited')).toBe(15);
  });

  test('a response must prove its source too, and the handshake then succeeds', () => {
    const { a, b } = createEndPair(6);
    b.send(2, numberedPacket(5), 0);
    a.receive(b.takeDatagrams()[0]!, 0);
    flood(b, 0);
    b.receive(a.takeDatagrams()[0]!, 0, HONEST);
    const replies = b.takeDatagrams();
    expect(replies.map((bytes) => bytes[0])).toEqual([COOKIE_REPLY]);
    a.receive(replies[0]!, 0);
    expect(a.wireGuard.counters.snapshot()).toEqual({});
    const [retry] = runUnanswered(b, 5400);
    flood(b, retry!.atMs);
    a.receive(retry!.bytes, retry!.atMs);
    b.receive(a.takeDatagrams()[0]!, retry!.atMs, HONEST);
    exchange(a, b, retry!.atMs);
    expect(a.takePackets().map((packet) => packetNumber(packet))).toEqual([5]);
  });

  test('sessions that exist carry on', () => {
    const { a, b } = createEndPair(7);
    a.send(1, numberedPacket(1), 0);
    exchange(a, b, 0);
    flood(b, 1);
    a.send(1, numberedPacket(2), 2);
    exchange(a, b, 2);
    expect(b.takePackets()).toHaveLength(2);
  });

  test('the load is over a second after the flood', () => {
    const { a, b } = createEndPair(8);
    flood(b, 0);
    b.receive(initiation(a, 1000), 1000, HONEST);
    expect(b.takeDatagrams().map((bytes) => bytes[0])).toEqual([2]);
  });
});

describe('a cookie reply', () => {
  test('for no message of ours, or not authentic, changes nothing', () => {
    const { a, b } = createEndPair(9);
    flood(b, 0);
    b.receive(initiation(a, 0), 0, HONEST);
    const [reply] = b.takeDatagrams();
    const forged = reply!.slice();
    forged[40]! ^= 1;
    a.receive(forged, 1);
    const astray = reply!.slice();
    astray[4]! ^= 1;
    a.receive(astray, 1);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'unauthentic-cookie': 1, 'unexpected-cookie': 1 });
    expect(formatHex(initiation(a, 100).subarray(132))).toBe('00'.repeat(16));
  });

  test('leaves mac2 in initiations for two minutes', () => {
    const { a, b } = createEndPair(10);
    flood(b, 0);
    b.receive(initiation(a, 0), 0, HONEST);
    a.receive(b.takeDatagrams()[0]!, 0);
    runUnanswered(a, 118_000);
    expect(formatHex(initiation(a, 119_000).subarray(132))).not.toBe('00'.repeat(16));
    expect(formatHex(initiation(a, 120_000).subarray(132))).toBe('00'.repeat(16));
  });
});
