import { PACKET_SLOT_BYTES, PacketArena } from '@heddle/proto/bytes/packet-arena';
import { type Endpoint, parseEndpoint } from '@heddle/proto/ip/endpoint';
import type { NodePublicKey } from '@heddle/proto/keys/public-key';
import type { StunProber } from '@heddle/proto/netcheck/stun-prober';
import type { Node, NodeEvent } from '@heddle/proto/node/node';
import type { Wake } from '@heddle/proto/time/machine';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Driver } from './driver.ts';

const TO = parseEndpoint('192.0.2.1:41641') as Endpoint;
const KEY = new Uint8Array(32) as NodePublicKey;
const SLOTS = 1024;

/** A machine that has so many datagrams, and wakes when its test says so. */
class FakeNode {
  readonly arena: PacketArena;
  readonly transmit = { slot: -1, endpoint: TO as Endpoint | undefined, regionId: 0, to: KEY };
  queued = 0;
  events: NodeEvent[] = [];
  wake: Wake | undefined;
  timeouts: number[] = [];
  onTimeout: (nowMs: number) => void = () => {
    this.wake = undefined;
  };

  constructor(arena: PacketArena) {
    this.arena = arena;
  }

  pollTransmit(): boolean {
    if (this.queued === 0) return false;
    this.queued--;
    this.transmit.slot = this.arena.copyIn(Uint8Array.of(7));
    return true;
  }
  pollEvent(): NodeEvent | undefined {
    return this.events.shift();
  }
  pollTimeout(): Wake | undefined {
    return this.wake;
  }
  handleTimeout(nowMs: number): void {
    this.timeouts.push(nowMs);
    this.onTimeout(nowMs);
  }
}

let arena: PacketArena;
let node: FakeNode;
let driver: Driver;
let isBlocked: boolean;
let sent: { udp: Endpoint[]; relay: number[] };
let seen: NodeEvent[];
let spins: string[];
let onSend: () => void;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance'] });
  arena = new PacketArena(new Uint8Array(SLOTS * PACKET_SLOT_BYTES));
  node = new FakeNode(arena);
  [isBlocked, sent, seen, spins, onSend] = [false, { udp: [], relay: [] }, [], [], () => {}];
  const prober = {
    pollTransmit: () => undefined,
    pollEvent: () => undefined,
    pollTimeout: () => undefined,
    handleTimeout: () => {},
  };
  driver = new Driver({
    arena,
    node: node as unknown as Node,
    prober: prober as unknown as StunProber,
    sockets: {
      get isBlocked() {
        return isBlocked;
      },
      sendUdp: (slot, to) => {
        arena.free(slot);
        sent.udp.push(to);
        onSend();
      },
      sendDerp: (regionId) => sent.relay.push(regionId),
    },
    onEvent: (event) => seen.push(event),
    onProbeReport: () => {},
    onSpin: (why) => spins.push(why),
  });
});
afterEach(() => {
  driver.close();
  vi.useRealTimers();
});

/** One turn of the event loop. */
const turn = () => vi.advanceTimersByTime(0);

