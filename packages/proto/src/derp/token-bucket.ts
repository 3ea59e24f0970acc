const REFILL_INTERVAL_MS_MAX = 50;

/**
 * An allowance: `burst` units at once, `perSecond` on average. A relay may announce one for sends, in bytes.
 * Time comes only by {@link TokenBucket.refill}, which its owner calls at {@link TokenBucket.refillAtMs}.
 */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  readonly #intervalMs: number;
  #units: number;
  #refilledAtMs: number;

  /** Starts full. @throws {RangeError} when a number is not positive. */
  constructor(o: { readonly perSecond: number; readonly burst: number; readonly nowMs: number }) {
    if (!(o.perSecond > 0 && o.burst > 0)) throw new RangeError('a token bucket needs a rate and a burst');
    this.#perMs = o.perSecond / 1000;
    this.#burst = o.burst;
    // Half of what fills the bucket: a coarser step would waste allowance at the brim.
    this.#intervalMs = Math.max(1, Math.min(REFILL_INTERVAL_MS_MAX, o.burst / this.#perMs / 2));
    this.#units = o.burst;
    this.#refilledAtMs = o.nowMs;
  }

  /** Takes the units, or returns false and takes nothing. */
  take(units: number): boolean {
    if (units > this.#units) return false;
    this.#units -= units;
    return true;
  }

  refill(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.#refilledAtMs);
    this.#units = Math.min(this.#burst, this.#units + elapsedMs * this.#perMs);
    this.#refilledAtMs = nowMs;
  }

  /** When the next refill is worth it; `undefined` while the bucket is full. */
  get refillAtMs(): number | undefined {
    return this.#units < this.#burst ? this.#refilledAtMs + this.#intervalMs : undefined;
  }
}
