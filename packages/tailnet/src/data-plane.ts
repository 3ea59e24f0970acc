import { lookup } from 'node:dns/promises';
import { PacketArena } from '@heddle/proto/bytes/packet-arena';
import type { DerpMap, DerpNode } from '@heddle/proto/control/derp-map';
import type { Netmap } from '@heddle/proto/control/netmap';
import type { CryptoProvider, Rng } from '@heddle/proto/crypto/provider';
import { type IpAddress, parseAddress } from '@heddle/proto/ip/address';
import { createEndpoint, type Endpoint } from '@heddle/proto/ip/endpoint';
import type { DiscoPrivateKey, NodePrivateKey } from '@heddle/proto/keys/private-key';
import { chooseHomeRegion } from '@heddle/proto/netcheck/home-region';
import { StunProber, type StunServer } from '@heddle/proto/netcheck/stun-prober';
import { Node, type NodeEvent } from '@heddle/proto/node/node';
import { classifyDatagram } from '@heddle/proto/path/classify';
import { createPacketMemory } from './crypto/packet-memory.ts';
import { DerpLinks } from './derp/derp-links.ts';
import { Driver } from './driver.ts';
import { SocketTable } from './net/socket-table.ts';
import type { TailnetError } from './tailnet-error.ts';
import type { LogLine } from './types.ts';
import { listLocalEndpoints } from './udp/local-endpoints.ts';
import { UdpTransport } from './udp/udp-transport.ts';

/** Packets that can be anywhere in the node at once: 8 MiB, of which a quiet node touches a few pages. */
const PACKET_SLOTS = 4096;
/** Own addresses told to peers. */
const ENDPOINTS_MAX = 32;
/** After so long without a packet of ours the node counts as quiet. */
const ACTIVE_MS = 45_000;
const NO_REGIONS: ReadonlySet<number> = new Set();

/** Where an endpoint is known from, in the numbers of `MapRequest.EndpointTypes`. */
export interface OwnEndpoint {
  readonly endpoint: Endpoint;
  /** 1: an interface of this machine, 2: seen by STUN. */
  readonly type: 1 | 2;
}

export interface DataPlaneOptions {
  readonly crypto: CryptoProvider;
  readonly rng: Rng;
  readonly nodeKey: NodePrivateKey;
  readonly discoKey: DiscoPrivateKey;
  readonly controlUrl: string;
  readonly tlsCa: string | undefined;
  readonly udpPort: number;
  readonly isUdpEnabled: boolean;
  readonly acceptsRoutes: boolean;
  readonly log: (line: LogLine) => void;
  /** Our own addresses changed: the coordination server has to know. */
  readonly onEndpoints: (endpoints: readonly OwnEndpoint[]) => void;
  /** Another relay became our home: the coordination server has to know. */
  readonly onHome: (regionId: number) => void;
  /** A relay connection came or went. */
  readonly onRelayChange: () => void;
}

/**
 * Everything that moves packets of one network under one node key: the machines of `proto/node`, the UDP sockets, the
 * relay connections and the tailnet's own sockets. A new node key means a new data plane.
 */
export class DataPlane {
  readonly node: Node;
  readonly sockets: SocketTable;
  readonly #options: DataPlaneOptions;
  readonly #arena: PacketArena;
  readonly #prober: StunProber;
  readonly #links: DerpLinks;
  readonly #driver: Driver;
  #udp: UdpTransport | undefined;
  #derpMap: DerpMap | undefined;
  #ownAddresses: readonly IpAddress[] = [];
  #endpoints: readonly OwnEndpoint[] = [];
  #home = 0;
  #isProbing = false;

  /** Opens the sockets. @throws {Error} when the UDP port is taken. */
  static async open(options: DataPlaneOptions): Promise<DataPlane> {
    const plane = new DataPlane(options);
    if (options.isUdpEnabled) await plane.#openUdp();
    plane.node.path.setUdpEnabled(options.isUdpEnabled);
    plane.#refreshEndpoints();
    return plane;
  }

