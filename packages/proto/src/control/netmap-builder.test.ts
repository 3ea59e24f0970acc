import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import headscale023 from '../../test/vectors/control/stream-headscale-0.23.0.json' with { type: 'json' };
import headscale026 from '../../test/vectors/control/stream-headscale-0.26.1.json' with { type: 'json' };
import headscale029 from '../../test/vectors/control/stream-headscale-0.29.2.json' with { type: 'json' };
import headscaleMain from '../../test/vectors/control/stream-headscale-main.json' with { type: 'json' };
import testcontrol from '../../test/vectors/control/stream-testcontrol.json' with { type: 'json' };
import { parseFilterRules } from '../filter/rules.ts';
import { formatPrefix } from '../ip/prefix.ts';
import { formatPublicKey } from '../keys/public-key.ts';
import { parseDnsConfig } from './dns-config.ts';
import type { NetmapNode } from './netmap.ts';
import { NetmapBuilder } from './netmap-builder.ts';
import { parseTime } from './node-json.ts';

interface ExpectedPeer {
  readonly ID: number;
  readonly Name: string;
  readonly Key: string;
  readonly DiscoKey: string | null;
  readonly Addresses: readonly string[];
  readonly AllowedIPs: readonly string[];
  readonly Endpoints: readonly string[];
  readonly HomeDERP: number;
  readonly Online: boolean | null;
  readonly KeyExpiry: string | null;
  readonly Expired: boolean;
  readonly Tags: readonly string[];
  readonly PrimaryRoutes: readonly string[];
  readonly IsJailed: boolean;
}

interface Step {
  readonly note: string;
  readonly responses: readonly (readonly [number, Record<string, unknown>])[];
  readonly peers?: readonly ExpectedPeer[];
  readonly self?: {
    readonly ID: number;
    readonly Name: string;
    readonly Addresses: readonly string[];
    readonly Key: string;
  };
  readonly filterRules?: unknown;
  readonly domain?: string;
  readonly dns?: unknown;
  readonly derpRegions?: readonly string[];
}

interface Recording {
  readonly source: string;
  readonly steps: readonly Step[];
}

const recordings = [headscale023, headscale026, headscale029, headscaleMain, testcontrol] as unknown as Recording[];
const sorted = (texts: readonly string[]): string[] => [...texts].sort();

/** The reference client overwrites the first key bytes of a peer that it expired itself; ours only marks it. */
const withoutMark = (key: string, isExpired: boolean): string => (isExpired ? key.slice(20) : key.slice(8));

function describePeer(node: NetmapNode): object {
  return {
    id: node.id,
    name: node.name,
    key: withoutMark(formatPublicKey('node', node.key), node.isExpired),
    disco: node.discoKey === undefined ? null : formatPublicKey('disco', node.discoKey),
    addresses: node.addresses.map(formatPrefix),
    allowedIps: sorted(node.allowedIps.map(formatPrefix)),
    endpoints: node.endpoints.map((endpoint) => endpoint.text),
    homeDerp: node.homeDerp,
    isOnline: node.isOnline ?? null,
    keyExpiry: node.keyExpiryUnixMs ?? null,
    isExpired: node.isExpired,
    tags: node.tags,
    primaryRoutes: node.primaryRoutes.map(formatPrefix),
    isJailed: node.isJailed,
  };
}

function describeExpected(peer: ExpectedPeer): object {
  return {
    id: peer.ID,
    name: peer.Name.endsWith('.') ? peer.Name : `${peer.Name}.`,
    key: withoutMark(peer.Key, peer.Expired),
    disco: peer.DiscoKey,
    addresses: peer.Addresses,
    allowedIps: sorted(peer.AllowedIPs),
    endpoints: peer.Endpoints,
    homeDerp: peer.HomeDERP,
    isOnline: peer.Online,
    keyExpiry: parseTime(peer.KeyExpiry) ?? null,
    isExpired: peer.Expired,
    tags: peer.Tags,
    primaryRoutes: peer.PrimaryRoutes,
    isJailed: peer.IsJailed,
  };
}

/** The clock of the machine that recorded: server and client ran on one host. */
function recordedClock(recording: Recording): (sinceStartMs: number) => number {
  for (const step of recording.steps) {
    for (const [atMs, response] of step.responses) {
      const controlMs = parseTime(response['ControlTime']);
      if (controlMs !== undefined) return (sinceStartMs) => controlMs + sinceStartMs - atMs;
    }
  }
  throw new Error('no ControlTime');
}

