import { formatHex } from '../bytes/hex.ts';
import type { Rng } from '../crypto/provider.ts';
import type { Endpoint } from '../ip/endpoint.ts';
import { decodeBindingResponse, encodeBindingRequest, STUN_TX_ID_BYTES } from '../stun/stun.ts';
import { Counters } from '../time/counters.ts';
import type { Wake } from '../time/machine.ts';
import { LATENCY_HISTORY_MS, type LatencyReport } from './home-region.ts';
import { type MappingSeen, orderMappings } from './mappings.ts';

/** A STUN server of a relay region. */
export interface StunServer {
  readonly regionId: number;
  readonly endpoint: Endpoint;
}

/** What one round found out. */
export interface StunReport extends LatencyReport {
  readonly kind: 'report';
  /** Our addresses as servers saw them: per family the one with the least latency, then those seen more than once. */
  readonly mapped: readonly Endpoint[];
  /** True when two servers saw different IPv4 mappings (a hard NAT); `undefined` when fewer than two answered. */
  readonly isMappingVarying: boolean | undefined;
}

/** A request to send from the socket that carries the tunnel traffic. */
export interface StunTransmit {
  readonly to: Endpoint;
  readonly bytes: Uint8Array;
}

export type StunDrop = 'not-stun' | 'not-response' | 'malformed' | 'unknown-transaction';

/** A round ends at the latest after this time. */
export const STUN_ROUND_MS = 3000;

const TRIES = 3;
const TRY_INTERVAL_MS = 100;
/** Once so many regions answered, the others get twice the slowest time so far. */
const REGIONS_ENOUGH = 3;
/** Below the 30 s after which common NATs forget a UDP mapping. */
const REPEAT_MIN_MS = 20_000;
const REPEAT_SPREAD_MS = 6000;
/** Rounds in between probe only the nearest regions and the home. */
const FULL_INTERVAL_MS = 300_000;
const NEAR_REGIONS = 3;
/** Mappings outlive rounds that nobody answered: one bad moment must not take our endpoints away. */
const MAPPED_LIFETIME_MS = 310_000;
/** Reports kept; the oldest goes first. Rounds by schedule leave 16 within the time that counts. */
const HISTORY_MAX = 64;
/** Servers kept; more are ignored. */
const SERVER_COUNT_MAX = 512;

/** The tries at the servers of one region over one IP family. */
interface Target {
  readonly regionId: number;
  readonly servers: readonly Endpoint[];
  tries: number;
  nextTryAtMs: number;
  isAnswered: boolean;
}

interface Round {
  readonly startedAtMs: number;
  readonly targets: readonly Target[];
  readonly sent: Map<string, { readonly target: Target; readonly sentAtMs: number }>;
  readonly latencyMs: Map<number, number>;
  readonly mappings: MappingSeen[];
  endsAtMs: number;
}

/**
 * Learns our public endpoints and the latency of each relay region by STUN (docs/spec/stun.md#rounds).
 *
 * ```
 *   idle ──probe()──▶ round: up to 3 tries a region and family, 100 ms apart ──▶ report ──▶ idle
 *                       ends when all answered, 2 × the slowest of 3 regions, or 3 s
 *   while active, idle ──20…26 s──▶ round
 * ```
 * Invariants: one round at a time (a request during a round causes one more right after it); every round ends in one
 * report, an empty one when nobody answered. Answers are matched by transaction id alone: servers with several
 * addresses answer from another one. Nothing throws; drops are in `counters`.
 */
export class StunProber {
  readonly counters: Counters<StunDrop> = new Counters<StunDrop>();
  readonly #rng: Rng;
  #servers: readonly StunServer[] = [];
  #homeRegion = 0;
  #round: Round | undefined;
  #isAgainWanted = false;
  #isActive = false;
  #startAtMs = Number.POSITIVE_INFINITY;
  #lastFullAtMs = Number.NEGATIVE_INFINITY;
  #history: readonly StunReport[] = [];
  #mapped: readonly Endpoint[] = [];
  #mappedAtMs = Number.NEGATIVE_INFINITY;
  #transmits: StunTransmit[] = [];
  #unread: StunReport | undefined;
  #nowMs = 0;

