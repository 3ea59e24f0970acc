import { isEqualBytes } from '../bytes/equal.ts';
import type { CryptoProvider, Rng } from '../crypto/provider.ts';
import { DISCO_HEADER_BYTES, DiscoBox, hasDiscoMagic } from '../disco/disco-box.ts';
import {
  type CallMeMaybe,
  type DiscoMessage,
  decodeDiscoMessage,
  encodeDiscoMessage,
  type Ping,
  type Pong,
  TX_ID_BYTES,
} from '../disco/message.ts';
import { type IpAddress, parseAddress } from '../ip/address.ts';
import { createEndpoint, type Endpoint } from '../ip/endpoint.ts';
import type { DiscoPrivateKey } from '../keys/private-key.ts';
import type { DiscoPublicKey, NodePublicKey } from '../keys/public-key.ts';
import { Counters } from '../time/counters.ts';
import type { Wake } from '../time/machine.ts';
import { type PathActions, type PeerInfo, PeerPath } from './peer-path.ts';
import { type DiscoSender, SenderTable } from './sender-table.ts';
import { usableEndpoints } from './usable-endpoints.ts';

/** The way a datagram came. `peer` is the handle of the node key that the relay named as its sender, -1 if unknown. */
export type PathSource =
  | { readonly kind: 'udp'; readonly endpoint: Endpoint }
  | { readonly kind: 'derp'; readonly regionId: number; readonly peer: number };

/** Where to send a packet: by UDP, by relay, by both, or (neither) not at all. */
export interface PathRoute {
  readonly endpoint: Endpoint | undefined;
  /** Region of the relay; 0 means that the relay is not used. */
  readonly regionId: number;
}

/** A disco message to send. The bytes belong to the caller. */
export type PathTransmit =
  | { readonly kind: 'udp'; readonly to: Endpoint; readonly bytes: Uint8Array }
  | { readonly kind: 'derp'; readonly regionId: number; readonly to: NodePublicKey; readonly bytes: Uint8Array };

/** `endpoints-wanted`: find out our endpoints again and call `setLocalEndpoints`, even if nothing changed. */
export type PathEvent =
  | { readonly kind: 'path-changed'; readonly peer: number }
  | { readonly kind: 'endpoints-wanted' };

/** What a status display shows. A direct path that misses two pongs in a row shows as the relay that stands in for it. */
export type PathDescription =
  | { readonly kind: 'direct'; readonly endpoint: Endpoint; readonly latencyMs: number }
  | { readonly kind: 'relay'; readonly regionId: number }
  | { readonly kind: 'none' };

/** Why a disco message was dropped, or could not be sent. */
export type PathDrop =
  | 'short'
  | 'no-magic'
  | 'unknown-sender'
  | 'wrong-relay-sender'
  | 'bad-box'
  | 'bad-message'
  | 'peer-relay-message'
  | 'unknown-transaction'
  | 'pong-by-relay'
  | 'call-by-udp'
  | 'udp-disabled'
  | 'unusable-key'
  | 'transmit-queue-full';

/** Disco messages waiting to be sent; beyond it new ones are dropped, as the network might. */
const TRANSMIT_COUNT_MAX = 2048;
/** Our endpoints as told to peers; the rest is left out. */
const LOCAL_ENDPOINT_COUNT_MAX = 64;
/** Older endpoints may no longer be what the NAT shows: common NATs forget a UDP mapping after 30 s. */
const ENDPOINTS_FRESH_MS = 27_000;
const ENDPOINTS_WANTED_INTERVAL_MS = 5000;
/** Stands for a relay in a pong's source field; the port is the region (docs/spec/disco.md#pong). */
const RELAY_ADDRESS = parseAddress('127.3.3.40') as IpAddress;
const NEVER = Number.NEGATIVE_INFINITY;
const NO_TIMER = Number.POSITIVE_INFINITY;

/**
 * Finds and keeps a direct path to every peer, and says per packet where to send it (docs/spec/path.md).
 *
 * One {@link PeerPath} per peer; the agent owns what they share: keys, our endpoints, the queues. A disco message is
 * believed only when it opens with the disco key that the netmap gives for its sender; a ping proves nothing about a
 * path, only a pong to our own transaction id does.
 *
 * Invariants: every valid ping is answered where it came from; a call (CallMeMaybe) is taken from the relay only;
 * without a trusted direct path packets also go by relay. Errors: nothing throws; drops are in `counters`.
 * Bounds: 100 candidates and 256 pings a peer, 2,048 queued messages, one queued event a peer.
 */
