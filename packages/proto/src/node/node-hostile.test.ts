import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NodeHost, NodeWorld, netmapOf, REGION } from '../../test/node-world.ts';
import { seededRng } from '../../test/seeded-rng.ts';
import { WireGuardEnd } from '../../test/wireguard-end.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { type Endpoint, parseEndpoint } from '../ip/endpoint.ts';
import { decodeTsmp } from '../tsmp/tsmp.ts';
import { LOAD_INITIATIONS_MAX } from '../wireguard/load-meter.ts';
import { INITIATION_BYTES } from '../wireguard/messages.ts';
import { OutgoingMacs } from '../wireguard/outgoing-macs.ts';

const STRANGER = parseEndpoint('203.0.113.9:1234') as Endpoint;
const COOKIE_REPLY = 3;
const PEER = 1;

/** A node, and a bare WireGuard in the place of its peer 100.64.0.2: it sends any bytes, sealed as they should be. */
class RawPeer {
  readonly host = new NodeHost(1, 1, () => 0);
  readonly end: WireGuardEnd;

  constructor() {
    const [us, peer] = [this.host, new NodeHost(2, 2, () => 0)];
    this.end = new WireGuardEnd({ privateKey: peer.nodeKey.exposeBytes(), rng: seededRng(3) });
    this.end.listed.set(PEER, us.nodeKey.publicKey);
    us.node.setNetmap(netmapOf(us.describe(), [peer.describe({ discoKey: undefined })]), 0);
  }

  /** Sends inner packets and returns those that come back, by relay. */
  exchange(...packets: Uint8Array[]): Uint8Array[] {
    for (const packet of packets) this.end.send(PEER, packet, 0);
    for (let round = 0; round < 4; round++) {
      for (const datagram of this.end.takeDatagrams()) {
        this.host.node.handleDerp(this.host.arena.copyIn(datagram), REGION, this.end.privateKey.publicKey, 0);
      }
      for (const datagram of takeDatagrams(this.host)) this.end.receive(datagram, 0);
    }
    return this.end.takePackets();
  }
}

function takeDatagrams({ node, arena }: NodeHost): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  while (node.pollTransmit(0)) {
    datagrams.push(arena.packet(node.transmit.slot).slice());
    arena.free(node.transmit.slot);
  }
  return datagrams;
}

/** An IPv4 packet from the peer to us; its header checksum does not matter to what is tested. */
function innerPacket(protocol: number, payload: readonly number[], options: { source?: number[] } = {}): Uint8Array {
  const [source, destination] = [options.source ?? [100, 64, 0, 2], [100, 64, 0, 1]];
  const length = 20 + payload.length;
  const header = [0x45, 0, length >> 8, length & 0xff, 0, 0, 0, 0, 64, protocol, 0, 0, ...source, ...destination];
  return Uint8Array.of(...header, ...payload);
}

function flood(host: NodeHost, receive: (slot: number) => void): void {
  const macs = new OutgoingMacs(nobleProvider, host.nodeKey.publicKey);
  const rng = seededRng(9);
  for (let i = 0; i <= LOAD_INITIATIONS_MAX; i++) {
    const message = new Uint8Array(INITIATION_BYTES);
    rng.fill(message);
    message.set([1, 0, 0, 0]);
    macs.stamp(message, 0);
    receive(host.arena.copyIn(message));
  }
}

describe('a peer that sends what it likes', () => {
  test('gets its TSMP ping answered, whatever the filter says', () => {
    const peer = new RawPeer();
    peer.host.node.filter.setRules([]);
    const [pong] = peer.exchange(innerPacket(99, [0x70, 1, 2, 3, 4, 5, 6, 7, 8]));
    expect(decodeTsmp(pong!, 0, pong!.length)).toEqual({
      kind: 'pong',
      data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
      peerApiPort: 0,
    });
    expect([...pong!.subarray(12, 20)]).toEqual([100, 64, 0, 1, 100, 64, 0, 2]);
    expect(peer.host.arena.freeCount).toBe(peer.host.arena.slotCount);
  });

  test('gets a drain planned for the answer', () => {
    const peer = new RawPeer();
    peer.exchange(innerPacket(99, [0x70, 1, 2, 3, 4, 5, 6, 7, 8]));
    peer.end.send(PEER, innerPacket(99, [0x70, 8, 7, 6, 5, 4, 3, 2, 1]), 0);
    const { node, arena } = peer.host;
    for (const bytes of peer.end.takeDatagrams()) {
      node.handleDerp(arena.copyIn(bytes), REGION, peer.end.privateKey.publicKey, 0);
    }
    expect(node.pollTimeout()?.atMs).toBe(0);
    node.handleTimeout(0);
    expect(takeDatagrams(peer.host)).toHaveLength(1);
  });

  test('gets no answer to other TSMP messages, and to more pings than are kept', () => {
    const peer = new RawPeer();
    expect(peer.exchange(innerPacket(99, [0x6f, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]))).toEqual([]);
    expect(peer.exchange(innerPacket(99, [0x70, 1, 2]))).toEqual([]);
    const pings = Array.from({ length: 100 }, (_, i) => innerPacket(99, [0x70, i, 2, 3, 4, 5, 6, 7, 8]));
    expect(peer.exchange(...pings).length).toBeLessThan(100);
    expect(peer.host.arena.freeCount).toBe(peer.host.arena.slotCount);
  });

  test('is counted when it uses the source of another', () => {
    const peer = new RawPeer();
    peer.exchange(
      innerPacket(1, [8, 0, 0, 0], { source: [100, 64, 0, 3] }),
      innerPacket(99, [0x70, 1, 2, 3, 4, 5, 6, 7, 8], { source: [100, 64, 0, 1] }),
    );
    expect(peer.host.node.counters.count('wrong-source')).toBe(2);
    expect(peer.host.arena.freeCount).toBe(peer.host.arena.slotCount);
  });

  test('breaks nothing with random inner packets', () => {
    const peer = new RawPeer();
    peer.exchange(innerPacket(99, [0x70, 1, 2, 3, 4, 5, 6, 7, 8]));
    const anything = fc.tuple(fc.uint8Array({ maxLength: 80 }), fc.constantFrom(1, 2, 6, 17, 44, 99, 132));
    fc.assert(
      fc.property(anything, ([bytes, protocol]) => {
        peer.exchange(innerPacket(protocol, [...bytes]));
        peer.host.node.handleTimeout(0);
        while (peer.host.node.pollEvent() !== undefined);
      }),
      { numRuns: 300, seed: 7 },
    );
    expect(peer.host.arena.freeCount).toBe(peer.host.arena.slotCount);
  });
});