  constructor(o: { rng: Rng }) {
    this.#rng = o.rng;
  }

  /** The reports that still count for the choice of the home relay, oldest first. */
  get reports(): readonly StunReport[] {
    return this.#history;
  }

  /** Our addresses as servers saw them, in order of preference; kept for some minutes when nobody answers any more. */
  get mappedEndpoints(): readonly Endpoint[] {
    return this.#mapped;
  }

  /** Replaces the servers and probes all regions. Within a region the first server is asked first. */
  setServers(servers: readonly StunServer[], nowMs: number): void {
    this.#servers = servers.slice(0, SERVER_COUNT_MAX);
    this.#lastFullAtMs = Number.NEGATIVE_INFINITY;
    this.probe(nowMs);
  }

  /** The home region is measured in every round; 0 for none. */
  setHomeRegion(regionId: number): void {
    this.#homeRegion = regionId;
  }

  /** While active, rounds repeat and so keep the NAT mapping of the socket open. */
  setActive(isActive: boolean, nowMs: number): void {
    if (isActive === this.#isActive) return;
    this.#isActive = isActive;
    if (this.#round !== undefined || this.#isAgainWanted) return;
    this.#startAtMs = isActive ? nowMs + this.#repeatMs() : Number.POSITIVE_INFINITY;
  }

  /** Starts a round now, or one more after the current one. */
  probe(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.#round !== undefined) this.#isAgainWanted = true;
    else this.#start(nowMs);
  }

  /** Takes a datagram of class `stun` from the socket. */
  handleStun(bytes: Uint8Array, _from: Endpoint, nowMs: number): void {
    this.#nowMs = nowMs;
    const response = decodeBindingResponse(bytes);
    if (typeof response === 'string') {
      this.counters.add(response);
      return;
    }
    const round = this.#round;
    const sent = round?.sent.get(formatHex(response.txId));
    if (round === undefined || sent === undefined) {
      this.counters.add('unknown-transaction');
      return;
    }
    round.sent.delete(formatHex(response.txId));
    this.#takeAnswer(round, sent.target, response.mapped, nowMs - sent.sentAtMs);
    this.#endWhenEnough(round, nowMs);
  }

  handleTimeout(nowMs: number): void {
    this.#nowMs = nowMs;
    const round = this.#round;
    if (round === undefined) {
      if (nowMs >= this.#startAtMs) this.#start(nowMs);
      return;
    }
    if (nowMs >= round.endsAtMs) this.#end(round, nowMs);
    else this.#sendDue(round, nowMs);
  }

  pollTransmit(): StunTransmit | undefined {
    return this.#transmits.shift();
  }

  pollEvent(): StunReport | undefined {
    const report = this.#unread;
    this.#unread = undefined;
    return report;
  }

  pollTimeout(): Wake | undefined {
    if (this.#transmits.length > 0) return { atMs: this.#nowMs, why: 'stun to send' };
    if (this.#unread !== undefined) return { atMs: this.#nowMs, why: 'stun report' };
    if (this.#round !== undefined) return { atMs: nextWakeMs(this.#round), why: 'stun round' };
    return this.#startAtMs === Number.POSITIVE_INFINITY ? undefined : { atMs: this.#startAtMs, why: 'stun repeat' };
  }

  #start(nowMs: number): void {
    const isFull = nowMs - this.#lastFullAtMs >= FULL_INTERVAL_MS;
    if (isFull) this.#lastFullAtMs = nowMs;
    this.#isAgainWanted = false;
    this.#startAtMs = Number.POSITIVE_INFINITY;
    const regions = isFull ? undefined : this.#nearRegions();
    const round: Round = {
      startedAtMs: nowMs,
      targets: groupTargets(this.#servers, regions, nowMs),
      sent: new Map(),
      latencyMs: new Map(),
      mappings: [],
      endsAtMs: nowMs + STUN_ROUND_MS,
    };
    this.#round = round;
    this.#sendDue(round, nowMs);
    if (round.targets.length === 0) this.#end(round, nowMs);
  }

  /** The regions that answered best in the last round; `undefined`, meaning all, when none did. */
  #nearRegions(): ReadonlySet<number> | undefined {
    const latencies = this.#history.at(-1)?.regionLatencyMs ?? new Map<number, number>();
    if (latencies.size === 0) return undefined;
    const byLatency = [...latencies].sort((a, b) => a[1] - b[1] || a[0] - b[0]);
    return new Set([...byLatency.slice(0, NEAR_REGIONS).map(([regionId]) => regionId), this.#homeRegion]);
  }

  #sendDue(round: Round, nowMs: number): void {
    for (const target of round.targets) {
      if (target.isAnswered || target.tries >= TRIES || nowMs < target.nextTryAtMs) continue;
      const to = target.servers[target.tries % target.servers.length] as Endpoint;
      target.tries++;
      target.nextTryAtMs = target.tries < TRIES ? nowMs + TRY_INTERVAL_MS : Number.POSITIVE_INFINITY;
      const txId = new Uint8Array(STUN_TX_ID_BYTES);
      this.#rng.fill(txId);
      round.sent.set(formatHex(txId), { target, sentAtMs: nowMs });
      this.#transmits.push({ to, bytes: encodeBindingRequest(txId) });
    }
  }

  #takeAnswer(round: Round, target: Target, mapped: Endpoint, latencyMs: number): void {
    target.isAnswered = true;
    target.nextTryAtMs = Number.POSITIVE_INFINITY;
    round.mappings.push({ mapped, latencyMs });
    const known = round.latencyMs.get(target.regionId) ?? Number.POSITIVE_INFINITY;
    round.latencyMs.set(target.regionId, Math.min(known, latencyMs));
  }

  #endWhenEnough(round: Round, nowMs: number): void {
    if (round.targets.every((target) => target.isAnswered)) {
      this.#end(round, nowMs);
      return;
    }
    if (round.latencyMs.size < REGIONS_ENOUGH) return;
    const slowestMs = Math.max(...round.latencyMs.values());
    round.endsAtMs = Math.min(round.endsAtMs, nowMs + Math.max(TRY_INTERVAL_MS, 2 * slowestMs));
  }

  #end(round: Round, nowMs: number): void {
    this.#round = undefined;
    this.#publish(round, nowMs);
    if (this.#isAgainWanted) {
      this.#startAtMs = nowMs + TRY_INTERVAL_MS;
    } else if (this.#isActive) {
      this.#startAtMs = nowMs + this.#repeatMs();
    }
  }

  #publish(round: Round, nowMs: number): void {
    const report: StunReport = {
      kind: 'report',
      atMs: nowMs,
      startedAtMs: round.startedAtMs,
      regionLatencyMs: round.latencyMs,
      ...orderMappings(round.mappings),
    };
    // A report that nobody read is overtaken by this one.
    this.#unread = report;
    this.#history = [...this.#history.filter(({ atMs }) => nowMs - atMs <= LATENCY_HISTORY_MS), report].slice(
      -HISTORY_MAX,
    );
    if (report.mapped.length === 0 && nowMs - this.#mappedAtMs <= MAPPED_LIFETIME_MS) return;
    this.#mapped = report.mapped;
    this.#mappedAtMs = nowMs;
  }

  #repeatMs(): number {
    const random = new Uint8Array(2);
    this.#rng.fill(random);
    return REPEAT_MIN_MS + ((((random[0] as number) << 8) | (random[1] as number)) / 0x10000) * REPEAT_SPREAD_MS;
  }
}

function groupTargets(
  servers: readonly StunServer[],
  regions: ReadonlySet<number> | undefined,
  nowMs: number,
): Target[] {
  const groups = new Map<string, { regionId: number; servers: Endpoint[] }>();
  for (const { regionId, endpoint } of servers) {
    if (regions !== undefined && !regions.has(regionId)) continue;
    const key = `${regionId} ${endpoint.address.family}`;
    const group = groups.get(key) ?? { regionId, servers: [] };
    group.servers.push(endpoint);
    groups.set(key, group);
  }
  return [...groups.values()].map((group) => ({ ...group, tries: 0, nextTryAtMs: nowMs, isAnswered: false }));
}

function nextWakeMs(round: Round): number {
  let atMs = round.endsAtMs;
  for (const target of round.targets) atMs = Math.min(atMs, target.nextTryAtMs);
  return atMs;
}
