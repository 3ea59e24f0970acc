/**
 * A sliding log per user: at most `countMax` admitted requests in any window. A token bucket would let almost twice as
 * many through in its first minute. Rejected requests do not extend the wait.
 */
export class RateLimiter {
  readonly #countMax: number;
  readonly #windowMs: number;
  readonly #admitted = new Map<number, number[]>();

  constructor(countMax: number, windowMs: number) {
    this.#countMax = countMax;
    this.#windowMs = windowMs;
  }

  /** Counts a request; 0 when it passes, else the milliseconds until the next one would. */
  admit(uid: number, nowMs: number): number {
    const times = this.#timesOf(uid, nowMs);
    const since = nowMs - this.#windowMs;
    while (times.length > 0 && (times[0] as number) <= since) times.shift();
    if (times.length >= this.#countMax) return Math.max(1, Math.ceil((times[0] as number) - since));
    times.push(nowMs);
    return 0;
  }

  #timesOf(uid: number, nowMs: number): number[] {
    const known = this.#admitted.get(uid);
    if (known !== undefined) return known;
    if (this.#admitted.size >= USER_COUNT_MAX) this.#forgetIdle(nowMs);
    const times: number[] = [];
    this.#admitted.set(uid, times);
    return times;
  }

  // When every slot is busy the oldest user starts afresh: that admits too much, never too little.
  #forgetIdle(nowMs: number): void {
    for (const [uid, times] of this.#admitted) {
      if ((times.at(-1) ?? 0) <= nowMs - this.#windowMs) this.#admitted.delete(uid);
    }
    const oldest = this.#admitted.keys().next();
    if (this.#admitted.size >= USER_COUNT_MAX && !oldest.done) this.#admitted.delete(oldest.value);
  }
}

const USER_COUNT_MAX = 4096;