  private constructor(options: DataPlaneOptions) {
    const { crypto, rng, nodeKey, discoKey, acceptsRoutes, controlUrl, tlsCa, log } = options;
    this.#options = options;
    this.#arena = new PacketArena(createPacketMemory(PACKET_SLOTS));
    const arena = this.#arena;
    this.node = new Node({ arena, crypto, rng, unixMs: Date.now, nodeKey, discoKey, acceptsRoutes });
    this.#prober = new StunProber({ rng });
    this.#links = new DerpLinks({
      arena,
      nodeKey,
      crypto,
      rng,
      controlUrl,
      tlsCa,
      log,
      onPacket: (regionId, slot, source) => {
        this.node.handleDerp(slot, regionId, source, this.#driver.now());
        this.#driver.wake();
      },
      onChange: options.onRelayChange,
    });
    this.#driver = this.#createDriver();
    this.sockets = new SocketTable(this.node.netstack, this.#driver);
  }

  get home(): number {
    return this.#home;
  }

  get isHomeConnected(): boolean {
    return this.#home !== 0 && this.#links.isConnected(this.#home);
  }

  get endpoints(): readonly OwnEndpoint[] {
    return this.#endpoints;
  }

  /** Why the home relay is not connected; undefined while it is, or was not tried. */
  get homeFailure(): TailnetError | undefined {
    return this.#links.failureOf(this.#home);
  }

  isRelayConnected(regionId: number): boolean {
    return this.#links.isConnected(regionId);
  }

  /** Drops of the relay connections, by reason. */
  relayCounters(): Record<string, number> {
    return this.#links.snapshot();
  }

  setNetmap(netmap: Netmap): void {
    this.#ownAddresses = netmap.self.addresses.map((prefix) => prefix.address);
    this.node.setNetmap(netmap, this.#driver.now());
    if (netmap.derpMap !== this.#derpMap) this.#setDerpMap(netmap.derpMap);
    this.#driver.wake();
  }

  /** Looks for a direct path to a peer now. */
  probe(peer: number): void {
    this.node.path.probe(peer, this.#driver.now());
    this.#driver.wake();
  }

  async close(): Promise<void> {
    this.sockets.close();
    this.#driver.close();
    await Promise.all([this.#links.close(), this.#udp?.close()]);
  }

  #createDriver(): Driver {
    const plane = this;
    return new Driver({
      arena: this.#arena,
      node: this.node,
      prober: this.#prober,
      sockets: {
        get isBlocked() {
          return plane.#udp?.isBlocked ?? false;
        },
        sendUdp: (slot, to) => this.#sendUdp(slot, to),
        sendDerp: (regionId, to, bytes, offset, length) => this.#links.send(regionId, to, bytes, offset, length),
      },
      onEvent: (event) => this.#handleEvent(event),
      onProbeReport: () => this.#handleReport(),
      onSpin: (why) =>
        this.#options.log({ level: 'error', message: 'a machine asks for time without end', fields: { why } }),
    });
  }

  async #openUdp(): Promise<void> {
    this.#udp = await UdpTransport.open({
      arena: this.#arena,
      port: this.#options.udpPort,
      onDatagram: (slot, from) => this.#handleDatagram(slot, from),
      onSendError: (to, isUnreachable) => {
        this.node.path.noteSendError(to, isUnreachable, this.#driver.now());
        this.#driver.wake();
      },
      onDrain: () => this.#driver.wake(),
    });
  }

  #handleDatagram(slot: number, from: Endpoint): void {
    const { bytes, offset, length } = this.#arena;
    const nowMs = this.#driver.now();
    if (classifyDatagram(bytes, offset[slot] as number, length[slot] as number) === 'stun') {
      this.#prober.handleStun(this.#arena.packet(slot), from, nowMs);
      this.#arena.free(slot);
    } else {
      this.node.handleUdp(slot, from, nowMs);
    }
    this.#driver.wake();
  }

  #sendUdp(slot: number, to: Endpoint): void {
    if (this.#udp === undefined) this.#arena.free(slot);
    else this.#udp.send(slot, to);
  }

  #handleEvent(event: NodeEvent): void {
    switch (event.kind) {
      case 'path-changed':
        return;
      case 'endpoints-wanted':
        this.#prober.probe(this.#driver.now());
        return;
      default:
        this.sockets.handleEvent(event);
    }
  }

