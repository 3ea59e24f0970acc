import type { Endpoint } from '../ip/endpoint.ts';
import type { DiscoPublicKey, NodePublicKey } from '../keys/public-key.ts';
import { BestPath } from './best-path.ts';
import { type Candidate, CandidateSet } from './candidates.ts';
import { DEFAULT_WIRE_MTU_BYTES } from './path-quality.ts';
import { PingTable } from './ping-table.ts';

/** A peer is active for this long after the last packet sent to it; only then do we ping by schedule. */
export const ACTIVE_MS = 45_000;
/** Between pings of the path in use. */
export const HEARTBEAT_MS = 3000;

/** The same while its pongs are missing. */
const HEARTBEAT_DOUBTED_MS = 1000;
/** Between pings of one candidate, and between calls, by schedule. */
const DISCOVERY_INTERVAL_MS = 5000;
/** A direct path slower than FAST_MS is compared with the other candidates this often. */
const UPGRADE_INTERVAL_MS = 60_000;
const FAST_MS = 5;
/** Between pings back to one address; UPGRADE_INTERVAL_MS while another path is trusted. */
const PING_BACK_INTERVAL_MS = 1000;
/** A call pings its endpoints at once, but not twice for two calls in a row. */
const CALLED_PING_INTERVAL_MS = 500;
/** Packets unanswered for four round trips, within these bounds, make us ask the path whether it lives. */
const SILENCE_MIN_MS = 300;
const SILENCE_MAX_MS = 1500;
const SILENCE_PING_INTERVAL_MS = 1000;
/**
 * WireGuard answers data within 10 s even if the peer has nothing to say. After this time without anything
 * authenticated, data does not arrive although pings may: copies go by relay for a while. Then follows a trial without
 * copies, for the first of two copies hides the second from us: only without them we learn whether data arrives by UDP.
 */
const UNHEARD_MS = 15_000;
const COPY_MS = 60_000;
const TRIAL_MS = 1500;
/** A peer that is heard by relay and for so long not by UDP does not trust the direct path: it gets copies too. */
const RELAYED_ONLY_MS = 2000;
/** Each packet by relay prolongs these copies a little; now and then they pause, which is their trial. */
const RELAYED_COPY_MS = 500;
const RELAYED_SPAN_MS = 20_000;

const NEVER = Number.NEGATIVE_INFINITY;
const NO_TIMER = Number.POSITIVE_INFINITY;

/** What the path to a peer needs from the agent that owns it. */
export interface PathActions {
  /** Sends a ping and returns its transaction id; `undefined` when it cannot be sent. */
  sendPing(path: PeerPath, endpoint: Endpoint): Uint8Array | undefined;
  /** Sends our endpoints by relay. */
  sendCall(path: PeerPath, nowMs: number): void;
  /** Our endpoints may be others than we think: a path died. */
  wantEndpoints(nowMs: number): void;
}

/** What the coordination server says of a peer. */
export interface PeerInfo {
  readonly nodeKey: NodePublicKey;
  /** `undefined`: the peer speaks no disco, it is reached by relay only. */
  readonly discoKey: DiscoPublicKey | undefined;
  readonly endpoints: readonly Endpoint[];
  /** Region of the relay it listens on, 0 when unknown. */
  readonly homeDerp: number;
}

/**
 * The paths to one peer: which addresses to try, which one to use, when to ask again.
 *
 * Idle: nothing is sent but answers. Active (a packet was sent within {@link ACTIVE_MS}): a heartbeat pings the best
 * path, and discovery pings all candidates and calls the peer while there is no trusted direct path.
 * Sending a packet only notes times; everything it causes happens in `handleTimeout`, which is then due at once.
 * Invariant: every change that makes work sooner lowers `wakeAtMs`.
 */
export class PeerPath {
  readonly handle: number;
  readonly best: BestPath = new BestPath();
  info: PeerInfo;
  /** When `handleTimeout` is due; Infinity for never. */
  wakeAtMs: number = NO_TIMER;
  readonly #actions: PathActions;
  readonly #candidates = new CandidateSet();
  readonly #pings = new PingTable();
  #seenRegionId = 0;
  #lastSendAtMs = NEVER;
  #bestPingedAtMs = NEVER;
  #heartbeatAtMs = NO_TIMER;
  #silenceAtMs = NO_TIMER;
  #unheardAtMs = NO_TIMER;
  #trialEndsAtMs = NO_TIMER;
  #relayedSinceMs = NO_TIMER;
  #fullPingAtMs = NEVER;
  #calledAtMs = NEVER;