export class PathAgent {
  readonly counters: Counters<PathDrop> = new Counters<PathDrop>();
  readonly #nodeKey: NodePublicKey;
  readonly #rng: Rng;
  readonly #box: DiscoBox;
  readonly #paths: (PeerPath | undefined)[] = [];
  readonly #senders = new SenderTable();
  readonly #shown = new Map<number, string>();
  readonly #changed = new Set<number>();
  readonly #route: { endpoint: Endpoint | undefined; regionId: number } = { endpoint: undefined, regionId: 0 };
  readonly #actions: PathActions;
  #transmits: PathTransmit[] = [];
  #transmitHead = 0;
  #localEndpoints: readonly Endpoint[] = [];
  #localEndpointsAtMs = NEVER;
  #wantedAtMs = NEVER;
  #areEndpointsWanted = false;
  #isUdpEnabled = true;
  #nowMs = 0;
  #wakeAtMs = NO_TIMER;

  constructor(o: { discoKey: DiscoPrivateKey; nodeKey: NodePublicKey; crypto: CryptoProvider; rng: Rng }) {
    this.#nodeKey = o.nodeKey;
    this.#rng = o.rng;
    this.#box = new DiscoBox({ privateKey: o.discoKey, crypto: o.crypto, rng: o.rng });
    this.#actions = {
      sendPing: (path, endpoint) => this.#sendPing(path, endpoint),
      sendCall: (path, nowMs) => this.#sendCall(path, nowMs),
      wantEndpoints: (nowMs) => this.#wantEndpoints(nowMs),
    };
  }

  /** Adds a peer, or takes what changed. Another disco key means another process: paths to the old one are dropped. */
  updatePeer(peer: number, info: PeerInfo, nowMs: number): void {
    this.#nowMs = nowMs;
    const usable = { ...info, endpoints: usableEndpoints(info.endpoints) };
    const path = this.#paths[peer] ?? new PeerPath(peer, usable, this.#actions);
    const isNew = this.#paths[peer] === undefined;
    this.#paths[peer] = path;
    const oldKey = isNew ? undefined : path.info.discoKey;
    const hasNewKey = !isSameKey(oldKey, usable.discoKey);
    if (hasNewKey && oldKey !== undefined) this.#dropKey(oldKey, path);
    if (hasNewKey && usable.discoKey !== undefined) this.#senders.add(usable.discoKey, path);
    path.update(usable, nowMs);
    if (hasNewKey && !isNew) path.reset(nowMs);
    if (isNew) this.#shown.set(peer, showPath(path));
    this.#settle(path);
  }

  removePeer(peer: number): void {
    const path = this.#paths[peer];
    if (path === undefined) return;
    if (path.info.discoKey !== undefined) this.#dropKey(path.info.discoKey, path);
    this.#paths[peer] = undefined;
    this.#shown.delete(peer);
    this.#changed.delete(peer);
  }

  /** Takes what to tell peers: addresses of ours in order of preference. Also called when nothing changed: it is fresh. */
  setLocalEndpoints(endpoints: readonly Endpoint[], nowMs: number): void {
    this.#nowMs = nowMs;
    const before = new Set(this.#localEndpoints.map((endpoint) => endpoint.text));
    this.#localEndpoints = endpoints.slice(0, LOCAL_ENDPOINT_COUNT_MAX);
    this.#localEndpointsAtMs = nowMs;
    this.#areEndpointsWanted = false;
    const now = new Set(this.#localEndpoints.map((endpoint) => endpoint.text));
    const hasLost = [...before].some((text) => !now.has(text));
    if (!hasLost && now.size === before.size) return;
    for (const path of this.#eachPath()) {
      path.noteLocalChange(hasLost, nowMs);
      this.#settle(path);
    }
  }

  /** False: no UDP socket. Everything goes by relay, and disco by relay is still answered. */
  setUdpEnabled(isEnabled: boolean): void {
    if (isEnabled === this.#isUdpEnabled) return;
    this.#isUdpEnabled = isEnabled;
    this.#resetPaths();
  }

  /** Our UDP socket or network is another one: nothing known about paths holds any more. */
  handleRebind(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#localEndpointsAtMs = NEVER;
    this.#wantedAtMs = NEVER;
    this.#resetPaths();
  }

  /** Takes one disco datagram; the bytes are only borrowed. */
  handleDisco(bytes: Uint8Array, source: PathSource, nowMs: number): void {
    this.#nowMs = nowMs;
    const drop = this.#receive(bytes, source, nowMs);
    if (drop !== undefined) this.counters.add(drop);
  }

  /** Says where the next packet to the peer goes, and notes it as activity. The result is reused by the next call. */
  chooseRoute(peer: number, nowMs: number): PathRoute {
    const route = this.#route;
    const path = this.#paths[peer];
    if (path === undefined) {
      route.endpoint = undefined;
      route.regionId = 0;
      return route;
    }
    if (path.noteSend(nowMs)) this.#wakeBy(path);
    route.endpoint = path.best.endpoint;
    route.regionId = path.best.needsRelayCopy(nowMs) ? path.regionId : 0;
    return route;
  }

  /** Notes that an authenticated WireGuard datagram came this way. Called per packet. */
  noteReceived(peer: number, source: PathSource, nowMs: number): void {
    const path = this.#paths[peer];
    if (path === undefined) return;
    if (source.kind === 'udp') {
      path.noteReceived(source.endpoint, nowMs);
      this.#wakeBy(path);
    } else if (path.noteRelayed(source.regionId, nowMs)) {
      this.#settle(path);
    }
  }

  /** Takes an error of `send` on the UDP socket. @param isUnreachable No route to that host or network. */
  noteSendError(endpoint: Endpoint, isUnreachable: boolean, nowMs: number): void {
    this.#nowMs = nowMs;
    for (const path of this.#eachPath()) {
      path.noteSendError(endpoint, isUnreachable, nowMs);
      this.#settle(path);
    }
  }

  /** Looks for a direct path now, even if no packet is sent: a user asked. */
  probe(peer: number, nowMs: number): void {
    this.#nowMs = nowMs;
    const path = this.#paths[peer];
    if (path === undefined) return;
    path.discover(true, nowMs);
    this.#settle(path);
  }

  describe(peer: number): PathDescription {
    const path = this.#paths[peer];
    if (path === undefined) return { kind: 'none' };
    const endpoint = path.best.isGone ? undefined : path.best.endpoint;
    if (endpoint !== undefined) return { kind: 'direct', endpoint, latencyMs: path.best.latencyMs };
    return path.regionId === 0 ? { kind: 'none' } : { kind: 'relay', regionId: path.regionId };
  }

  pollTransmit(): PathTransmit | undefined {
    const transmit = this.#transmits[this.#transmitHead];
    if (transmit === undefined) return undefined;
    this.#transmitHead++;
    if (this.#transmitHead === this.#transmits.length) {
      this.#transmits = [];
      this.#transmitHead = 0;
    }
    return transmit;
  }

  pollEvent(): PathEvent | undefined {
    for (const peer of this.#changed) {
      this.#changed.delete(peer);
      return { kind: 'path-changed', peer };
    }
    if (!this.#areEndpointsWanted) return undefined;
    this.#areEndpointsWanted = false;
    return { kind: 'endpoints-wanted' };
  }

  handleTimeout(nowMs: number): void {
    this.#nowMs = nowMs;
    if (nowMs < this.#wakeAtMs) return;
    this.#wakeAtMs = NO_TIMER;
    for (const path of this.#eachPath()) {
      if (nowMs >= path.wakeAtMs) path.handleTimeout(nowMs);
      this.#settle(path);
    }
  }

  pollTimeout(): Wake | undefined {
    if (this.#transmits.length > 0) return { atMs: this.#nowMs, why: 'disco to send' };
    if (this.#changed.size > 0 || this.#areEndpointsWanted) return { atMs: this.#nowMs, why: 'path event' };
    return this.#wakeAtMs === NO_TIMER ? undefined : { atMs: this.#wakeAtMs, why: 'path timer' };
  }

  #receive(bytes: Uint8Array, source: PathSource, nowMs: number): PathDrop | undefined {
    if (bytes.length < DISCO_HEADER_BYTES) return 'short';
    if (!hasDiscoMagic(bytes, 0, bytes.length)) return 'no-magic';
    if (source.kind === 'udp' && !this.#isUdpEnabled) return 'udp-disabled';
    const sender = this.#senders.lookup(bytes);
    if (sender === undefined) return 'unknown-sender';
    if (source.kind === 'derp' && !sender.paths.some((path) => path.handle === source.peer))
      return 'wrong-relay-sender';
    const plaintext = this.#box.open(sender.key, bytes);
    if (typeof plaintext === 'string') return plaintext;
    if (source.kind === 'derp') this.#paths[source.peer]?.noteRegion(source.regionId);
    const message = decodeDiscoMessage(plaintext);
    if (typeof message === 'string') return 'bad-message';
    return this.#handleMessage(message, sender, source, nowMs);
  }

  #handleMessage(message: DiscoMessage, sender: DiscoSender, source: PathSource, nowMs: number): PathDrop | undefined {
    switch (message.kind) {
      case 'ping':
        return this.#handlePing(message, sender, source, nowMs);
      case 'pong':
        return source.kind === 'udp' ? this.#handlePong(message, sender, nowMs) : 'pong-by-relay';
      case 'call-me-maybe':
        return source.kind === 'derp' ? this.#handleCall(message, source, nowMs) : 'call-by-udp';
      default:
        return 'peer-relay-message';
    }
  }

  #handlePing(ping: Ping, sender: DiscoSender, source: PathSource, nowMs: number): undefined {
    if (source.kind === 'derp') {
      const path = this.#paths[source.peer] as PeerPath;
      const seenAs = createEndpoint(RELAY_ADDRESS, source.regionId);
      const pong = this.#seal(sender.key, { kind: 'pong', txId: ping.txId, source: seenAs });
      if (pong !== undefined)
        this.#transmit({ kind: 'derp', regionId: source.regionId, to: path.info.nodeKey, bytes: pong });
      return;
    }
    const pong = this.#seal(sender.key, { kind: 'pong', txId: ping.txId, source: source.endpoint });
    if (pong !== undefined) this.#transmit({ kind: 'udp', to: source.endpoint, bytes: pong });
    const claimed = sender.paths.find((path) => isSameKey(path.info.nodeKey, ping.nodeKey));
    for (const path of claimed === undefined ? sender.paths : [claimed]) {
      path.handlePing(source.endpoint, nowMs);
      this.#settle(path);
    }
  }

  #handlePong(pong: Pong, sender: DiscoSender, nowMs: number): PathDrop | undefined {
    for (const path of sender.paths) {
      if (!path.handlePong(pong.txId, nowMs)) continue;
      this.#settle(path);
      return undefined;
    }
    return 'unknown-transaction';
  }

  #handleCall(call: CallMeMaybe, source: PathSource & { kind: 'derp' }, nowMs: number): PathDrop | undefined {
    if (!this.#isUdpEnabled) return 'udp-disabled';
    const path = this.#paths[source.peer] as PeerPath;
    path.handleCall(usableEndpoints(call.endpoints), nowMs);
    this.#settle(path);
    return undefined;
  }

  #sendPing(path: PeerPath, endpoint: Endpoint): Uint8Array | undefined {
    if (!this.#isUdpEnabled || path.info.discoKey === undefined) return undefined;
    const txId = new Uint8Array(TX_ID_BYTES);
    this.#rng.fill(txId);
    const bytes = this.#seal(path.info.discoKey, { kind: 'ping', txId, nodeKey: this.#nodeKey, paddingBytes: 0 });
    if (bytes === undefined || !this.#transmit({ kind: 'udp', to: endpoint, bytes })) return undefined;
    return txId;
  }

  /** Calls with what we know even if it is old: the peer's ping may pass anyway. Fresh endpoints are told when they come. */
  #sendCall(path: PeerPath, nowMs: number): void {
    if (!this.#isUdpEnabled || path.info.discoKey === undefined || path.regionId === 0) return;
    const bytes = this.#seal(path.info.discoKey, { kind: 'call-me-maybe', endpoints: this.#localEndpoints });
    if (bytes !== undefined) {
      this.#transmit({ kind: 'derp', regionId: path.regionId, to: path.info.nodeKey, bytes });
    }
    if (nowMs - this.#localEndpointsAtMs > ENDPOINTS_FRESH_MS) this.#wantEndpoints(nowMs);
  }

  #wantEndpoints(nowMs: number): void {
    if (nowMs - this.#wantedAtMs < ENDPOINTS_WANTED_INTERVAL_MS) return;
    this.#wantedAtMs = nowMs;
    this.#areEndpointsWanted = true;
  }

  #seal(to: DiscoPublicKey, message: DiscoMessage): Uint8Array | undefined {
    const bytes = this.#box.seal(to, encodeDiscoMessage(message));
    if (bytes === undefined) this.counters.add('unusable-key');
    return bytes;
  }

  #transmit(transmit: PathTransmit): boolean {
    if (this.#transmits.length - this.#transmitHead >= TRANSMIT_COUNT_MAX) {
      this.counters.add('transmit-queue-full');
      return false;
    }
    this.#transmits.push(transmit);
    return true;
  }

  #dropKey(key: DiscoPublicKey, path: PeerPath): void {
    if (this.#senders.remove(key, path)) this.#box.forget(key);
  }

  #resetPaths(): void {
    for (const path of this.#eachPath()) {
      path.reset(this.#nowMs);
      this.#settle(path);
    }
  }

  /** After anything that happened to a path: its timer, and whether the path to show is another one. */
  #settle(path: PeerPath): void {
    this.#wakeBy(path);
    const shown = showPath(path);
    if (this.#shown.get(path.handle) === shown) return;
    this.#shown.set(path.handle, shown);
    this.#changed.add(path.handle);
  }

  #wakeBy(path: PeerPath): void {
    if (path.wakeAtMs < this.#wakeAtMs) this.#wakeAtMs = path.wakeAtMs;
  }

  *#eachPath(): IterableIterator<PeerPath> {
    for (const path of this.#paths) if (path !== undefined) yield path;
  }
}

function showPath(path: PeerPath): string {
  const endpoint = path.best.isGone ? undefined : path.best.endpoint;
  return endpoint === undefined ? `relay ${path.regionId}` : endpoint.text;
}

function isSameKey(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : isEqualBytes(a, b);
}
