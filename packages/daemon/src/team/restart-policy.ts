import type { Retry } from './driver.ts';

const DELAY_MS_MIN = 500;
const DELAY_MS_MAX = 60_000;
/** So long up, and earlier failures count no more. */
const HEALTHY_MS = 60_000;
const CRASH_COUNT_MAX = 5;
const CRASH_WINDOW_MS = 120_000;
const FEW_TRIES = 3;

export type RestartDecision =
  | { readonly kind: 'wait'; readonly delayMs: number }
  /** `fatal` and `tries-used` keep the failure's own code; a crash loop has one of its own. */
  | { readonly kind: 'give-up'; readonly reason: 'fatal' | 'tries-used' | 'crash-loop' };

/**
 * Decides when a team that ended is started again: half a second, doubled up to a minute, with a random part of one half
 * so that teams that failed together do not come back together. Times are monotonic.
 */
export class RestartPolicy {
  readonly #random: () => number;
  #failureCount = 0;
  #fewCount = 0;
  #exitsAtMs: number[] = [];
  #upSinceMs: number | undefined;

  /** @param random Uniform in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  noteUp(nowMs: number): void {
    this.#upSinceMs = nowMs;
  }

  /** The child has ended or could not be started. */
  decide(retry: Retry, nowMs: number): RestartDecision {
    if (this.#upSinceMs !== undefined && nowMs - this.#upSinceMs >= HEALTHY_MS) this.reset();
    this.#upSinceMs = undefined;
    if (retry === 'never') return { kind: 'give-up', reason: 'fatal' };
    this.#fewCount = retry === 'few' ? this.#fewCount + 1 : 0;
    if (this.#fewCount > FEW_TRIES) return { kind: 'give-up', reason: 'tries-used' };
    this.#exitsAtMs = this.#exitsAtMs.filter((atMs) => nowMs - atMs < CRASH_WINDOW_MS);
    this.#exitsAtMs.push(nowMs);
    if (this.#exitsAtMs.length >= CRASH_COUNT_MAX) return { kind: 'give-up', reason: 'crash-loop' };
    const fullMs = Math.min(DELAY_MS_MAX, DELAY_MS_MIN * 2 ** this.#failureCount);
    this.#failureCount++;
    return { kind: 'wait', delayMs: Math.round((fullMs * (1 + this.#random())) / 2) };
  }

  /** Somebody asked for a start: earlier failures are forgiven. */
  reset(): void {
    this.#failureCount = 0;
    this.#fewCount = 0;
    this.#exitsAtMs = [];
    this.#upSinceMs = undefined;
  }
}
