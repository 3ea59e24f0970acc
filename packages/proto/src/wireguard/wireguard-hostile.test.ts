// Bytes of any kind, and callers and arenas at their limits.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import complete from '../../test/vectors/wireguard/complete.json' with { type: 'json' };
import {
  bytesOf,
  createEndPair,
  createSession,
  exchange,
  numberedPacket,
  packetNumber,
  type WireGuardEnd,
} from '../../test/wireguard-end.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { OutgoingMacs } from './outgoing-macs.ts';

const SOURCE = Uint8Array.of(203, 0, 113, 9, 0x20, 0x02);

/** One datagram of each kind between two ends, and the ends after it. */
function recordAll(seed: number): { a: WireGuardEnd; b: WireGuardEnd; forB: Uint8Array[]; forA: Uint8Array[] } {
  const { a, b } = createEndPair(seed);
  a.send(1, numberedPacket(1), 0);
  const [initiation] = a.takeDatagrams();
  b.receive(initiation!, 0);
  const [response] = b.takeDatagrams();
  a.receive(response!, 0);
  const [data] = a.takeDatagrams();
  return { a, b, forB: [initiation!, data!], forA: [response!, bytesOf(complete.cookieReply)] };
}

function expectNothingLeaks(end: WireGuardEnd): void {
  end.collect();
  for (const handle of end.listed.keys()) end.wireGuard.removePeer(handle);
  expect(end.arena.freeCount).toBe(end.arena.slotCount);
}

describe('datagrams that are not WireGuard', () => {
  test.each([0, 1, 2, 4, 16, 31])('of %d bytes are ignored', (length) => {
    const { a } = createSession(1);
    a.receive(new Uint8Array(length).fill(4), 1);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'too-short': 1 });
    expectNothingLeaks(a);
  });

  test('of random bytes never throw, never answer and never leak', () => {
    const { a } = createSession(2);
    const header = fc.constantFrom([1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0], [4, 0, 0, 0], [4, 0, 0, 1], []);
    const length = fc.oneof(fc.constantFrom(32, 64, 92, 148), fc.nat(300));
    const datagram = fc
      .tuple(header, length)
      .chain(([head, size]) =>
        fc
          .uint8Array({ minLength: size, maxLength: size })
          .map((bytes) => Uint8Array.from([...head, ...bytes]).subarray(0, size)),
      );
    fc.assert(
      fc.property(datagram, (bytes) => {
        a.receive(bytes, 1, SOURCE);
        expect(a.takeDatagrams()).toEqual([]);
        expect(a.takePackets()).toEqual([]);
      }),
      { numRuns: 500 },
    );
    expectNothingLeaks(a);
  });
});

describe('real messages', () => {
  test('truncated at every length or grown never throw, and the true one still works', () => {
    const { a, b, forA, forB } = recordAll(3);
    for (const [end, datagrams] of [
      [a, forA],
      [b, forB],
    ] as const) {
      for (const datagram of datagrams) {
        for (let length = 0; length < datagram.length; length++) end.receive(datagram.slice(0, length), 1, SOURCE);
        end.receive(Uint8Array.from([...datagram, 0]), 1, SOURCE);
      }
    }
    expect(b.takePackets()).toEqual([]);
    b.receive(forB[1]!, 2);
    expect(b.takePackets()).toHaveLength(1);
    expectNothingLeaks(a);
    expectNothingLeaks(b);
  });

  test('with any byte changed and mac1 made right again are never accepted', () => {
    const { a, b, forA, forB } = recordAll(4);
    const changed = fc.record({ pick: fc.nat(3), at: fc.nat(1000), bit: fc.nat(7) });
    fc.assert(
      fc.property(changed, ({ pick, at, bit }) => {
        const [end, datagram] = pick < 2 ? ([a, forA[pick]!] as const) : ([b, forB[pick - 2]!] as const);
        const forged = datagram.slice();
        forged[at % forged.length]! ^= 1 << bit;
        if (forged[0] === 1 || forged[0] === 2) {
          new OutgoingMacs(nobleProvider, end.privateKey.publicKey).stamp(forged, 0);
        }
        end.takeEvents();
        end.receive(forged, 1, SOURCE);
        expect(end.takePackets()).toEqual([]);
        expect(end.eventKinds()).toEqual([]);
      }),
      { numRuns: 200 },
    );
    b.receive(forB[1]!, 2);
    expect(b.takePackets()).toHaveLength(1);
  });

  test('with an inner packet that is no IP packet are counted, but prove the peer', () => {
    const { a, b } = createSession(5);
    a.send(1, new Uint8Array(40).fill(0x15), 2000);
    exchange(a, b, 2000);
    expect(b.takePackets()).toEqual([]);
    expect(b.eventKinds()).toEqual(['received']);
    expect(b.wireGuard.counters.snapshot()).toEqual({ 'bad-inner-packet': 1 });
    expectNothingLeaks(b);
  });

  test('carry IPv6 cut to its length', () => {
    const { a, b } = createSession(6);
    const packet = new Uint8Array(47).fill(7, 40);
    packet[0] = 0x60;
    packet[5] = 7;
    a.send(1, packet, 1);
    exchange(a, b, 1);
    expect(b.takePackets()).toEqual([packet]);
  });
});

