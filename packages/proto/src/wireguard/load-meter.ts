/** More initiations than this within one window mean that the processor would do nothing else: about 10 ms of X25519. */
export const LOAD_INITIATIONS_MAX = 64;
export const LOAD_WINDOW_MS = 100;
/** How long the load lasts after the last full window. */
export const LOAD_HOLD_MS = 1000;

/** Decides whether handshake messages must prove their source before they cost a Diffie-Hellman operation. */
export class LoadMeter {
  #windowEndsAtMs = Number.NEGATIVE_INFINITY;
  #count = 0;
  #loadedUntilMs = Number.NEGATIVE_INFINITY;

  /** Counts one initiation with a valid mac1. */
  note(nowMs: number): void {
    if (nowMs >= this.#windowEndsAtMs) {
      this.#windowEndsAtMs = nowMs + LOAD_WINDOW_MS;
      this.#count = 0;
    }
    this.#count++;
    if (this.#count > LOAD_INITIATIONS_MAX) this.#loadedUntilMs = nowMs + LOAD_HOLD_MS;
  }

  isLoaded(nowMs: number): boolean {
    return nowMs < this.#loadedUntilMs;
  }
}
