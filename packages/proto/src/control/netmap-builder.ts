import type { UnixClock } from '../crypto/provider.ts';
import { Counters } from '../time/counters.ts';
import { type DerpMap, EMPTY_DERP_MAP, updateDerpMap } from './derp-map.ts';
import { type DnsConfig, EMPTY_DNS_CONFIG, parseDnsConfig } from './dns-config.ts';
import { FilterTable } from './filter-table.ts';
import { HealthTable } from './health-table.ts';
import { isRecord, type JsonRecord, listOf, recordOf, textOf } from './json-value.ts';
import type { Netmap, NetmapNode } from './netmap.ts';
import { parseNode, parseNodeId, parseTime, patchNode } from './node-json.ts';
import { type PingRequest, parsePingRequest } from './ping-request.ts';

/** Peers of one tailnet; more are left out and counted. */
export const PEER_COUNT_MAX = 100_000;
/** A server clock that differs by less is taken for ours: the difference is delay. */
const CLOCK_SKEW_MIN_MS = 60_000;
/** The longest pause a server may ask for. */
const SLEEP_MS_MAX = 300_000;

export type NetmapDamage = 'damaged-message' | 'damaged-node' | 'damaged-patch' | 'too-many-peers';

/** What one MapResponse asks for besides the netmap. */
export interface MapUpdate {
  /** True when {@link NetmapBuilder.build} would now return something else. */
  readonly isChanged: boolean;
  readonly ping: PingRequest | undefined;
  /** Do nothing for so long; 0 for no pause. */
  readonly sleepMs: number;
}

const NOTHING: MapUpdate = { isChanged: false, ping: undefined, sleepMs: 0 };

/**
 * Turns the MapResponses of **one** stream into netmaps (docs/spec/control.md#map-response). A new stream needs a new
 * builder: a full response with no peers looks like no change, so old peers would stay for ever.
 *
 * Order inside a message: a full `Peers` list ends all talk of peers; else removed, changed, seen, online, patches.
 * Invariants: an expired peer never becomes valid again but by a whole new `Node`; unknown ids are ignored; damage is
 * counted and costs the one node or patch, whose previous version stays.
 */
export class NetmapBuilder {
  readonly counters: Counters<NetmapDamage> = new Counters();
  readonly #unixMs: UnixClock;
  readonly #filters = new FilterTable();
  readonly #health = new HealthTable();
  #peers = new Map<number, NetmapNode>();
  #self: NetmapNode | undefined;
  #derpMap: DerpMap = EMPTY_DERP_MAP;
  #dns: DnsConfig = EMPTY_DNS_CONFIG;
  #domain = '';
  #clockOffsetMs = 0;

  constructor(unixMs: UnixClock) {
    this.#unixMs = unixMs;
  }

  /** Applies one message in its order of arrival. */
  apply(json: unknown): MapUpdate {
    if (!isRecord(json)) {
      this.counters.add('damaged-message');
      return NOTHING;
    }
    const ping = parsePingRequest(json['PingRequest']);
    this.#applyControlTime(json);
    if (json['KeepAlive'] === true) return { ...NOTHING, ping };
    const sleepSeconds = recordOf(json['Debug'])['SleepSeconds'];
    const hasSleep = typeof sleepSeconds === 'number' && sleepSeconds > 0;
    const sleepMs = hasSleep ? Math.min(sleepSeconds * 1000, SLEEP_MS_MAX) : 0;
    const isConfigChanged = this.#applyConfig(json);
    const arePeersChanged = this.#applyPeers(json);
    const areExpired = this.#expireNodes();
    return { isChanged: isConfigChanged || arePeersChanged || areExpired, ping, sleepMs };
  }

  /** Marks nodes whose time has come; true when the netmap changed. Call it at {@link nextExpiryUnixMs}. */
  handleTimeout(): boolean {
    return this.#expireNodes();
  }

