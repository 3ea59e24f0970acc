import { describe, expect, test } from 'vitest';
import { Download, Upload } from '../../test/netstack-world.ts';
import { ALLOW_ALL, type NodeHost, NodeWorld, netmapOf, REGION } from '../../test/node-world.ts';
import { seededRng } from '../../test/seeded-rng.ts';
import type { NetmapNode } from '../control/netmap.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { type IpPrefix, parsePrefix } from '../ip/prefix.ts';
import type { TcpConnection } from '../netstack/tcp/connection.ts';

const PORT = 7000;

type World2 = NodeWorld & { readonly hosts: readonly [NodeHost, NodeHost, NodeHost] };

function createWorld(seed: number, options: { hosts?: number; loss?: number } = {}): World2 {
  return new NodeWorld({ hosts: options.hosts ?? 2, seed, udp: { loss: options.loss ?? 0 } }) as World2;
}

/** Everything drained: no packet may still be owned by a machine. */
function expectNoLeak(world: NodeWorld): void {
  for (const { arena } of world.hosts) expect(arena.freeCount).toBe(arena.slotCount);
}

function isDirect(host: NodeHost, to: NodeHost): boolean {
  return host.node.path.describe(host.node.peers.handleOf(to.number)).kind === 'direct';
}

/** Gives a host another netmap, in which some of its peers are described differently. */
function retell(world: NodeWorld, host: NodeHost, peers: readonly NetmapNode[], filterRules = ALLOW_ALL): void {
  host.node.setNetmap(netmapOf(host.describe(), peers, filterRules), world.nowMs);
}

function randomBytes(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  seededRng(seed).fill(bytes);
  return bytes;
}

/** Serves `data` to whoever connects and takes what comes; both ends close when they have everything. */
class Exchange {
  readonly download = new Download();
  readonly #upload: Upload;
  readonly #world: NodeWorld;
  closeReason: string | undefined;

  constructor(world: NodeWorld, host: NodeHost, data: Uint8Array) {
    this.#world = world;
    this.#upload = new Upload(data);
    host.onEvent = (event) => {
      if ('connection' in event) this.#handle(event.kind, event.connection);
      if (event.kind === 'tcp-closed') this.closeReason = event.reason;
    };
  }

  #handle(kind: string, connection: TcpConnection): void {
    const { nowMs } = this.#world;
    if (kind === 'tcp-connected' || kind === 'tcp-incoming' || kind === 'tcp-writable') {
      this.#upload.pump(connection, nowMs);
    }
    this.download.take(connection, nowMs);
  }
}

