import { once } from 'node:events';
import { EMPTY_DERP_MAP } from '@heddle/proto/control/derp-map';
import { EMPTY_DNS_CONFIG } from '@heddle/proto/control/dns-config';
import type { Netmap, NetmapNode } from '@heddle/proto/control/netmap';
import { parseFilterRules } from '@heddle/proto/filter/rules';
import { type IpAddress, parseAddress } from '@heddle/proto/ip/address';
import { type IpPrefix, parsePrefix } from '@heddle/proto/ip/prefix';
import { generatePrivateKey } from '@heddle/proto/keys/private-key';
import { formatPublicKey } from '@heddle/proto/keys/public-key';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createNodeCryptoProvider, nodeRng } from './crypto/node-provider.ts';
import { DataPlane, type OwnEndpoint } from './data-plane.ts';
import { describeStatus } from './status.ts';

const crypto = createNodeCryptoProvider();
const ALLOW_ALL = parseFilterRules([{ SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: { First: 0, Last: 65535 } }] }]);

/** A data plane without a coordination server: its netmap is written by the test. */
class Side {
  readonly number: number;
  readonly nodeKey = generatePrivateKey('node', crypto, nodeRng);
  readonly discoKey = generatePrivateKey('disco', crypto, nodeRng);
  readonly address: IpAddress;
  readonly told: (readonly OwnEndpoint[])[] = [];
  readonly homes: number[] = [];
  plane!: DataPlane;

  constructor(number: number) {
    this.number = number;
    this.address = parseAddress(`100.64.0.${number}`) as IpAddress;
  }

  async open(options: { isUdpEnabled: boolean; udpPort?: number }): Promise<this> {
    this.plane = await DataPlane.open({
      crypto,
      rng: nodeRng,
      nodeKey: this.nodeKey,
      discoKey: this.discoKey,
      controlUrl: 'http://127.0.0.1:1',
      tlsCa: undefined,
      udpPort: options.udpPort ?? 0,
      isUdpEnabled: options.isUdpEnabled,
      log: () => {},
      onEndpoints: (endpoints) => this.told.push(endpoints),
      onHome: (regionId) => this.homes.push(regionId),
      onRelayChange: () => {},
    });
    return this;
  }

  describe(overrides: Partial<NetmapNode> = {}): NetmapNode {
    const addresses = [parsePrefix(this.address.text) as IpPrefix];
    return {
      id: this.number,
      stableId: `n${this.number}`,
      name: `side${this.number}.lab.test.`,
      key: this.nodeKey.publicKey,
      discoKey: this.discoKey.publicKey,
      addresses,
      allowedIps: addresses,
      endpoints: this.plane.endpoints.map(({ endpoint }) => endpoint),
      homeDerp: 0,
      isOnline: true,
      isExpired: false,
      keyExpiryUnixMs: undefined,
      isJailed: false,
      isWireGuardOnly: false,
      capabilities: new Set(),
      hostname: `side${this.number}`,
      os: 'linux',
      primaryRoutes: [],
      tags: [],
      ...overrides,
    };
  }
}

function netmapOf(self: NetmapNode, peers: readonly NetmapNode[]): Netmap {
  const peerMap = new Map(peers.map((peer) => [peer.id, peer]));
  const rest = {
    derpMap: EMPTY_DERP_MAP,
    dns: EMPTY_DNS_CONFIG,
    filterRules: ALLOW_ALL,
    health: [],
    domain: 'lab.test',
  };
  return { self, peers: peerMap, ...rest };
}

let left: Side;
let right: Side;
const introduce = (): void => {
  left.plane.setNetmap(netmapOf(left.describe(), [right.describe()]));
  right.plane.setNetmap(netmapOf(right.describe(), [left.describe()]));
};
const statusOf = (side: Side, netmap: Netmap | undefined, plane: DataPlane | undefined = side.plane) =>
  describeStatus({
    state: { kind: 'starting' },
    controlUrl: 'http://control.test',
    nodeKey: side.nodeKey.publicKey,
    netmap,
    plane,
  });

beforeEach(async () => {
  [left, right] = await Promise.all([
    new Side(1).open({ isUdpEnabled: true }),
    new Side(2).open({ isUdpEnabled: true }),
  ]);
});
afterEach(async () => {
  await Promise.all([left.plane.close(), right.plane.close()]);
});