  /** When the next node, or our own key, expires by our clock; `undefined` for never. */
  nextExpiryUnixMs(): number | undefined {
    let next = Number.POSITIVE_INFINITY;
    const note = ({ isExpired, keyExpiryUnixMs }: NetmapNode): void => {
      if (!isExpired && keyExpiryUnixMs !== undefined) next = Math.min(next, keyExpiryUnixMs);
    };
    if (this.#self !== undefined) note(this.#self);
    for (const peer of this.#peers.values()) note(peer);
    return next === Number.POSITIVE_INFINITY ? undefined : next - this.#clockOffsetMs;
  }

  /** The netmap as of now; `undefined` before the first message with a `Node`. */
  build(): Netmap | undefined {
    if (this.#self === undefined) return undefined;
    return {
      self: this.#self,
      peers: new Map(this.#peers),
      derpMap: this.#derpMap,
      dns: this.#dns,
      filterRules: this.#filters.rules,
      health: this.#health.lines,
      domain: this.#domain,
    };
  }

  #applyControlTime(json: JsonRecord): void {
    const serverMs = parseTime(json['ControlTime']);
    if (serverMs === undefined) return;
    const offsetMs = serverMs - this.#unixMs();
    this.#clockOffsetMs = Math.abs(offsetMs) < CLOCK_SKEW_MIN_MS ? 0 : offsetMs;
  }

  #applyConfig(json: JsonRecord): boolean {
    let isChanged = this.#applySelf(json['Node']);
    if (isRecord(json['DERPMap'])) {
      this.#derpMap = updateDerpMap(this.#derpMap, json['DERPMap']);
      isChanged = true;
    }
    if (isRecord(json['DNSConfig'])) {
      this.#dns = parseDnsConfig(json['DNSConfig']);
      isChanged = true;
    }
    if (textOf(json['Domain']) !== '') {
      this.#domain = textOf(json['Domain']);
      isChanged = true;
    }
    if (this.#filters.apply(json)) isChanged = true;
    if (this.#health.apply(json)) isChanged = true;
    return isChanged;
  }

  #applySelf(json: unknown): boolean {
    if (json === undefined || json === null) return false;
    const self = this.#parse(json);
    if (self === undefined) return false;
    this.#self = self;
    return true;
  }

  #applyPeers(json: JsonRecord): boolean {
    const full = listOf(json['Peers']);
    if (full.length > 0) {
      this.#replacePeers(full);
      return true;
    }
    // The order is the protocol's; each step sees what the one before has done.
    const changes = [
      this.#removePeers(listOf(json['PeersRemoved'])),
      this.#upsertPeers(listOf(json['PeersChanged'])),
      this.#setOnline(json['OnlineChange']),
      this.#patchPeers(listOf(json['PeersChangedPatch'])),
    ];
    return changes.includes(true);
  }

  #replacePeers(list: readonly unknown[]): void {
    const previous = this.#peers;
    this.#peers = new Map();
    this.#upsertPeers(list);
    // A damaged entry still says that its peer exists.
    for (const item of list) {
      const old = previous.get(idOf(isRecord(item) ? item['ID'] : undefined));
      if (old !== undefined && !this.#peers.has(old.id)) this.#peers.set(old.id, old);
    }
  }

  #removePeers(ids: readonly unknown[]): boolean {
    let isChanged = false;
    for (const id of ids) if (this.#peers.delete(idOf(id))) isChanged = true;
    return isChanged;
  }

  #upsertPeers(list: readonly unknown[]): boolean {
    let isChanged = false;
    for (const item of list) {
      const node = this.#parse(item);
      if (node === undefined) continue;
      if (!this.#peers.has(node.id) && this.#peers.size >= PEER_COUNT_MAX) {
        this.counters.add('too-many-peers');
        continue;
      }
      this.#peers.set(node.id, node);
      isChanged = true;
    }
    return isChanged;
  }

  #setOnline(json: unknown): boolean {
    let isChanged = false;
    for (const [id, isOnline] of Object.entries(isRecord(json) ? json : {})) {
      const node = this.#peers.get(Number(id));
      if (node === undefined || typeof isOnline !== 'boolean') continue;
      this.#peers.set(node.id, { ...node, isOnline });
      isChanged = true;
    }
    return isChanged;
  }

  #patchPeers(list: readonly unknown[]): boolean {
    let isChanged = false;
    for (const change of list) {
      if (!isRecord(change)) continue;
      const node = this.#peers.get(idOf(change['NodeID']));
      if (node === undefined) continue;
      const patched = patchNode(node, change);
      if (patched === undefined) {
        this.counters.add('damaged-patch');
        continue;
      }
      this.#peers.set(node.id, patched);
      isChanged = true;
    }
    return isChanged;
  }

  #expireNodes(): boolean {
    const nowMs = this.#unixMs() + this.#clockOffsetMs;
    const isDue = ({ isExpired, keyExpiryUnixMs }: NetmapNode): boolean =>
      !isExpired && keyExpiryUnixMs !== undefined && keyExpiryUnixMs <= nowMs;
    let isChanged = false;
    if (this.#self !== undefined && isDue(this.#self)) {
      this.#self = { ...this.#self, isExpired: true };
      isChanged = true;
    }
    for (const node of this.#peers.values()) {
      if (!isDue(node)) continue;
      this.#peers.set(node.id, { ...node, isExpired: true, endpoints: [], homeDerp: 0 });
      isChanged = true;
    }
    return isChanged;
  }

  #parse(json: unknown): NetmapNode | undefined {
    const node = parseNode(json);
    if (node === undefined) this.counters.add('damaged-node');
    return node;
  }
}

/** 0, which no node has, for what is no id. */
function idOf(json: unknown): number {
  return parseNodeId(json) ?? 0;
}