  #setDerpMap(map: DerpMap): void {
    this.#derpMap = map;
    this.#links.setMap(map);
    this.#isProbing = this.#udp !== undefined;
    this.#chooseHome();
    void this.#probeServers(map);
  }

  async #probeServers(map: DerpMap): Promise<void> {
    if (this.#udp === undefined) return;
    const servers = await resolveStunServers(map, this.#udp.hasIpv6);
    if (map !== this.#derpMap) return;
    this.#isProbing = servers.length > 0;
    this.#prober.setServers(servers, this.#driver.now());
    this.#chooseHome();
    this.#driver.wake();
  }

  #handleReport(): void {
    const nowMs = this.#driver.now();
    // A quiet node lets its NAT mapping go: a call over the relay brings it back.
    this.#prober.setActive(nowMs - this.node.lastPacketAtMs < ACTIVE_MS, nowMs);
    this.#refreshEndpoints();
    this.#chooseHome();
  }

  #chooseHome(): void {
    const map = this.#derpMap;
    if (map === undefined) return;
    const { reports } = this.#prober;
    // The first choice is told to every peer: with several regions it is worth one round of probes.
    if (this.#home === 0 && map.regions.size > 1 && reports.length === 0 && this.#isProbing) return;
    const nowMs = this.#driver.now();
    const home = chooseHomeRegion({
      map,
      reports,
      oldHome: this.#home,
      lastFrameAtMs: this.isHomeConnected ? nowMs : undefined,
      excluded: NO_REGIONS,
      nowMs,
    });
    if (home === this.#home) return;
    this.#home = home;
    this.#prober.setHomeRegion(home);
    this.#links.setHome(home);
    this.#options.onHome(home);
  }

  #refreshEndpoints(): void {
    if (this.#udp === undefined) return;
    const { port, hasIpv6 } = this.#udp;
    const local = listLocalEndpoints(port, hasIpv6, (address) =>
      this.#ownAddresses.some((own) => own.text === address.text),
    );
    const byText = new Map<string, OwnEndpoint>();
    for (const endpoint of this.#prober.mappedEndpoints) byText.set(endpoint.text, { endpoint, type: 2 });
    for (const endpoint of local) byText.set(endpoint.text, { endpoint, type: 1 });
    const endpoints = [...byText.values()].slice(0, ENDPOINTS_MAX);
    this.node.path.setLocalEndpoints(
      endpoints.map(({ endpoint }) => endpoint),
      this.#driver.now(),
    );
    const isSame =
      endpoints.length === this.#endpoints.length &&
      endpoints.every((own, i) => own.endpoint.text === this.#endpoints[i]?.endpoint.text);
    this.#endpoints = endpoints;
    if (!isSame) this.#options.onEndpoints(endpoints);
  }
}

/** The STUN servers of a map with their addresses; names that do not resolve are left out. */
async function resolveStunServers(map: DerpMap, hasIpv6: boolean): Promise<StunServer[]> {
  const nodes = [...map.regions.values()]
    .filter((region) => !region.isNoMeasureNoHome)
    .flatMap((region) => region.nodes)
    .filter((node) => node.stunPort >= 0);
  const servers = await Promise.all(nodes.map((node) => resolveStunServer(node)));
  return servers.flat().filter(({ endpoint }) => endpoint.address.family === 4 || hasIpv6);
}

async function resolveStunServer(node: DerpNode): Promise<StunServer[]> {
  const port = node.stunPort === 0 ? 3478 : node.stunPort;
  const fixed = [node.ipv4, node.ipv6].flatMap((text) => parseAddress(text) ?? []);
  const literal = parseAddress(node.hostName);
  let addresses = fixed.length > 0 ? fixed : literal === undefined ? [] : [literal];
  if (addresses.length === 0) {
    const found = await lookup(node.hostName, { all: true }).catch(() => []);
    addresses = found.flatMap(({ address }) => parseAddress(address) ?? []);
  }
  return addresses.map((address) => ({ regionId: node.regionId, endpoint: createEndpoint(address, port) }));
}