describe('two data planes without a relay', () => {
  it('find each other by their UDP endpoints and carry a connection', async () => {
    introduce();
    right.plane.sockets.listen(80, (connection) => connection.pipe(connection));
    expect(await left.plane.sockets.ping(right.address, 8000, undefined)).toBeGreaterThan(0);
    const options = { address: right.address, port: 80, timeoutMs: 8000, signal: undefined };
    const connection = await left.plane.sockets.dial(options);
    connection.end('echo');
    expect((await once(connection, 'data')).toString()).toBe('echo');
    const peer = statusOf(left, netmapOf(left.describe(), [right.describe()])).peers[0];
    expect(peer).toMatchObject({ name: 'side2', path: { kind: 'direct' }, online: true });
    expect(peer!.lastHandshakeUnixMs).toBeGreaterThan(1_600_000_000_000);
    expect(peer!.rxBytes).toBeGreaterThan(0);
  });
});

describe('a data plane', () => {
  it('tells its endpoints once, when it opens, and has no home without relays', () => {
    introduce();
    expect(left.told).toHaveLength(1);
    expect(left.plane.endpoints.length).toBeGreaterThan(0);
    for (const { type } of left.plane.endpoints) expect(type).toBe(1);
    expect([left.plane.home, left.plane.isHomeConnected, left.homes]).toEqual([0, false, []]);
  });

  it('does not open a UDP port that is taken', async () => {
    const port = left.plane.endpoints[0]!.endpoint.port;
    await expect(new Side(3).open({ isUdpEnabled: true, udpPort: port })).rejects.toThrow(`${port}`);
  });

  it('has no endpoints without UDP, and closes twice', async () => {
    const quiet = await new Side(3).open({ isUdpEnabled: false });
    expect([quiet.plane.endpoints, quiet.told]).toEqual([[], []]);
    await quiet.plane.close();
    await quiet.plane.close();
  });

  it('probes and pings on while it is closed, without an error', async () => {
    introduce();
    const pinging = left.plane.sockets.ping(right.address, 100, undefined);
    await left.plane.close();
    await pinging.catch(() => undefined);
    left.plane.probe(0);
    introduce();
    expect(left.plane.isRelayConnected(1)).toBe(false);
  });
});

describe('a status', () => {
  it('of a node that knows nothing yet is empty', () => {
    const status = describeStatus({
      state: { kind: 'starting' },
      controlUrl: 'http://control.test',
      nodeKey: undefined,
      netmap: undefined,
      plane: undefined,
    });
    expect(status).toEqual({
      state: { kind: 'starting' },
      name: '',
      dnsName: '',
      nodeKey: '',
      controlUrl: 'http://control.test',
      addresses: [],
      peerCount: 0,
      relay: undefined,
      endpoints: [],
      peers: [],
      counters: {},
    });
  });

  it('describes the node and its peers, and makes no state for those that are idle', () => {
    const expired = right.describe({ id: 3, isExpired: true, isOnline: undefined, name: '', hostname: 'old-one' });
    const netmap = netmapOf(left.describe(), [right.describe(), expired]);
    left.plane.setNetmap(netmap);
    const status = statusOf(left, netmap);
    expect(status).toMatchObject({
      name: 'side1',
      dnsName: 'side1.lab.test',
      nodeKey: formatPublicKey('node', left.nodeKey.publicKey),
      addresses: ['100.64.0.1'],
      peerCount: 2,
      relay: undefined,
      endpoints: left.plane.endpoints.map(({ endpoint }) => endpoint.text),
    });
    const idle = { path: { kind: 'none' }, rxBytes: 0, txBytes: 0, lastHandshakeUnixMs: 0 };
    expect(status.peers).toMatchObject([
      { name: 'side2', dnsName: 'side2.lab.test', allowedIps: ['100.64.0.2/32'], online: true, ...idle },
      { name: 'old-one', dnsName: '', online: false, ...idle },
    ]);
    expect(statusOf(left, netmap)).toEqual(status);
  });

  it('has the peers of a netmap while there is no data plane', () => {
    const netmap = netmapOf(left.describe(), [right.describe()]);
    const status = statusOf(left, netmap, undefined);
    const bare = describeStatus({ ...status, nodeKey: undefined, netmap, plane: undefined });
    expect(bare.peers).toMatchObject([{ name: 'side2', path: { kind: 'none' }, rxBytes: 0 }]);
    expect([bare.counters, bare.endpoints]).toEqual([{}, []]);
  });

  it('never shows a private key', () => {
    introduce();
    const text = JSON.stringify(statusOf(left, netmapOf(left.describe(), [right.describe()])));
    expect(text).not.toContain(left.nodeKey.exposeText().slice(8));
    expect(text).not.toContain('privkey');
  });

  it('counts drops by room and reason', () => {
    left.plane.node.counters.add('unroutable', 3);
    left.plane.node.netstack.counters.add('tcp-bad');
    expect(statusOf(left, undefined).counters).toMatchObject({ 'node/unroutable': 3, 'netstack/tcp-bad': 1 });
  });
});