describe('a caller', () => {
  test('who leaves no room for the header keeps the slot', () => {
    const { a } = createSession(7);
    const slot = a.arena.copyIn(numberedPacket(1));
    a.arena.offset[slot] = slot * 2048 + 15;
    expect(() => a.wireGuard.sendPacket(1, slot, 1)).toThrow(RangeError);
    a.arena.free(slot);
    expectNothingLeaks(a);
  });

  test.each([
    ['nothing', 0],
    ['more than a slot holds with the tag', 1984 - 15],
  ])('who sends %s loses the packet only', (_name, length) => {
    const { a, b } = createSession(8);
    a.send(1, new Uint8Array(length).fill(0x45), 1);
    a.send(1, numberedPacket(2), 1);
    exchange(a, b, 1);
    expect(b.takePackets().map((packet) => packetNumber(packet))).toEqual([2]);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'bad-outbound-packet': 1 });
  });

  test('may send as much as the slot of the receiver holds', () => {
    const { a, b } = createSession(9);
    a.send(1, numberedPacket(3, 1952), 1);
    exchange(a, b, 1);
    expect(b.takePackets()).toEqual([numberedPacket(3, 1952)]);
  });
});

describe('an arena without a free slot', () => {
  test('still sends handshakes: a waiting packet gives way', () => {
    const { a, b } = createEndPair(10, { slotCount: 8 });
    const held = Array.from({ length: 7 }, () => a.arena.allocate());
    const slot = a.arena.copyIn(numberedPacket(1));
    a.wireGuard.sendPacket(1, slot, 0);
    expect(exchange(a, b, 0)).toBe(3);
    expect(a.wireGuard.counters.snapshot()).toEqual({ 'staging-full': 1 });
    for (const each of held) a.arena.free(each);
    expectNothingLeaks(a);
  });

  test('and nothing that waits tries again with the next timer', () => {
    const { a, b } = createEndPair(11, { slotCount: 8 });
    a.send(1, numberedPacket(1), 0);
    a.takeDatagrams();
    a.wireGuard.removePeer(1);
    a.send(1, numberedPacket(2), 1);
    a.takeDatagrams();
    const held: number[] = [];
    for (let slot = a.arena.allocate(); slot >= 0; slot = a.arena.allocate()) held.push(slot);
    // The only packet gives way first, then there is nothing to give.
    a.wireGuard.handleTimeout(5400);
    for (const slot of [a.wireGuard.pollDatagram()]) held.push(slot);
    a.wireGuard.handleTimeout(10_800);
    expect(a.wireGuard.counters.count('no-slot')).toBe(1);
    for (const slot of held) a.arena.free(slot);
    a.wireGuard.handleTimeout(16_200);
    exchange(a, b, 16_200);
    expect(a.eventKinds()).toContain('handshake-completed');
    expectNothingLeaks(a);
  });
});

test('events nobody polls are bounded', () => {
  const { a, b } = createSession(12);
  for (let second = 1; second < 1100; second++) {
    if (second % 100 === 0) a.wireGuard.restartSession(1);
    a.send(1, numberedPacket(second), second * 1000);
    for (;;) {
      const fromA = a.takeDatagrams();
      if (fromA.length === 0) break;
      for (const datagram of fromA) deliver(b, datagram, second * 1000);
      for (const datagram of drainDatagrams(b)) a.receive(datagram, second * 1000);
    }
    drainPackets(b);
  }
  expect(b.wireGuard.counters.count('event-queue-full')).toBeGreaterThan(0);
  expect(b.takeEvents()).toHaveLength(1024);
});

function deliver(end: WireGuardEnd, datagram: Uint8Array, nowMs: number): void {
  end.wireGuard.receive(end.arena.copyIn(datagram), SOURCE, nowMs);
}

function drainDatagrams(end: WireGuardEnd): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  for (let slot = end.wireGuard.pollDatagram(); slot >= 0; slot = end.wireGuard.pollDatagram()) {
    datagrams.push(end.arena.packet(slot).slice());
    end.arena.free(slot);
  }
  return datagrams;
}

function drainPackets(end: WireGuardEnd): void {
  for (let slot = end.wireGuard.pollPacket(); slot >= 0; slot = end.wireGuard.pollPacket()) end.arena.free(slot);
}