describe.each(recordings)('the stream of $source', (recording) => {
  it('gives the netmap that the reference client had after every step', () => {
    const clock = recordedClock(recording);
    let nowMs = 0;
    const builder = new NetmapBuilder(() => nowMs);
    let expected: Step = recording.steps[0]!;
    for (const step of recording.steps) {
      for (const [atMs, response] of step.responses) {
        nowMs = clock(atMs);
        builder.apply(response);
      }
      expected = { ...expected, ...step };
      const netmap = builder.build()!;
      expect([...netmap.peers.values()].map(describePeer).sort(byId), step.note).toEqual(
        expected.peers!.map(describeExpected).sort(byId),
      );
      expect(netmap.self.id).toBe(expected.self!.ID);
      expect(netmap.self.addresses.map(formatPrefix)).toEqual(expected.self!.Addresses);
      expect(netmap.filterRules, step.note).toEqual(parseFilterRules(expected.filterRules));
      expect(netmap.domain).toBe(expected.domain);
      expect(netmap.derpMap.regions.size, step.note).toBe(expected.derpRegions!.length);
      expect(netmap.dns, step.note).toEqual(parseDnsConfig(expected.dns));
    }
    expect(builder.counters.snapshot()).toEqual({});
  });
});

const byId = (a: object, b: object): number => (a as { id: number }).id - (b as { id: number }).id;

const KEY = `nodekey:${'11'.repeat(32)}`;
const node = (id: number, more: object = {}): object => ({
  ID: id,
  Key: KEY,
  Addresses: [`100.64.0.${id}/32`],
  ...more,
});
const UNIX_MS = Date.parse('2026-11-21T09:00:00Z');

function builderWith(...messages: object[]): NetmapBuilder {
  const builder = new NetmapBuilder(() => UNIX_MS);
  for (const message of [{ Node: node(1) }, ...messages]) builder.apply(message);
  return builder;
}