describe('under a flood of initiations', () => {
  test('a cookie reply goes back to the address that the initiation came from', () => {
    const { host } = new RawPeer();
    flood(host, (slot) => host.node.handleUdp(slot, STRANGER, 0));
    expect(host.node.pollTransmit(0)).toBe(true);
    const { slot, endpoint, regionId } = host.node.transmit;
    expect([endpoint, regionId]).toEqual([STRANGER, 0]);
    expect([host.arena.length[slot], host.arena.packet(slot)[0]]).toEqual([64, COOKIE_REPLY]);
    host.arena.free(slot);
    takeDatagrams(host);
    expect(host.arena.freeCount).toBe(host.arena.slotCount);
  });

  test('a cookie reply goes back by the relay to the peer that the initiation came from', () => {
    const { host, end } = new RawPeer();
    const key = end.privateKey.publicKey;
    flood(host, (slot) => host.node.handleDerp(slot, 11, key, 0));
    expect(host.node.pollTransmit(0)).toBe(true);
    expect(host.node.transmit).toMatchObject({ endpoint: undefined, regionId: 11, to: key });
    host.arena.free(host.node.transmit.slot);
    takeDatagrams(host);
    expect(host.arena.freeCount).toBe(host.arena.slotCount);
  });
});

describe('bytes from anywhere', () => {
  const MAGICS = [[], [1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0], [4, 0, 0, 0], [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac]];

  test('never throw, leak no slot and cost the peers nothing', () => {
    const world = new NodeWorld({ hosts: 2, seed: 40 }).introduce();
    const [a, b] = world.hosts as [NodeHost, NodeHost];
    expect(world.isReachable(a, b.address)).toBe(true);
    const datagram = fc.tuple(
      fc.constantFrom(...MAGICS),
      fc.uint8Array({ maxLength: 200 }),
      fc.integer({ min: 0, max: 3 }),
    );
    fc.assert(
      fc.property(datagram, ([magic, bytes, way]) => {
        const slot = a.arena.copyIn(Uint8Array.of(...magic, ...bytes));
        if (way === 0) a.node.handleUdp(slot, STRANGER, world.nowMs);
        else if (way === 1) a.node.handleUdp(slot, b.endpoint, world.nowMs);
        else if (way === 2) a.node.handleDerp(slot, REGION, b.nodeKey.publicKey, world.nowMs);
        else a.node.handleDerp(slot, REGION, new Uint8Array(32), world.nowMs);
        world.drain();
      }),
      { numRuns: 1000, seed: 8 },
    );
    expect(a.arena.freeCount).toBe(a.arena.slotCount);
    expect(world.isReachable(a, b.address)).toBe(true);
  });

  test('are counted when they belong to no protocol', () => {
    const { host } = new RawPeer();
    for (const bytes of [[], [9, 9, 9], [5, 0, 0, 0, ...new Array<number>(40).fill(1)]]) {
      host.node.handleUdp(host.arena.copyIn(Uint8Array.of(...bytes)), STRANGER, 0);
    }
    expect(host.node.counters.count('unknown-protocol')).toBe(3);
    expect(host.arena.freeCount).toBe(host.arena.slotCount);
  });

  test('find every slot taken, and the node goes on when there are some again', () => {
    const world = new NodeWorld({ hosts: 2, seed: 41 }).introduce();
    const [a, b] = world.hosts as [NodeHost, NodeHost];
    const taken: number[] = [];
    for (let slot = a.arena.allocate(); slot >= 0; slot = a.arena.allocate()) taken.push(slot);
    expect(world.isReachable(a, b.address)).toBe(false);
    a.node.path.probe(0, world.nowMs);
    world.run(1000);
    expect(a.node.counters.count('arena-full')).toBeGreaterThan(0);
    for (const slot of taken) a.arena.free(slot);
    expect(world.isReachable(a, b.address)).toBe(true);
  });
});