describe('two nodes', () => {
  test('shake hands and answer pings by relay only', () => {
    const world = createWorld(1).introduce({ isUdpEnabled: false });
    const [a, b] = world.hosts;
    expect(world.isReachable(a, b.address)).toBe(true);
    expect(world.isReachable(b, a.address6)).toBe(true);
    expect([a.sent.udp, b.sent.udp]).toEqual([0, 0]);
    expect(a.sent.relay).toBeGreaterThan(0);
    expect(a.node.path.describe(0)).toEqual({ kind: 'relay', regionId: REGION });
    expectNoLeak(world);
  });

  test('go direct after disco and leave the relay alone', () => {
    const world = createWorld(2).introduce();
    const [a, b] = world.hosts;
    expect(world.isReachable(a, b.address)).toBe(true);
    world.runUntil(() => isDirect(a, b) && isDirect(b, a));
    const { relay } = a.sent;
    for (let i = 0; i < 5; i++) expect(world.isReachable(a, b.address)).toBe(true);
    expect(a.sent.relay).toBe(relay);
    expect(a.node.path.describe(0)).toMatchObject({ kind: 'direct', endpoint: { text: '198.51.100.2:41641' } });
    expectNoLeak(world);
  });

  test('talk by relay to a peer that no datagram reaches', () => {
    const world = createWorld(3, { loss: 1 }).introduce();
    const [a, b] = world.hosts;
    for (let i = 0; i < 3; i++) expect(world.isReachable(a, b.address)).toBe(true);
    expect(a.node.path.describe(0).kind).toBe('relay');
    world.run(10_000);
    expectNoLeak(world);
  });

  test.each([4, 6])('exchange the same bytes both ways over a link that loses packets, by IPv%i', (family) => {
    const world = createWorld(4 + family, { loss: 0.02 }).introduce();
    const [a, b] = world.hosts;
    const [there, back] = [randomBytes(256 * 1024, 1), randomBytes(256 * 1024, 2)];
    b.node.netstack.listenTcp(PORT, { isDeferred: false });
    const client = new Exchange(world, a, there);
    const server = new Exchange(world, b, back);
    const remote = family === 4 ? b.address : b.address6;
    a.node.netstack.connectTcp({ local: undefined, remote, port: PORT }, world.nowMs);
    const isDone = () => client.closeReason !== undefined && server.closeReason !== undefined;
    world.runUntil(isDone, 300_000);
    expect([client.closeReason, server.closeReason]).toEqual(['finished', 'finished']);
    const { blake2s } = nobleProvider;
    expect(blake2s(client.download.bytes())).toEqual(blake2s(back));
    expect(blake2s(server.download.bytes())).toEqual(blake2s(there));
    expect(isDirect(a, b)).toBe(true);
    world.run(60_000);
    expectNoLeak(world);
  });

  test('keep one connection through more than two rekeys', () => {
    const world = createWorld(12).introduce();
    const [a, b] = world.hosts;
    const received = new Download();
    const handshakes = new Set<number>();
    b.node.netstack.listenTcp(PORT, { isDeferred: false });
    b.onEvent = (event) => {
      if (event.kind === 'tcp-readable') received.take(event.connection, world.nowMs);
    };
    let isClosed = false;
    a.onEvent = (event) => {
      isClosed ||= event.kind === 'tcp-closed';
    };
    const connection = a.node.netstack.connectTcp({ local: undefined, remote: b.address, port: PORT }, world.nowMs);
    world.runUntil(() => a.events.some(({ kind }) => kind === 'tcp-connected'));
    const sent: number[] = [];
    for (let second = 0; second < 450; second += 5) {
      const line = randomBytes(50, second);
      sent.push(...line);
      expect(connection.write(line, world.nowMs)).toBe(line.length);
      world.run(5000);
      handshakes.add(a.node.wireguard.stats(0).lastHandshakeUnixMs);
    }
    expect(handshakes.size).toBeGreaterThanOrEqual(4);
    expect([...received.bytes()]).toEqual(sent);
    expect(isClosed).toBe(false);
    expect(isDirect(a, b)).toBe(true);
    expectNoLeak(world);
  });
});

