import { PACKET_SLOT_BYTES, PacketArena } from '../src/bytes/packet-arena.ts';
import { EMPTY_DERP_MAP } from '../src/control/derp-map.ts';
import { EMPTY_DNS_CONFIG } from '../src/control/dns-config.ts';
import type { Netmap, NetmapNode } from '../src/control/netmap.ts';
import { nobleProvider } from '../src/crypto/noble-provider.ts';
import { type FilterRule, parseFilterRules } from '../src/filter/rules.ts';
import { type IpAddress, parseAddress } from '../src/ip/address.ts';
import { type Endpoint, parseEndpoint } from '../src/ip/endpoint.ts';
import { type IpPrefix, parsePrefix } from '../src/ip/prefix.ts';
import { type DiscoPrivateKey, generatePrivateKey, type NodePrivateKey } from '../src/keys/private-key.ts';
import type { NodePublicKey } from '../src/keys/public-key.ts';
import { Node, type NodeEvent } from '../src/node/node.ts';
import { seededRng } from './seeded-rng.ts';
import { type LinkFaults, LossyLink, PERFECT_LINK } from './sim/lossy-link.ts';

export const REGION = 7;
/** The wall clock at virtual time 0. */
const START_UNIX_MS = 1_700_000_000_000;
const SLOT_COUNT = 1024;
/** A machine that is due again at once after so many rounds asks for time without end. */
const ROUNDS_MAX = 64;
const RELAY_LINK: LinkFaults = { ...PERFECT_LINK, delayMs: 25 };

export const ALLOW_ALL: FilterRule[] = parseFilterRules([
  { SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: { First: 0, Last: 65535 } }] },
]);

/** One node with its sockets: number `n` has the addresses 100.64.0.n and fd7a::n, and UDP at 198.51.100.n. */
export class NodeHost {
  readonly number: number;
  readonly arena: PacketArena = new PacketArena(new Uint8Array(SLOT_COUNT * PACKET_SLOT_BYTES));
  readonly nodeKey: NodePrivateKey;
  readonly discoKey: DiscoPrivateKey;
  readonly node: Node;
  readonly endpoint: Endpoint;
  readonly address: IpAddress;
  readonly address6: IpAddress;
  readonly events: NodeEvent[] = [];
  onEvent: (event: NodeEvent) => void = () => {};
  /** Datagrams put on each way. */
  readonly sent = { udp: 0, relay: 0 };

  constructor(number: number, seed: number, clock: () => number, acceptsRoutes = false) {
    const rng = seededRng(seed);
    this.number = number;
    this.nodeKey = generatePrivateKey('node', nobleProvider, rng);
    this.discoKey = generatePrivateKey('disco', nobleProvider, rng);
    this.endpoint = parseEndpoint(`198.51.100.${number}:41641`) as Endpoint;
    this.address = parseAddress(`100.64.0.${number}`) as IpAddress;
    this.address6 = parseAddress(`fd7a::${number}`) as IpAddress;
    this.node = new Node({
      arena: this.arena,
      crypto: nobleProvider,
      rng,
      unixMs: () => START_UNIX_MS + clock(),
      nodeKey: this.nodeKey,
      discoKey: this.discoKey,
      acceptsRoutes,
    });
  }

  /** The host as the netmap of the others shows it. */
  describe(overrides: Partial<NetmapNode> = {}): NetmapNode {
    const addresses = [this.address, this.address6].map((address) => parsePrefix(address.text) as IpPrefix);
    return {
      id: this.number,
      stableId: `n${this.number}`,
      name: `node${this.number}.example.`,
      key: this.nodeKey.publicKey,
      discoKey: this.discoKey.publicKey,
      addresses,
      allowedIps: addresses,
      endpoints: [this.endpoint],
      homeDerp: REGION,
      isOnline: true,
      isExpired: false,
      keyExpiryUnixMs: undefined,
      isJailed: false,
      isWireGuardOnly: false,
      capabilities: new Set(),
      hostname: `node${this.number}`,
      os: 'test',
      primaryRoutes: [],
      tags: [],
      ...overrides,
    };
  }
}

export function netmapOf(self: NetmapNode, peers: readonly NetmapNode[], filterRules = ALLOW_ALL): Netmap {
  return {
    self,
    peers: new Map(peers.map((peer) => [peer.id, peer])),
    derpMap: EMPTY_DERP_MAP,
    dns: EMPTY_DNS_CONFIG,
    filterRules,
    health: [],
    domain: 'example',
  };
}

interface Wire {
  readonly from: NodeHost;
  readonly to: NodeHost;
  readonly way: 'udp' | 'relay';
  readonly link: LossyLink;
}

/**
 * Some nodes, a UDP network and a relay between them, in virtual time. Two rules of every machine are checked at each
 * step: queued output is due now, and nothing stays due after it was given the time.
 */
export class NodeWorld {
  nowMs = 1000;
  readonly hosts: readonly NodeHost[];
  readonly #wires: Wire[] = [];