describe('a stream', () => {
  it('has no netmap before its first Node', () => {
    const builder = new NetmapBuilder(() => UNIX_MS);
    builder.apply({ Peers: [node(2)] });
    expect(builder.build()).toBeUndefined();
  });

  it('with neither filter nor DNS blocks everything and resolves nothing', () => {
    const netmap = builderWith().build()!;
    expect(netmap.filterRules).toEqual([]);
    expect(netmap.dns.isProxied).toBe(false);
  });

  it('is not changed by keep-alives, times and unknown fields', () => {
    const builder = builderWith();
    for (const message of [
      { KeepAlive: true, Peers: [node(9)] },
      {},
      { ControlTime: '2026-11-21T09:00:00Z' },
      { New: 1 },
    ]) {
      expect(builder.apply(message).isChanged).toBe(false);
    }
    expect(builder.build()!.peers.size).toBe(0);
  });

  it('takes an empty Peers list for no change and a full one for everything', () => {
    const builder = builderWith({ Peers: [node(2), node(3)] });
    expect(builder.apply({ Peers: [] }).isChanged).toBe(false);
    builder.apply({ Peers: [node(3), node(4)], PeersRemoved: [4], PeersChangedPatch: [{ NodeID: 3, DERPRegion: 5 }] });
    expect([...builder.build()!.peers.keys()]).toEqual([3, 4]);
    expect(builder.build()!.peers.get(3)!.homeDerp).toBe(0);
  });

  it('applies removed, changed, online and patches in this order', () => {
    const builder = builderWith({ Peers: [node(2), node(3)] });
    builder.apply({
      PeersChangedPatch: [
        { NodeID: 2, DERPRegion: 7 },
        { NodeID: 424242, DERPRegion: 1 },
      ],
      OnlineChange: { 2: true, 99: true },
      PeersChanged: [node(2, { HomeDERP: 1, Online: false })],
      PeersRemoved: [2, 3, 77],
    });
    const peers = builder.build()!.peers;
    expect([...peers.keys()]).toEqual([2]);
    expect(peers.get(2)).toMatchObject({ homeDerp: 7, isOnline: true });
  });

  it('keeps the object of a peer that did not change', () => {
    const builder = builderWith({ Peers: [node(2), node(3)] });
    const before = builder.build()!;
    builder.apply({ OnlineChange: { 3: false } });
    const after = builder.build()!;
    expect(after.peers.get(2)).toBe(before.peers.get(2));
    expect(after.peers.get(3)).not.toBe(before.peers.get(3));
    expect(before.peers.get(3)!.isOnline).toBeUndefined();
  });

  it('loses only the damaged node, and keeps its older version', () => {
    const builder = builderWith({ Peers: [node(2), node(3), { ID: 4, Key: 'nodekey:xx' }, null, 'x'] });
    expect([...builder.build()!.peers.keys()]).toEqual([2, 3]);
    builder.apply({ Peers: [node(2, { Addresses: ['100.64.0.300/32'] }), node(5)] });
    expect([...builder.build()!.peers.keys()].sort()).toEqual([2, 5]);
    builder.apply({ PeersChangedPatch: [{ NodeID: 2, Key: '', DERPRegion: 9 }] });
    expect(builder.build()!.peers.get(2)!.homeDerp).toBe(0);
    expect(builder.counters.snapshot()).toEqual({ 'damaged-node': 4, 'damaged-patch': 1 });
  });

  it('patches keys, endpoints, capabilities and expiry', () => {
    const builder = builderWith({ Peers: [node(2, { DiscoKey: `discokey:${'22'.repeat(32)}` })] });
    const Key = `nodekey:${'33'.repeat(32)}`;
    const DiscoKey = `discokey:${'00'.repeat(32)}`;
    const change = { NodeID: 2, Key, DiscoKey, Endpoints: ['192.0.2.1:1', 'bad'], CapMap: { a: null }, Online: true };
    builder.apply({ PeersChangedPatch: [{ ...change, KeyExpiry: '2026-11-21T10:00:00Z' }] });
    const peer = builder.build()!.peers.get(2)!;
    expect(formatPublicKey('node', peer.key)).toBe(Key);
    expect(peer.discoKey).toBeUndefined();
    expect(peer.endpoints.map((endpoint) => endpoint.text)).toEqual(['192.0.2.1:1']);
    expect([...peer.capabilities]).toEqual(['a']);
    expect(peer.keyExpiryUnixMs).toBe(UNIX_MS + 3_600_000);
    expect(peer.isExpired).toBe(false);
  });

  it('a node that the server calls expired keeps its endpoints', () => {
    const builder = builderWith({ Peers: [node(2, { Expired: true, Endpoints: ['192.0.2.1:1'], HomeDERP: 4 })] });
    expect(builder.build()!.peers.get(2)).toMatchObject({ isExpired: true, homeDerp: 4 });
  });
});

describe('expiry', () => {
  it('comes with time and without a message', () => {
    let nowMs = UNIX_MS;
    const builder = new NetmapBuilder(() => nowMs);
    builder.apply({ Node: node(1), Peers: [node(2, { KeyExpiry: '2026-11-21T09:00:10Z', HomeDERP: 3 })] });
    expect(builder.nextExpiryUnixMs()).toBe(UNIX_MS + 10_000);
    expect(builder.handleTimeout()).toBe(false);
    nowMs += 10_000;
    expect(builder.handleTimeout()).toBe(true);
    expect(builder.build()!.peers.get(2)).toMatchObject({ isExpired: true, homeDerp: 0, endpoints: [] });
    expect(builder.nextExpiryUnixMs()).toBeUndefined();
    expect(builder.handleTimeout()).toBe(false);
  });

  it('follows the clock of the server when ours is more than a minute off', () => {
    const builder = new NetmapBuilder(() => 0);
    builder.apply({ ControlTime: '2026-11-21T09:00:00Z', Node: node(1, { KeyExpiry: '2026-11-21T08:59:59Z' }) });
    expect(builder.build()!.self.isExpired).toBe(true);
    builder.apply({ Peers: [node(2, { KeyExpiry: '2026-11-21T09:00:30Z' })] });
    expect(builder.build()!.peers.get(2)!.isExpired).toBe(false);
    expect(builder.nextExpiryUnixMs()).toBe(30_000);
  });

  it('the zero time means never', () => {
    const builder = builderWith({ Peers: [node(2, { KeyExpiry: '0001-01-01T00:00:00Z' })] });
    expect(builder.build()!.peers.get(2)).toMatchObject({ isExpired: false, keyExpiryUnixMs: undefined });
  });
});