describe('the netmap', () => {
  test('takes the session and the handle of a peer that it removes', () => {
    const world = createWorld(20).introduce();
    const [a, b] = world.hosts;
    expect(world.isReachable(a, b.address)).toBe(true);
    retell(world, a, []);
    expect(a.node.peers.handleOf(b.number)).toBe(-1);
    expect(a.node.peers.lookup(b.nodeKey.publicKey, 0)).toBe(-1);
    expect(a.node.routeOf(b.address)).toBe(-1);
    expect(a.node.wireguard.stats(0).lastHandshakeUnixMs).toBe(0);
    expect(a.node.path.describe(0).kind).toBe('none');
    expect(world.isReachable(b, a.address)).toBe(false);
    expect(world.isReachable(a, b.address)).toBe(false);
    expect(a.node.counters.count('unroutable')).toBeGreaterThan(0);
    expect(
      a.node.counters.count('unknown-relay-sender') + a.node.wireguard.counters.count('unknown-session'),
    ).toBeGreaterThan(0);
    world.run(120_000);
    expectNoLeak(world);
  });

  test('ends the session of a peer whose key expired, and lets it back in', () => {
    const world = createWorld(21).introduce();
    const [a, b] = world.hosts;
    expect(world.isReachable(a, b.address)).toBe(true);
    retell(world, a, [b.describe({ isExpired: true })]);
    expect(a.node.routeOf(b.address)).toBe(-1);
    expect(world.isReachable(b, a.address)).toBe(false);
    retell(world, a, [b.describe()]);
    expect(world.isReachable(a, b.address, 20_000)).toBe(true);
    world.run(120_000);
    expectNoLeak(world);
  });

  test('gives the place of a peer to its new key, and nothing of the old session', () => {
    const world = createWorld(22, { hosts: 3 }).introduce();
    const [a, b, c] = world.hosts;
    expect(world.isReachable(a, b.address)).toBe(true);
    // The third host takes over the number and the addresses of the second.
    const successor = c.describe({
      id: b.number,
      addresses: b.describe().addresses,
      allowedIps: b.describe().allowedIps,
    });
    const packets = b.node.wireguard.stats(b.node.peers.handleOf(a.number)).rxBytes;
    retell(world, a, [successor]);
    c.node.setNetmap(netmapOf(successor, [a.describe()]), world.nowMs);
    expect(a.node.peers.lookup(b.nodeKey.publicKey, 0)).toBe(-1);
    expect(a.node.wireguard.stats(a.node.peers.handleOf(b.number)).rxBytes).toBe(0);
    expect(world.isReachable(a, b.address)).toBe(true);
    expect(b.node.wireguard.stats(b.node.peers.handleOf(a.number)).rxBytes).toBe(packets);
    world.run(120_000);
    expectNoLeak(world);
  });

  test('sends what waited as soon as it tells a way to the peer', () => {
    const world = createWorld(25).introduce({ isUdpEnabled: false });
    const [a, b] = world.hosts;
    retell(world, a, [b.describe({ homeDerp: 0, endpoints: [] })]);
    a.node.netstack.sendEcho(
      { remote: b.address, identifier: 1, sequence: 1, payload: new Uint8Array(8) },
      world.nowMs,
    );
    world.run(100);
    expect(a.node.counters.count('unroutable')).toBe(1);
    retell(world, a, [b.describe()]);
    world.run(200);
    expect(a.events.map(({ kind }) => kind)).toContain('echo-reply');
    expectNoLeak(world);
  });

  test('that tells no relay is enough: what waited goes out when a direct path is found', () => {
    const world = createWorld(26);
    const [a, b] = world.hosts;
    for (const [us, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      us.node.path.setLocalEndpoints([us.endpoint], world.nowMs);
      retell(world, us, [peer.describe({ homeDerp: 0 })]);
    }
    expect(world.isReachable(a, b.address, 500)).toBe(true);
    expect([a.sent.relay, a.node.counters.count('unroutable')]).toEqual([0, 1]);
    expectNoLeak(world);
  });

  test('frees packets that wait for a peer that it removes', () => {
    const world = createWorld(23, { loss: 1 }).introduce();
    const [a, b] = world.hosts;
    const [remote, payload] = [b.address, new Uint8Array(8)];
    for (let sequence = 0; sequence < 20; sequence++) {
      a.node.netstack.sendEcho({ remote, identifier: 1, sequence, payload }, world.nowMs);
    }
    world.drain();
    expect(a.arena.freeCount).toBeLessThan(a.arena.slotCount);
    retell(world, a, []);
    world.run(100);
    expect(a.arena.freeCount).toBe(a.arena.slotCount);
  });

  test('aborts connections on an address that it takes away', () => {
    const world = createWorld(24).introduce();
    const [a, b] = world.hosts;
    b.node.netstack.listenTcp(PORT, { isDeferred: false });
    const client = new Exchange(world, a, new Uint8Array(0));
    a.node.netstack.connectTcp({ local: undefined, remote: b.address, port: PORT }, world.nowMs);
    world.runUntil(() => b.events.some(({ kind }) => kind === 'tcp-incoming'));
    const addresses = a.describe().addresses.slice(1);
    a.node.setNetmap(netmapOf(a.describe({ addresses }), [b.describe()]), world.nowMs);
    world.run(100);
    expect(client.closeReason).toBe('address-removed');
  });
});

describe('a packet from a peer', () => {
  test("is dropped when its source is another peer's", () => {
    const world = createWorld(30, { hosts: 3 }).introduce();
    const [a, b, c] = world.hosts;
    expect(world.isReachable(a, b.address)).toBe(true);
    // The third host believes that it has the addresses of the second.
    c.node.setNetmap(netmapOf(c.describe({ addresses: b.describe().addresses }), [a.describe()]), world.nowMs);
    for (const remote of [a.address, a.address6]) expect(world.isReachable(c, remote)).toBe(false);
    expect(a.node.counters.count('wrong-source')).toBe(2);
    expect(a.node.wireguard.stats(a.node.peers.handleOf(c.number)).rxBytes).toBeGreaterThan(0);
    expectNoLeak(world);
  });

  test.each([
    [false, 1],
    [true, 0],
  ])('may come from a subnet that its sender serves if routes are accepted: %s', (acceptsRoutes, wrongSources) => {
    const world = new NodeWorld({ hosts: 2, seed: 33, acceptsRoutes }).introduce();
    const [a, b] = world.hosts as [NodeHost, NodeHost];
    const inSubnet = parsePrefix('10.1.2.3') as IpPrefix;
    const allowedIps = [...b.describe().allowedIps, parsePrefix('10.1.0.0/16') as IpPrefix];
    retell(world, a, [b.describe({ allowedIps })]);
    expect(a.node.routeOf(inSubnet.address)).toBe(acceptsRoutes ? a.node.peers.handleOf(b.number) : -1);
    b.node.setNetmap(netmapOf(b.describe({ addresses: [inSubnet] }), [a.describe()]), world.nowMs);
    expect(world.isReachable(b, a.address)).toBe(acceptsRoutes);
    expect(a.node.counters.count('wrong-source')).toBe(wrongSources);
    if (acceptsRoutes) expect(world.isReachable(a, inSubnet.address)).toBe(true);
    expectNoLeak(world);
  });

  test('is dropped when nobody owns its source', () => {
    const world = createWorld(31).introduce();
    const [a, b] = world.hosts;
    retell(world, a, [b.describe({ allowedIps: b.describe().allowedIps.slice(1) })]);
    expect(world.isReachable(b, a.address)).toBe(false);
    expect(a.node.counters.count('wrong-source')).toBe(1);
    expect(world.isReachable(b, a.address6)).toBe(true);
  });

  test('is refused when it opens a connection that no rule allows, and let in when it answers', () => {
    const world = createWorld(32).introduce();
    const [a, b] = world.hosts;
    retell(world, a, [b.describe()], []);
    for (const host of [a, b]) host.node.netstack.listenTcp(PORT, { isDeferred: false });
    const refused = new Exchange(world, b, new Uint8Array(1));
    b.node.netstack.connectTcp({ local: undefined, remote: a.address, port: PORT }, world.nowMs);
    world.run(5000);
    expect(a.node.counters.count('filter-no-rule')).toBeGreaterThan(0);
    expect(a.events.some(({ kind }) => kind === 'tcp-incoming')).toBe(false);
    expect(refused.closeReason).toBeUndefined();
    const client = new Exchange(world, a, new Uint8Array(1000).fill(1));
    const server = new Exchange(world, b, new Uint8Array(2000).fill(2));
    a.node.netstack.connectTcp({ local: undefined, remote: b.address, port: PORT }, world.nowMs);
    world.runUntil(() => client.closeReason === 'finished' && server.download.length === 1000);
    expect(client.download.length).toBe(2000);
    const udp = a.node.netstack.openUdp(undefined);
    const echo = b.node.netstack.openUdp(9000);
    udp.send(b.address, 9000, Uint8Array.of(1, 2, 3), world.nowMs);
    world.run(200);
    const from = echo.receive()!.from;
    echo.send(from.address, from.port, Uint8Array.of(4), world.nowMs);
    world.run(200);
    expect(udp.receive()?.data).toEqual(Uint8Array.of(4));
  });

  test('opens nothing when the peer is jailed, though we may open to it', () => {
    const world = createWorld(33).introduce();
    const [a, b] = world.hosts;
    retell(world, a, [b.describe({ isJailed: true })]);
    expect(world.isReachable(b, a.address)).toBe(false);
    expect(a.node.counters.count('filter-no-rule')).toBe(1);
    expect(world.isReachable(a, b.address)).toBe(true);
    expectNoLeak(world);
  });

  test('is counted and dropped when its sender is unknown to us but not to the relay', () => {
    const world = createWorld(34, { hosts: 3 }).introduce({ isUdpEnabled: false });
    const [a, b, c] = world.hosts;
    retell(world, a, [b.describe()]);
    expect(world.isReachable(c, a.address)).toBe(false);
    expect(a.node.counters.count('unknown-relay-sender')).toBeGreaterThan(0);
    expect(world.isReachable(b, a.address)).toBe(true);
    expect(a.arena.freeCount).toBe(a.arena.slotCount);
  });
});
