import type { Endpoint } from '../ip/endpoint.ts';
import { isBetterPath, type PathQuality } from './path-quality.ts';

/** How long a pong vouches for a path. */
export const TRUST_MS = 6500;

/** A pong later than three times the usual is missing, within these bounds. */
const PONG_OVERDUE_MIN_MS = 250;
const PONG_OVERDUE_MAX_MS = 1500;
/** The first missing pong may be plain loss; the second one means that the path is gone. */
const MISSED_PONGS_GONE = 2;

const NEVER = Number.NEGATIVE_INFINITY;
const ALWAYS_LATER = Number.POSITIVE_INFINITY;

/**
 * The direct path in use to one peer, and how much it is believed in.
 *
 * ```
 *            pong                    no pong for 6.5 s
 *   none ───────────▶ trusted ──────────────────────────▶ untrusted
 *    ▲                ▲     │ pong overdue                  │  ▲
 *    │                └─────┼───────────── pong ────────────┘  │ pong overdue
 *    │                      ▼                                  │
 *    └── ping lost ── untrusted, missing one pong, then two: gone (reported as relay, still tried)
 * ```
 * Trusted: UDP alone. Untrusted: UDP and relay. None: relay alone. A path is lost only when a ping to it timed out
 * (5 s) and its trust has run out too, so that a late burst of loss does not throw a working path away.
 */
export class BestPath {
  #quality: PathQuality | undefined;
  #trustUntilMs = NEVER;
  #missedPongs = 0;
  #askedAtMs = ALWAYS_LATER;
  #copyUntilMs = NEVER;

  get endpoint(): Endpoint | undefined {
    return this.#quality?.endpoint;
  }

  /** Round trip of the last pong, 0 when there is no path. */
  get latencyMs(): number {
    return this.#quality?.latencyMs ?? 0;
  }

  /** True when two pings in a row went unanswered. */
  get isGone(): boolean {
    return this.#missedPongs >= MISSED_PONGS_GONE;
  }

  /** True when a pong is missing. */
  get isDoubted(): boolean {
    return this.#missedPongs > 0;
  }

  /** True while a ping to this path waits for its pong. */
  get isAsked(): boolean {
    return this.#askedAtMs !== ALWAYS_LATER;
  }

  /** When the pong that is waited for is missing; Infinity when none is. */
  get overdueAtMs(): number {
    const usualMs = 3 * this.latencyMs;
    return this.#askedAtMs + Math.min(PONG_OVERDUE_MAX_MS, Math.max(PONG_OVERDUE_MIN_MS, usualMs));
  }

  isTrusted(nowMs: number): boolean {
    return this.#quality !== undefined && this.#missedPongs === 0 && nowMs <= this.#trustUntilMs;
  }

  /** True when packets must go by relay as well. */
  needsRelayCopy(nowMs: number): boolean {
    return nowMs < this.#copyUntilMs || !this.isTrusted(nowMs);
  }

  isAt(endpoint: Endpoint): boolean {
    const current = this.#quality?.endpoint;
    return current !== undefined && (current === endpoint || current.text === endpoint.text);
  }

  /** Takes an answered ping: the path becomes the best one, is confirmed, or is not good enough. */
  handlePong(quality: PathQuality, nowMs: number): void {
    const isCurrent = this.isAt(quality.endpoint);
    if (!isCurrent && this.isTrusted(nowMs) && !isBetterPath(quality, this.#quality)) return;
    if (!isCurrent) this.#copyUntilMs = NEVER;
    this.#quality = quality;
    this.#trustUntilMs = nowMs + TRUST_MS;
    this.#missedPongs = 0;
    this.#askedAtMs = ALWAYS_LATER;
  }

  /** Notes a ping to some address; the oldest one unanswered by this path counts. */
  notePing(endpoint: Endpoint, nowMs: number): void {
    if (!this.isAsked && this.isAt(endpoint)) this.#askedAtMs = nowMs;
  }

  /** Counts the pong that was waited for as missing; returns how many are missing in a row. */
  noteMissedPong(): number {
    this.#missedPongs++;
    this.#askedAtMs = ALWAYS_LATER;
    return this.#missedPongs;
  }

  /** Drops the path when the lost ping went there and nothing else vouches for it. */
  handleLostPing(endpoint: Endpoint, nowMs: number): void {
    if (this.isAt(endpoint) && nowMs > this.#trustUntilMs) this.clear();
  }

  /** Keeps the path but believes nothing of it until the next pong. */
  distrust(): void {
    this.#trustUntilMs = NEVER;
  }

  /** Sends by relay as well until then, whatever pongs say: pings may pass where data does not. */
  copyUntil(untilMs: number): void {
    if (untilMs > this.#copyUntilMs) this.#copyUntilMs = untilMs;
  }

  clear(): void {
    this.#quality = undefined;
    this.#trustUntilMs = NEVER;
    this.#missedPongs = 0;
    this.#askedAtMs = ALWAYS_LATER;
    this.#copyUntilMs = NEVER;
  }
}