describe('named filters', () => {
  const rule = (port: number): object => ({
    SrcIPs: ['*'],
    DstPorts: [{ IP: '*', Ports: { First: port, Last: port } }],
  });
  const ports = (builder: NetmapBuilder): number[] =>
    builder
      .build()!
      .filterRules.flatMap((r) => r.destinations.filter((d) => d.range.family === 4).map((d) => d.firstPort));

  it('are merged, replaced, deleted and cleared by name', () => {
    const builder = builderWith({ PacketFilter: [rule(1)] }, { PacketFilters: { a: [rule(2)], b: [rule(3)] } });
    expect(ports(builder)).toEqual([1, 2, 3]);
    builder.apply({ PacketFilters: { base: [rule(4)], a: null } });
    expect(ports(builder)).toEqual([4, 3]);
    builder.apply({ PacketFilters: { c: [rule(5)], '*': null } });
    expect(ports(builder)).toEqual([5]);
  });

  it('null and empty both block everything', () => {
    expect(ports(builderWith({ PacketFilter: [rule(1)] }, { PacketFilters: { base: null } }))).toEqual([]);
    expect(ports(builderWith({ PacketFilter: [rule(1)] }, { PacketFilters: { base: [] } }))).toEqual([]);
    expect(ports(builderWith({ PacketFilter: [rule(1)] }, { PacketFilter: [] }))).toEqual([]);
    expect(ports(builderWith({ PacketFilter: [rule(1)] }, { PacketFilter: null }))).toEqual([1]);
  });
});

it('health lines and display messages come and go', () => {
  const builder = builderWith({ Health: ['old style'] }, { DisplayMessages: { x: { Title: 'T', Text: 'why' } } });
  expect(builder.build()!.health).toEqual(['old style', 'T: why']);
  builder.apply({ Health: [], DisplayMessages: { '*': null, y: { Title: 'U' } } });
  expect(builder.build()!.health).toEqual(['U']);
});

it('a DERP map without regions keeps them, and its scores count', () => {
  const Regions = { 1: { RegionID: 1, RegionCode: 'a', Nodes: [{ HostName: 'h', DERPPort: 99 }, {}] }, 2: null, x: {} };
  const builder = builderWith({ DERPMap: { Regions } }, { DERPMap: { HomeParams: { RegionScore: { 1: 0.5 } } } });
  const map = builder.build()!.derpMap;
  expect([...map.regions.keys()]).toEqual([1]);
  expect(map.regions.get(1)!.nodes).toHaveLength(1);
  expect(map.regionScore).toEqual(new Map([[1, 0.5]]));
  builder.apply({ DERPMap: { Regions: {}, HomeParams: { RegionScore: {} } } });
  expect(builder.build()!.derpMap).toEqual({ regions: new Map(), regionScore: new Map() });
});

it('pings and pauses come along with any message', () => {
  const builder = builderWith();
  const PingRequest = { URL: 'http://h/p', Types: 'disco,TSMP', IP: '100.64.0.2', URLIsNoise: true };
  expect(builder.apply({ KeepAlive: true, PingRequest }).ping).toMatchObject({
    types: ['disco', 'TSMP'],
    isUrlNoise: true,
  });
  expect(builder.apply({ Debug: { SleepSeconds: 2 } }).sleepMs).toBe(2000);
  expect(builder.apply({ Debug: { SleepSeconds: 1e9 } }).sleepMs).toBe(300_000);
});

it('any JSON at all is survived', () => {
  const keys = [
    'Node',
    'Peers',
    'PeersChanged',
    'PeersChangedPatch',
    'PeersRemoved',
    'OnlineChange',
    'DERPMap',
    'DNSConfig',
    'PacketFilters',
    'PacketFilter',
    'Health',
    'DisplayMessages',
    'ControlTime',
    'Debug',
    'PingRequest',
    'Domain',
  ];
  const message = fc.dictionary(fc.constantFrom(...keys), fc.jsonValue());
  fc.assert(
    fc.property(fc.array(fc.oneof(message, fc.jsonValue()), { maxLength: 5 }), (messages) => {
      const builder = builderWith();
      for (const item of messages) builder.apply(item);
      builder.build();
    }),
  );
});
