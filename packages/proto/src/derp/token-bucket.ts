const REFILL_INTERVAL_MS_MAX = 50;

/**
 * A send allowance that a relay may announce: `burstBytes` at once, `bytesPerSecond` on average.
 * Time comes only by {@link TokenBucket.refill}, which its owner calls at {@link TokenBucket.refillAtMs}.
 */
export class TokenBucket {
  readonly #bytesPerMs: number;
  readonly #burstBytes: number;
  readonly #intervalMs: number;
  #bytes: number;
  #refilledAtMs: number;

  /** Starts full. @throws {RangeError} when a number is not positive. */
  constructor(o: { readonly bytesPerSecond: number; readonly burstBytes: number; readonly nowMs: number }) {
    if (!(o.bytesPerSecond > 0 && o.burstBytes > 0)) throw new RangeError('a token bucket needs a rate and a burst');
    this.#bytesPerMs = o.bytesPerSecond / 1000;
    this.#burstBytes = o.burstBytes;
    // Half of what fills the bucket: a coarser step would waste allowance at the brim.
    this.#intervalMs = Math.max(1, Math.min(REFILL_INTERVAL_MS_MAX, o.burstBytes / this.#bytesPerMs / 2));
    this.#bytes = o.burstBytes;
    this.#refilledAtMs = o.nowMs;
  }

  /** Takes the bytes, or returns false and takes nothing. */
  take(bytes: number): boolean {
    if (bytes > this.#bytes) return false;
    this.#bytes -= bytes;
    return true;
  }

  refill(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.#refilledAtMs);
    this.#bytes = Math.min(this.#burstBytes, this.#bytes + elapsedMs * this.#bytesPerMs);
    this.#refilledAtMs = nowMs;
  }

  /** When the next refill is worth it; `undefined` while the bucket is full. */
  get refillAtMs(): number | undefined {
    return this.#bytes < this.#burstBytes ? this.#refilledAtMs + this.#intervalMs : undefined;
  }
}
