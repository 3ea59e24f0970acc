import type { BufferBudget } from './buffer-budget.ts';

/** The first window: what fits the unscaled field of a SYN. */
export const RECEIVE_WINDOW_INITIAL = 0xffff;
export const RECEIVE_WINDOW_MAX = 0x400000;
/** An epoch is the shortest round trip seen, but not shorter than this: below it the clock says nothing. */
const EPOCH_MS_MIN = 2;
/** An older minimum gives way to the next sample: the path may have changed. */
const RTT_AGE_MS = 60_000;

/**
 * How much the peer may have outstanding. Doubles while the application drains at least half a window in a round trip
 * (dynamic right-sizing), so that a window is never what limits a reader that keeps up, and an idle one stays small.
 *
 * The round trip is the shortest seen: a window that fills a queue on the way lengthens the round trip, and if that
 * counted, it would grow until the queue overflows. In measurements the queue is the UDP socket's buffer.
 */
export class ReceiveWindow {
  readonly #budget: BufferBudget;
  readonly #bytesMax: number;
  #taken = 0;
  #drained = 0;
  #epochAtMs = 0;
  #rttMsMin = Number.POSITIVE_INFINITY;
  #rttAtMs = 0;
  bytes: number;

  /** @param shift The agreed window scale: without one 65,535 bytes is all the field can say. */
  constructor(budget: BufferBudget, shift: number) {
    this.#budget = budget;
    this.#bytesMax = shift === 0 ? RECEIVE_WINDOW_INITIAL : RECEIVE_WINDOW_MAX;
    this.bytes = shift === 0 ? RECEIVE_WINDOW_INITIAL : RECEIVE_WINDOW_INITIAL + 1;
  }

  /** A segment echoed a timestamp of ours: at least so long ago, also when only the peer has something to send. */
  noteRtt(rttMs: number, nowMs: number): void {
    if (rttMs > this.#rttMsMin && nowMs - this.#rttAtMs <= RTT_AGE_MS) return;
    this.#rttMsMin = rttMs;
    this.#rttAtMs = nowMs;
  }

  /** The application took bytes out; may enlarge `bytes`. */
  onDrained(bytes: number, nowMs: number, rttMs: number): void {
    const epochMs = Math.max(EPOCH_MS_MIN, Number.isFinite(this.#rttMsMin) ? this.#rttMsMin : rttMs);
    if (nowMs - this.#epochAtMs > epochMs) {
      this.#epochAtMs = nowMs;
      this.#drained = 0;
    }
    this.#drained += bytes;
    if (2 * this.#drained < this.bytes || this.bytes >= this.#bytesMax) return;
    const next = Math.min(this.#bytesMax, 2 * this.bytes);
    if (!this.#budget.take(next - this.bytes)) return;
    this.#taken += next - this.bytes;
    this.bytes = next;
    this.#drained = 0;
  }

  /** Gives the budget back when the connection ends. */
  release(): void {
    this.#budget.giveBack(this.#taken);
    this.#taken = 0;
  }
}