  constructor(options: { hosts: number; seed: number; udp?: Partial<LinkFaults>; acceptsRoutes?: boolean }) {
    const { seed } = options;
    this.hosts = Array.from(
      { length: options.hosts },
      (_, i) => new NodeHost(i + 1, seed + i, () => this.nowMs, options.acceptsRoutes),
    );
    const udp = { ...PERFECT_LINK, ...options.udp };
    for (const from of this.hosts) {
      for (const to of this.hosts) {
        if (from === to) continue;
        const rng = seededRng(seed + 1000 + this.#wires.length);
        this.#wires.push({ from, to, way: 'udp', link: new LossyLink(udp, rng) });
        this.#wires.push({ from, to, way: 'relay', link: new LossyLink(RELAY_LINK, rng) });
      }
    }
  }

  /** Gives every host the netmap of all, with direct paths unless said otherwise. */
  introduce(options: { isUdpEnabled: boolean } = { isUdpEnabled: true }): this {
    for (const host of this.hosts) {
      const peers = this.hosts.filter((other) => other !== host).map((other) => other.describe());
      host.node.path.setUdpEnabled(options.isUdpEnabled);
      host.node.path.setLocalEndpoints([host.endpoint], this.nowMs);
      host.node.setNetmap(netmapOf(host.describe(), peers), this.nowMs);
    }
    return this;
  }

  runUntil(isDone: () => boolean, limitMs = 60_000): void {
    const endMs = this.nowMs + limitMs;
    for (this.drain(); !isDone(); this.#step()) {
      if (this.#nextAtMs() > endMs) throw new Error(`not done after ${limitMs} virtual ms`);
    }
  }

  run(spanMs: number): void {
    const endMs = this.nowMs + spanMs;
    for (this.drain(); this.#nextAtMs() <= endMs; this.#step());
    this.nowMs = endMs;
  }

  /** One ping and whether it was answered. */
  isReachable(from: NodeHost, remote: IpAddress, limitMs = 3000): boolean {
    const sequence = from.events.length & 0xffff;
    const hasReply = () => from.events.some((event) => event.kind === 'echo-reply' && event.sequence === sequence);
    from.node.netstack.sendEcho({ remote, identifier: 1, sequence, payload: new Uint8Array(8) }, this.nowMs);
    const endMs = this.nowMs + limitMs;
    for (this.drain(); !hasReply() && this.#nextAtMs() <= endMs; this.#step());
    if (!hasReply()) this.nowMs = endMs;
    return hasReply();
  }

  drain(): void {
    for (const host of this.hosts) this.#drainHost(host);
  }

  #step(): void {
    this.nowMs = Math.max(this.nowMs, this.#nextAtMs());
    for (const wire of this.#wires) {
      for (let bytes = wire.link.receive(this.nowMs); bytes; bytes = wire.link.receive(this.nowMs)) {
        this.#deliver(wire, bytes);
      }
    }
    this.drain();
  }

  #deliver({ from, to, way }: Wire, bytes: Uint8Array): void {
    const slot = to.arena.copyIn(bytes);
    if (slot < 0) return;
    if (way === 'udp') to.node.handleUdp(slot, from.endpoint, this.nowMs);
    else to.node.handleDerp(slot, REGION, from.nodeKey.publicKey, this.nowMs);
  }

  #nextAtMs(): number {
    const wakes = this.hosts.map((host) => host.node.pollTimeout()?.atMs ?? Number.POSITIVE_INFINITY);
    return Math.min(...wakes, ...this.#wires.map(({ link }) => link.nextAtMs));
  }

  #drainHost(host: NodeHost): void {
    const { node } = host;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const wasDue = isDue(node, this.nowMs);
      let hasOutput = false;
      while (node.pollTransmit(this.nowMs)) {
        hasOutput = true;
        this.#send(host);
      }
      for (let event = node.pollEvent(); event !== undefined; event = node.pollEvent()) {
        hasOutput = true;
        host.events.push(event);
        if (event.kind === 'endpoints-wanted') node.path.setLocalEndpoints([host.endpoint], this.nowMs);
        host.onEvent(event);
      }
      if (hasOutput && !wasDue) throw new Error('output waited, and nothing was due');
      if (!isDue(node, this.nowMs)) return;
      node.handleTimeout(this.nowMs);
    }
    throw new Error(`no progress: ${node.pollTimeout()?.why}`);
  }

  #send(host: NodeHost): void {
    const { slot, endpoint, regionId, to } = host.node.transmit;
    const bytes = host.arena.packet(slot);
    if (endpoint !== undefined) {
      host.sent.udp++;
      this.#wire(host, 'udp', (other) => other.endpoint.text === endpoint.text)?.send(bytes, this.nowMs);
    }
    if (regionId !== 0 && to !== undefined) {
      host.sent.relay++;
      this.#wire(host, 'relay', (other) => isSame(other.nodeKey.publicKey, to))?.send(bytes, this.nowMs);
    }
    host.arena.free(slot);
  }

  #wire(from: NodeHost, way: 'udp' | 'relay', isReceiver: (host: NodeHost) => boolean): LossyLink | undefined {
    return this.#wires.find((wire) => wire.from === from && wire.way === way && isReceiver(wire.to))?.link;
  }
}

function isDue(node: Node, nowMs: number): boolean {
  const wake = node.pollTimeout();
  return wake !== undefined && wake.atMs <= nowMs;
}

function isSame(a: NodePublicKey, b: NodePublicKey): boolean {
  return a.every((byte, i) => byte === b[i]);
}
