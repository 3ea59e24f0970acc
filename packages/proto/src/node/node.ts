import type { PacketArena } from '../bytes/packet-arena.ts';
import { SlotQueue } from '../bytes/slot-queue.ts';
import type { DerpMap } from '../control/derp-map.ts';
import type { Netmap } from '../control/netmap.ts';
import type { CryptoProvider, Rng, UnixClock } from '../crypto/provider.ts';
import { PacketFilter } from '../filter/packet-filter.ts';
import type { IpAddress } from '../ip/address.ts';
import type { Endpoint } from '../ip/endpoint.ts';
import type { IpPrefix } from '../ip/prefix.ts';
import type { DiscoPrivateKey, NodePrivateKey } from '../keys/private-key.ts';
import type { NodePublicKey } from '../keys/public-key.ts';
import { Netstack, type NetstackEvent } from '../netstack/netstack.ts';
import { classifyDatagram } from '../path/classify.ts';
import { PathAgent, type PathEvent, type PathSource } from '../path/path-agent.ts';
import { PrefixTrie } from '../routing/prefix-trie.ts';
import { Counters } from '../time/counters.ts';
import { earliestWake, type Wake } from '../time/machine.ts';
import { answerTsmpPing, isTsmp } from '../tsmp/tsmp.ts';
import { WireGuard } from '../wireguard/wireguard.ts';
import { PathSources } from './path-sources.ts';
import { PeerTable } from './peer-table.ts';
import { usedRoutes } from './used-routes.ts';

/** Largest inner packet: what every Tailscale node uses. */
export const MTU_BYTES = 1280;
/** Packets of our own making (TSMP answers) that wait for the next drain; more are dropped. */
const LOCAL_QUEUE_MAX = 64;
/** First byte of a WireGuard handshake initiation. */
const INITIATION_TYPE = 0x01;

export interface NodeOptions {
  readonly arena: PacketArena;
  readonly crypto: CryptoProvider;
  readonly rng: Rng;
  readonly unixMs: UnixClock;
  readonly nodeKey: NodePrivateKey;
  readonly discoKey: DiscoPrivateKey;
  /** Whether subnets that peers serve are theirs to us, see {@link usedRoutes}. */
  readonly acceptsRoutes: boolean;
}

/**
 * One datagram to send, reused by every {@link Node.pollTransmit}: read it before the next call.
 * With both an endpoint and a region the same bytes go both ways. The caller owns the slot and frees it when sent.
 */
export interface NodeTransmit {
  slot: number;
  endpoint: Endpoint | undefined;
  /** 0: not by relay. */
  regionId: number;
  to: NodePublicKey | undefined;
}

export type NodeDrop =
  | 'unroutable'
  | 'wrong-source'
  | 'short-packet'
  | 'arena-full'
  | 'unknown-relay-sender'
  | 'unknown-protocol'
  | `filter-${string}`;

export type NodeEvent = NetstackEvent | PathEvent;

/**
 * The data plane of one network: everything between the sockets of the machine and the sockets of the tailnet.
 *
 * ```text
 * netstack -> filter (reply flows) -> route -> WireGuard -> path -> pollTransmit -> UDP, relay
 * UDP, relay -> classify -> disco | WireGuard -> source belongs to peer? -> TSMP -> filter -> netstack
 * ```
 *
 * It owns the handles of the peers and is the only room that knows all the others. Data is pulled: the shell calls
 * `pollTransmit` while its sockets take more, and the netstack builds a segment only then, so a full socket pushes back
 * on TCP instead of dropping. Bad bytes are counted in `counters` of the room that refused them and never throw.
 */
