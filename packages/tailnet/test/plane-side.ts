import { EMPTY_DERP_MAP } from '@heddle/proto/control/derp-map';
import { EMPTY_DNS_CONFIG } from '@heddle/proto/control/dns-config';
import type { Netmap, NetmapNode } from '@heddle/proto/control/netmap';
import { parseFilterRules } from '@heddle/proto/filter/rules';
import { type IpAddress, parseAddress } from '@heddle/proto/ip/address';
import { type IpPrefix, parsePrefix } from '@heddle/proto/ip/prefix';
import { type DiscoPrivateKey, generatePrivateKey, type NodePrivateKey } from '@heddle/proto/keys/private-key';
import { createNodeCryptoProvider, nodeRng } from '../src/crypto/node-provider.ts';
import { DataPlane, type OwnEndpoint } from '../src/data-plane.ts';
import { describeStatus } from '../src/status.ts';
import type { TailnetStatus } from '../src/types.ts';

const crypto = createNodeCryptoProvider();
const ALLOW_ALL = parseFilterRules([{ SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: { First: 0, Last: 65535 } }] }]);

/** A data plane without a coordination server: its netmap is written by the test. */
export class Side {
  readonly number: number;
  readonly nodeKey: NodePrivateKey = generatePrivateKey('node', crypto, nodeRng);
  readonly discoKey: DiscoPrivateKey = generatePrivateKey('disco', crypto, nodeRng);
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
      acceptsRoutes: false,
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

export function netmapOf(self: NetmapNode, peers: readonly NetmapNode[]): Netmap {
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

/** The status of a side whose coordination server has said this. */
export const statusOf = (side: Side, netmap: Netmap | undefined): TailnetStatus =>
  describeStatus({
    state: { kind: 'starting' },
    controlUrl: 'http://control.test',
    nodeKey: side.nodeKey.publicKey,
    netmap,
    plane: side.plane,
  });