  constructor(handle: number, info: PeerInfo, actions: PathActions) {
    this.handle = handle;
    this.info = info;
    this.#actions = actions;
  }

  /** Where the peer is reached by relay: its home, else where it was last seen; 0 when neither is known. */
  get regionId(): number {
    return this.info.homeDerp !== 0 ? this.info.homeDerp : this.#seenRegionId;
  }

  get isActive(): boolean {
    return this.#heartbeatAtMs !== NO_TIMER;
  }

  /** Takes what the netmap says; the agent deals with a changed disco key. */
  update(info: PeerInfo, nowMs: number): void {
    this.info = info;
    const isNew = this.#candidates.setNetmap(info.endpoints, nowMs);
    if (isNew && this.isActive && !this.best.isTrusted(nowMs)) this.#wakeAt(nowMs, nowMs);
  }

  /** Forgets what was learned by disco: the peer's process, or our socket, is another one now. */
  reset(nowMs: number): void {
    this.best.clear();
    this.#pings.clear();
    this.#candidates.forgetHistory();
    this.#calledAtMs = NEVER;
    if (this.isActive) this.#wakeAt(nowMs, nowMs);
  }

  /** Notes a packet to the peer. Called per packet: only arithmetic. Returns true when `wakeAtMs` became earlier. */
  noteSend(nowMs: number): boolean {
    this.#lastSendAtMs = nowMs;
    let atMs = NO_TIMER;
    if (this.#silenceAtMs === NO_TIMER && this.best.endpoint !== undefined) {
      const silenceMs = Math.min(SILENCE_MAX_MS, Math.max(SILENCE_MIN_MS, 4 * this.best.latencyMs));
      this.#silenceAtMs = Math.max(nowMs + silenceMs, this.#bestPingedAtMs + SILENCE_PING_INTERVAL_MS);
      if (this.#unheardAtMs === NO_TIMER) this.#unheardAtMs = nowMs + UNHEARD_MS;
      atMs = this.#silenceAtMs;
    }
    if (this.#heartbeatAtMs === NO_TIMER && this.info.discoKey !== undefined) {
      this.#heartbeatAtMs = nowMs;
      atMs = nowMs;
    }
    if (atMs >= this.wakeAtMs) return false;
    this.wakeAtMs = atMs;
    return true;
  }

  /** Something of the peer arrived by this relay. Returns true when it is another region than before. */
  noteRegion(regionId: number): boolean {
    if (this.#seenRegionId === regionId) return false;
    this.#seenRegionId = regionId;
    return true;
  }

  /** An authenticated packet arrived by relay. Called per packet; true when it is another region than before. */
  noteRelayed(regionId: number, nowMs: number): boolean {
    this.#unheardAtMs = NO_TIMER;
    if (this.#relayedSinceMs === NO_TIMER) this.#relayedSinceMs = nowMs;
    const spanMs = nowMs - this.#relayedSinceMs;
    if (spanMs > RELAYED_SPAN_MS) this.#relayedSinceMs = nowMs;
    else if (spanMs > RELAYED_ONLY_MS) this.best.copyUntil(nowMs + RELAYED_COPY_MS);
    return this.noteRegion(regionId);
  }

  /** An authenticated packet arrived by UDP. Called per packet. */
  noteReceived(endpoint: Endpoint, nowMs: number): void {
    this.#silenceAtMs = NO_TIMER;
    this.#unheardAtMs = NO_TIMER;
    this.#relayedSinceMs = NO_TIMER;
    if (nowMs > this.#trialEndsAtMs - TRIAL_MS) this.#trialEndsAtMs = NO_TIMER;
    if (this.best.isAt(endpoint)) return;
    this.#pingBack(endpoint, nowMs);
  }

  /** A valid ping arrived by UDP: the address becomes a candidate and is pinged back unless it is known to work. */
  handlePing(endpoint: Endpoint, nowMs: number): void {
    if (this.best.isAt(endpoint) && this.best.isTrusted(nowMs)) {
      this.#candidates.learn(endpoint, nowMs);
      return;
    }
    this.#pingBack(endpoint, nowMs);
  }

  /** Takes a pong; false when it answers no ping of ours to this peer. */
  handlePong(txId: Uint8Array, nowMs: number): boolean {
    const ping = this.#pings.take(txId);
    if (ping === undefined) return false;
    const candidate = this.#candidates.get(ping.endpoint);
    if (candidate !== undefined) candidate.answeredAtMs = nowMs;
    const latencyMs = nowMs - ping.sentAtMs;
    this.best.handlePong({ endpoint: ping.endpoint, latencyMs, mtuBytes: DEFAULT_WIRE_MTU_BYTES }, nowMs);
    this.#schedule();
    return true;
  }

  /** The peer asks to be pinged at these endpoints (filtered by the agent). */
  handleCall(endpoints: readonly Endpoint[], nowMs: number): void {
    this.#candidates.setCalled(endpoints, nowMs);
    // A call that does not list the address in use: the peer may have moved away from it.
    const isListed = endpoints.some((endpoint) => this.best.isAt(endpoint));
    if (!isListed && endpoints.length > 0 && this.best.endpoint !== undefined) {
      this.best.distrust();
      this.#pingBest(nowMs);
    }
    for (const candidate of this.#candidates.values()) {
      const intervalMs = candidate.isCalled ? CALLED_PING_INTERVAL_MS : DISCOVERY_INTERVAL_MS;
      if (nowMs - candidate.pingedAtMs >= intervalMs) this.#ping(candidate.endpoint, nowMs);
    }
    this.#schedule();
  }

  /** The socket refused to send there: unreachable drops the path, anything else only makes it doubtful. */
  noteSendError(endpoint: Endpoint, isUnreachable: boolean, nowMs: number): void {
    if (!this.best.isAt(endpoint)) return;
    if (isUnreachable) this.best.clear();
    else this.best.distrust();
    if (this.isActive) this.#wakeAt(nowMs, this.#bestPingedAtMs + HEARTBEAT_DOUBTED_MS);
  }

  /** Our own addresses changed. When one vanished, our path may have gone with it: use both ways until a pong comes. */
  noteLocalChange(hasLost: boolean, nowMs: number): void {
    if (!this.isActive) return;
    if (hasLost) this.best.distrust();
    if (!this.best.isTrusted(nowMs)) this.discover(true, nowMs);
  }

  /**
   * Pings candidates and calls the peer by relay.
   * @param isForced Also those that were tried a moment ago.
   */
  discover(isForced: boolean, nowMs: number): void {
    if (this.info.discoKey === undefined) return;
    this.#fullPingAtMs = nowMs;
    this.#candidates.prune(nowMs);
    for (const candidate of this.#candidates.values()) {
      const isDue = isForced ? candidate.pingedAtMs !== nowMs : nowMs - candidate.pingedAtMs >= DISCOVERY_INTERVAL_MS;
      if (isDue) this.#ping(candidate.endpoint, nowMs);
    }
    if (isForced || nowMs - this.#calledAtMs >= DISCOVERY_INTERVAL_MS) {
      this.#calledAtMs = nowMs;
      this.#actions.sendCall(this, nowMs);
    }
    this.#schedule();
  }

  handleTimeout(nowMs: number): void {
    this.#expirePings(nowMs);
    if (nowMs >= this.best.overdueAtMs) this.#handleMissedPong(nowMs);
    if (nowMs >= this.#silenceAtMs) this.#handleSilence(nowMs);
    if (nowMs >= Math.min(this.#unheardAtMs, this.#trialEndsAtMs)) this.#handleUnheard(nowMs);
    if (nowMs >= this.#heartbeatAtMs) this.#beat(nowMs);
    this.#schedule();
  }

  #expirePings(nowMs: number): void {
    for (let lost = this.#pings.takeLost(nowMs); lost !== undefined; lost = this.#pings.takeLost(nowMs)) {
      this.best.handleLostPing(lost.endpoint, nowMs);
    }
  }

  /**
   * Packets go both ways from here. One missing pong may be loss: ask again, also wherever the peer answered lately.
   * With the second one the path is gone: look everywhere, and let the peer look for us.
   */
  #handleMissedPong(nowMs: number): void {
    const missed = this.best.noteMissedPong();
    if (!this.isActive) return;
    if (missed === 1) {
      this.#pingBest(nowMs);
      for (const candidate of this.#candidates.values()) {
        const isRecent = nowMs - candidate.answeredAtMs <= UPGRADE_INTERVAL_MS;
        if (isRecent && candidate.pingedAtMs !== nowMs) this.#ping(candidate.endpoint, nowMs);
      }
    } else if (missed === 2) {
      this.#actions.wantEndpoints(nowMs);
      this.discover(true, nowMs);
    }
    this.#heartbeatAtMs = nowMs + HEARTBEAT_DOUBTED_MS;
  }

  /** Replies are missing. That is no proof, data may flow one way: ask the path itself. */
  #handleSilence(nowMs: number): void {
    this.#silenceAtMs = NO_TIMER;
    if (!this.best.isAsked) this.#pingBest(nowMs);
  }

  /** Nothing came for long, or nothing by UDP in a trial. */
  #handleUnheard(nowMs: number): void {
    this.#unheardAtMs = NO_TIMER;
    this.#trialEndsAtMs = NO_TIMER;
    const isSending = nowMs - this.#lastSendAtMs <= HEARTBEAT_MS;
    if (!isSending || this.best.endpoint === undefined) return;
    this.best.copyUntil(nowMs + COPY_MS);
    this.#trialEndsAtMs = nowMs + COPY_MS + TRIAL_MS;
  }

  #beat(nowMs: number): void {
    if (nowMs - this.#lastSendAtMs > ACTIVE_MS) {
      this.#heartbeatAtMs = NO_TIMER;
      return;
    }
    const isTrusted = this.best.isTrusted(nowMs);
    this.#pingBest(nowMs);
    const isUpgradeDue = this.best.latencyMs > FAST_MS && nowMs - this.#fullPingAtMs >= UPGRADE_INTERVAL_MS;
    if (!isTrusted || isUpgradeDue) this.discover(false, nowMs);
    this.#heartbeatAtMs = nowMs + (this.best.isDoubted ? HEARTBEAT_DOUBTED_MS : HEARTBEAT_MS);
  }

  #pingBest(nowMs: number): void {
    if (this.best.endpoint === undefined) return;
    this.#ping(this.best.endpoint, nowMs);
  }

  #pingBack(endpoint: Endpoint, nowMs: number): void {
    if (this.info.discoKey === undefined) return;
    const candidate = this.#candidates.learn(endpoint, nowMs);
    if (candidate === undefined) return;
    if (nowMs - candidate.pingedBackAtMs < this.#pingBackIntervalMs(candidate, nowMs)) return;
    candidate.pingedBackAtMs = nowMs;
    this.#ping(endpoint, nowMs);
    // The peer may have moved: find out whether the path in use still works.
    if (this.isActive && !this.best.isAsked && !this.best.isAt(endpoint)) this.#pingBest(nowMs);
    this.#schedule();
  }

  #pingBackIntervalMs(candidate: Candidate, nowMs: number): number {
    const isComparedLater = this.best.isTrusted(nowMs) && !this.best.isAt(candidate.endpoint);
    return isComparedLater ? UPGRADE_INTERVAL_MS : PING_BACK_INTERVAL_MS;
  }

  #ping(endpoint: Endpoint, nowMs: number): void {
    const txId = this.#actions.sendPing(this, endpoint);
    if (txId === undefined) return;
    this.#pings.add(txId, { endpoint, sentAtMs: nowMs });
    const candidate = this.#candidates.get(endpoint);
    if (candidate !== undefined) candidate.pingedAtMs = nowMs;
    if (this.best.isAt(endpoint)) this.#bestPingedAtMs = nowMs;
    this.best.notePing(endpoint, nowMs);
  }

  /** Makes the next discovery or heartbeat due at `atMs`, but not before now. */
  #wakeAt(nowMs: number, atMs: number): void {
    this.#heartbeatAtMs = Math.min(this.#heartbeatAtMs, Math.max(nowMs, atMs));
    this.#schedule();
  }

  #schedule(): void {
    this.wakeAtMs = Math.min(
      this.#heartbeatAtMs,
      this.#silenceAtMs,
      this.#unheardAtMs,
      this.#trialEndsAtMs,
      this.best.overdueAtMs,
      this.#pings.nextLossAtMs,
    );
  }
}
