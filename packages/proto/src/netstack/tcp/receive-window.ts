import type { BufferBudget } from './buffer-budget.ts';

/** The first window: what fits the unscaled field of a SYN. */
export const RECEIVE_WINDOW_INITIAL = 0xffff;
export const RECEIVE_WINDOW_MAX = 0x400000;
/** An epoch is a round trip, but not shorter: below it the clock says nothing. */
const EPOCH_MS_MIN = 2;

/**
 * How much the peer may have outstanding. Doubles while the application drains at least half a window in a round trip
 * (dynamic right-sizing), so that a window is never what limits a reader that keeps up, and an idle one stays small.
 */
export class ReceiveWindow {
  readonly #budget: BufferBudget;
  readonly #bytesMax: number;
  #taken = 0;
  #drained = 0;
  #epochAtMs = 0;
  bytes: number;

  /** @param shift The agreed window scale: without one 65,535 bytes is all the field can say. */
  constructor(budget: BufferBudget, shift: number) {
    this.#budget = budget;
    this.#bytesMax = shift === 0 ? RECEIVE_WINDOW_INITIAL : RECEIVE_WINDOW_MAX;
    this.bytes = shift === 0 ? RECEIVE_WINDOW_INITIAL : RECEIVE_WINDOW_INITIAL + 1;
  }

  /** The application took bytes out; may enlarge `bytes`. */
  onDrained(bytes: number, nowMs: number, rttMs: number): void {
    const epochMs = Math.max(EPOCH_MS_MIN, 2 * rttMs);
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