describe('a driver', () => {
  it('drains once a turn, however often it was woken', () => {
    node.queued = 3;
    driver.wake();
    driver.wake();
    expect(sent.udp).toEqual([]);
    turn();
    expect(sent.udp).toEqual([TO, TO, TO]);
    expect(vi.getTimerCount()).toBe(0);
    expect(arena.freeCount).toBe(SLOTS);
  });

  it('sends by relay, by UDP, or both, and frees the slot once', () => {
    node.queued = 1;
    node.transmit.regionId = 5;
    driver.wake();
    turn();
    expect([sent.udp, sent.relay]).toEqual([[TO], [5]]);
    node.queued = 1;
    node.transmit.endpoint = undefined;
    driver.wake();
    turn();
    expect([sent.udp.length, sent.relay]).toEqual([1, [5, 5]]);
    expect(arena.freeCount).toBe(SLOTS);
  });

  it('stops pulling while the sockets are full, and goes on when it is woken', () => {
    node.queued = 10;
    onSend = () => {
      isBlocked = sent.udp.length === 4;
    };
    driver.wake();
    turn();
    expect([sent.udp.length, node.queued]).toEqual([4, 6]);
    isBlocked = false;
    driver.wake();
    turn();
    expect(sent.udp.length).toBe(10);
  });

  it('gives the sockets a turn after its budget, and then goes on by itself', () => {
    node.queued = 600;
    driver.wake();
    vi.advanceTimersToNextTimer();
    expect(sent.udp.length).toBe(256);
    vi.advanceTimersToNextTimer();
    expect(sent.udp.length).toBe(512);
    vi.advanceTimersToNextTimer();
    expect(sent.udp.length).toBe(600);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('hands out every event', () => {
    node.events = [
      { kind: 'path-changed', peer: 1 },
      { kind: 'path-changed', peer: 2 },
    ];
    driver.wake();
    turn();
    expect(seen).toHaveLength(2);
  });

  it('gives the time when it has come, with one timer', () => {
    node.wake = { atMs: driver.now() + 100, why: 'later' };
    driver.wake();
    turn();
    expect([node.timeouts.length, vi.getTimerCount()]).toEqual([0, 1]);
    vi.advanceTimersByTime(99);
    expect(node.timeouts).toEqual([]);
    vi.advanceTimersByTime(2);
    expect(node.timeouts).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('moves its timer to an earlier time, and checks a later one when it fires', () => {
    node.wake = { atMs: driver.now() + 1000, why: 'late' };
    driver.wake();
    turn();
    node.wake = { atMs: driver.now() + 10, why: 'early' };
    driver.wake();
    turn();
    expect(vi.getTimerCount()).toBe(1);
    node.wake = { atMs: driver.now() + 500, why: 'moved away' };
    vi.advanceTimersByTime(20);
    expect([node.timeouts.length, vi.getTimerCount()]).toEqual([0, 1]);
    vi.advanceTimersByTime(500);
    expect(node.timeouts).toHaveLength(1);
  });

  it('sends what a timeout has queued in the same turn', () => {
    node.wake = { atMs: driver.now(), why: 'now' };
    node.onTimeout = () => {
      node.wake = undefined;
      node.queued = 2;
    };
    driver.wake();
    turn();
    expect(sent.udp).toHaveLength(2);
  });

  it('reports a machine that is always due, and does not spin', () => {
    node.wake = { atMs: driver.now(), why: 'greed' };
    node.onTimeout = () => {};
    driver.wake();
    turn();
    expect(spins).toEqual(['greed']);
    expect(node.timeouts).toHaveLength(16);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(10);
    expect(spins.length).toBeGreaterThan(1);
    expect(spins.length).toBeLessThanOrEqual(11);
  });

  it('gives the time even when there is always more to send than its budget', () => {
    node.queued = Number.POSITIVE_INFINITY;
    node.wake = { atMs: driver.now(), why: 'rekey' };
    driver.wake();
    for (let i = 0; i < 20; i++) vi.advanceTimersToNextTimer();
    expect(node.timeouts.length).toBeGreaterThan(0);
  });

  it('still gives the time to the machines while the sockets are full', () => {
    isBlocked = true;
    node.queued = 1;
    node.wake = { atMs: driver.now() + 50, why: 'retransmit' };
    driver.wake();
    turn();
    vi.advanceTimersByTime(100);
    isBlocked = false;
    driver.wake();
    turn();
    expect(node.timeouts).toHaveLength(1);
  });

  it('sends what is queued when it closes, and nothing afterwards', () => {
    node.queued = 2;
    node.wake = { atMs: driver.now() + 10, why: 'later' };
    driver.wake();
    driver.close();
    expect(sent.udp).toHaveLength(2);
    node.queued = 5;
    driver.wake();
    vi.advanceTimersByTime(100);
    driver.close();
    expect([sent.udp.length, node.timeouts.length]).toEqual([2, 0]);
  });
});