export class Node {
  readonly peers: PeerTable = new PeerTable();
  readonly filter: PacketFilter = new PacketFilter();
  readonly netstack: Netstack;
  readonly path: PathAgent;
  readonly wireguard: WireGuard;
  readonly counters: Counters<NodeDrop> = new Counters<NodeDrop>();
  readonly transmit: NodeTransmit = { slot: -1, endpoint: undefined, regionId: 0, to: undefined };
  readonly #arena: PacketArena;
  readonly #acceptsRoutes: boolean;
  readonly #local = new SlotQueue(LOCAL_QUEUE_MAX);
  readonly #sources = new PathSources();
  // A cookie reply goes back in the slot of the message it answers, to whom it came from: its sender is not known yet.
  readonly #sourceOfSlot: (PathSource | undefined)[] = [];
  // Peers whose handshake began before anybody knew a way to them.
  readonly #unreached = new Set<number>();
  #routes = new PrefixTrie();
  #lastPacketAtMs = Number.NEGATIVE_INFINITY;
  #localAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: NodeOptions) {
    const { arena, crypto, rng, unixMs, nodeKey, discoKey } = options;
    this.#arena = arena;
    this.#acceptsRoutes = options.acceptsRoutes;
    this.netstack = new Netstack({ arena, rng, mtuBytes: MTU_BYTES });
    this.path = new PathAgent({ discoKey, nodeKey: nodeKey.publicKey, crypto, rng });
    this.wireguard = new WireGuard({
      arena,
      crypto,
      rng,
      unixMs,
      privateKey: nodeKey,
      directory: this.peers,
      mtuBytes: MTU_BYTES,
    });
  }

  /** When we last sent a packet to a peer; minus infinity for never. */
  get lastPacketAtMs(): number {
    return this.#lastPacketAtMs;
  }

  /** Takes over a netmap: peers, routes, filter and our own addresses. */
  setNetmap(netmap: Netmap, nowMs: number): void {
    for (const change of this.peers.update(netmap)) {
      if (change.kind === 'removed') {
        this.wireguard.removePeer(change.handle);
        this.path.removePeer(change.handle);
        this.#unreached.delete(change.handle);
        continue;
      }
      const { handle, node } = change;
      const { key: nodeKey, discoKey, homeDerp } = node;
      const endpoints = node.endpoints;
      this.path.updatePeer(handle, { nodeKey, discoKey, endpoints, homeDerp }, nowMs);
      const isReachedNow = (homeDerp !== 0 || endpoints.length > 0) && this.#unreached.delete(handle);
      if (isReachedNow || (change.kind === 'updated' && change.isRestarted)) this.wireguard.restartSession(handle);
    }
    this.#routes = this.#buildRoutes(netmap);
    this.filter.setRules(netmap.filterRules);
    this.filter.setLocalPrefixes(netmap.self.addresses);
    this.filter.setCapabilityOwners((capability) => addressesWithCapability(netmap, capability));
    this.netstack.setAddresses(
      netmap.self.addresses.map((prefix) => prefix.address),
      nowMs,
    );
  }

  /** Takes the slot: one datagram from a UDP socket. STUN answers are the caller's, see `classifyDatagram`. */
  handleUdp(slot: number, from: Endpoint, nowMs: number): void {
    this.#handleDatagram(slot, this.#sources.ofEndpoint(from), from.address.bytes, nowMs);
  }

  /** Takes the slot: one packet from a relay; `sender` is the 32-byte node key the relay vouches for. */
  handleDerp(slot: number, regionId: number, sender: Uint8Array, nowMs: number): void {
    const peer = this.peers.lookup(sender, 0);
    if (peer < 0) {
      // A peer may write before our netmap knows it; it tries again.
      this.#drop(slot, 'unknown-relay-sender');
      return;
    }
    this.#handleDatagram(slot, this.#sources.ofRelay(regionId, peer), sender, nowMs);
  }

  /** Fills {@link transmit} with the next datagram and returns true, or returns false when there is none. */
  pollTransmit(nowMs: number): boolean {
    if (this.#pollDisco()) return true;
    for (;;) {
      const datagram = this.wireguard.pollDatagram();
      if (datagram >= 0) {
        if (this.#routeDatagram(datagram, nowMs)) return true;
        continue;
      }
      let packet = this.#local.shift();
      if (packet < 0) packet = this.netstack.pollPacket(nowMs);
      if (packet < 0) return false;
      this.#sendPacket(packet, nowMs);
    }
  }

  pollEvent(): NodeEvent | undefined {
    const event = this.path.pollEvent();
    if (event?.kind === 'path-changed' && this.path.describe(event.peer).kind !== 'none') {
      if (this.#unreached.delete(event.peer)) this.wireguard.restartSession(event.peer);
    }
    return event ?? this.netstack.pollEvent();
  }

  handleTimeout(nowMs: number): void {
    this.wireguard.handleTimeout(nowMs);
    while (this.wireguard.pollEvent() !== undefined) {
      // A peer that does not answer shows in its status; the next packet to it begins again.
    }
    this.path.handleTimeout(nowMs);
    this.netstack.handleTimeout(nowMs);
  }

  pollTimeout(): Wake | undefined {
    if (this.#local.length > 0) return { atMs: this.#localAtMs, why: 'node packet' };
    const transport = earliestWake(this.wireguard.pollTimeout(), this.path.pollTimeout());
    return earliestWake(transport, this.netstack.pollTimeout());
  }

  /** The handle of the peer that an address is routed to, or -1. */
  routeOf(address: IpAddress): number {
    return this.#routes.lookup(address.bytes, 0, address.family);
  }

  #handleDatagram(slot: number, source: PathSource, cookieSource: Uint8Array, nowMs: number): void {
    const { bytes, offset, length } = this.#arena;
    switch (classifyDatagram(bytes, offset[slot] as number, length[slot] as number)) {
      case 'disco':
        this.path.handleDisco(this.#arena.packet(slot), source, nowMs);
        this.#arena.free(slot);
        return;
      case 'wireguard':
        this.#sourceOfSlot[slot] = source;
        this.wireguard.receive(slot, cookieSource, nowMs);
        this.#takePackets(source, nowMs);
        this.#takeSessionEvents(source, nowMs);
        return;
      default:
        this.#drop(slot, 'unknown-protocol');
    }
  }

  /** Keepalives and handshakes carry no packet but prove a path just the same. */
  #takeSessionEvents(source: PathSource, nowMs: number): void {
    for (let event = this.wireguard.pollEvent(); event !== undefined; event = this.wireguard.pollEvent()) {
      if (event.kind !== 'handshake-gave-up') this.path.noteReceived(event.peer, source, nowMs);
    }
  }

  #takePackets(source: PathSource, nowMs: number): void {
    for (let slot = this.wireguard.pollPacket(); slot >= 0; slot = this.wireguard.pollPacket()) {
      this.path.noteReceived(this.#arena.peer[slot] as number, source, nowMs);
      this.#receivePacket(slot, nowMs);
    }
  }

  /** Takes the slot: one decrypted packet. Its source must be routed to the very peer that encrypted it. */
  #receivePacket(slot: number, nowMs: number): void {
    const { bytes } = this.#arena;
    const start = this.#arena.offset[slot] as number;
    const length = this.#arena.length[slot] as number;
    const peer = this.#arena.peer[slot] as number;
    const isV6 = (bytes[start] as number) >> 4 === 6;
    if (length < (isV6 ? 40 : 20)) {
      this.#drop(slot, 'short-packet');
      return;
    }
    const owner = isV6 ? this.#routes.lookup(bytes, start + 8, 6) : this.#routes.lookup(bytes, start + 12, 4);
    if (owner !== peer) {
      this.#drop(slot, 'wrong-source');
      return;
    }
    if (isTsmp(bytes, start, length)) {
      this.#receiveTsmp(slot, nowMs);
      return;
    }
    const isJailed = this.peers.node(peer)?.isJailed ?? true;
    const verdict = this.filter.checkInbound(bytes, start, length, isJailed);
    if (verdict !== 'accept') {
      this.#drop(slot, `filter-${verdict}`);
      return;
    }
    this.netstack.handlePacket(slot, nowMs);
    const urgent = this.netstack.pollUrgentPacket(nowMs);
    if (urgent >= 0) this.#sendPacket(urgent, nowMs);
  }

  /** Takes the slot. Disco keys and rejections are advice that nothing here needs. */
  #receiveTsmp(slot: number, nowMs: number): void {
    this.#localAtMs = nowMs;
    const isAnswered = answerTsmpPing(this.#arena, slot);
    if (!isAnswered || !this.#local.push(slot)) this.#arena.free(slot);
  }

  /** Takes the slot: one packet of ours on its way to a peer. */
  #sendPacket(slot: number, nowMs: number): void {
    const { bytes } = this.#arena;
    const start = this.#arena.offset[slot] as number;
    const length = this.#arena.length[slot] as number;
    const verdict = this.filter.checkOutbound(bytes, start, length);
    if (verdict !== 'accept') {
      this.#drop(slot, `filter-${verdict}`);
      return;
    }
    const isV6 = (bytes[start] as number) >> 4 === 6;
    const peer = isV6 ? this.#routes.lookup(bytes, start + 24, 6) : this.#routes.lookup(bytes, start + 16, 4);
    if (peer < 0) {
      this.#drop(slot, 'unroutable');
      return;
    }
    this.#lastPacketAtMs = nowMs;
    this.wireguard.sendPacket(peer, slot, nowMs);
  }

  #routeDatagram(slot: number, nowMs: number): boolean {
    const peer = this.#arena.peer[slot] as number;
    if (peer < 0) return this.#returnDatagram(slot);
    const to = this.peers.publicKey(peer);
    const route = this.path.chooseRoute(peer, nowMs);
    if (to === undefined || (route.endpoint === undefined && route.regionId === 0)) {
      // A peer that has just joined tells its relay a moment later: WireGuard's next try would be in five seconds.
      if (this.#arena.bytes[this.#arena.offset[slot] as number] === INITIATION_TYPE) this.#unreached.add(peer);
      this.#drop(slot, 'unroutable');
      return false;
    }
    return this.#fillTransmit(slot, route.endpoint, route.regionId, to);
  }

  /** Sends an answer to a sender that nobody knows yet back the way its message came. */
  #returnDatagram(slot: number): boolean {
    const source = this.#sourceOfSlot[slot];
    if (source?.kind === 'udp') return this.#fillTransmit(slot, source.endpoint, 0, undefined);
    const to = source && this.peers.publicKey(source.peer);
    if (source !== undefined && to !== undefined) return this.#fillTransmit(slot, undefined, source.regionId, to);
    this.#drop(slot, 'unroutable');
    return false;
  }

  #pollDisco(): boolean {
    for (let message = this.path.pollTransmit(); message !== undefined; message = this.path.pollTransmit()) {
      const slot = this.#arena.copyIn(message.bytes);
      if (slot < 0) {
        this.counters.add('arena-full');
        continue;
      }
      return message.kind === 'udp'
        ? this.#fillTransmit(slot, message.to, 0, undefined)
        : this.#fillTransmit(slot, undefined, message.regionId, message.to);
    }
    return false;
  }

  #fillTransmit(slot: number, endpoint: Endpoint | undefined, regionId: number, to: NodePublicKey | undefined): true {
    this.transmit.slot = slot;
    this.transmit.endpoint = endpoint;
    this.transmit.regionId = regionId;
    this.transmit.to = to;
    return true;
  }

  #drop(slot: number, reason: NodeDrop): void {
    this.counters.add(reason);
    this.#arena.free(slot);
  }

  #buildRoutes(netmap: Netmap): PrefixTrie {
    const routes = new PrefixTrie();
    for (const node of netmap.peers.values()) {
      const handle = this.peers.handleOf(node.id);
      if (handle < 0) continue;
      for (const prefix of usedRoutes(node, this.#acceptsRoutes)) routes.insert(prefix, handle);
    }
    return routes;
  }
}

function addressesWithCapability(netmap: Netmap, capability: string): readonly IpPrefix[] {
  return [...netmap.peers.values()]
    .filter((node) => node.capabilities.has(capability))
    .flatMap((node) => node.addresses);
}

/** The code of a region, or its number when the map has none. */
export function regionCode(map: DerpMap, regionId: number): string {
  return map.regions.get(regionId)?.code || String(regionId);
}
