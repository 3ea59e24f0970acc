import type { Cubic } from './cubic.ts';

/**
 * Remembers the congestion window from before a reduction, and finds out whether the loss was real: reordering and
 * sudden delay, as when a path moves from a relay to a direct one, look like loss until the late segments arrive.
 * Two proofs count: the first acknowledgment echoes a timestamp from before the retransmission (Eifel, RFC 3522), or
 * every retransmission is reported as a duplicate (RFC 3708).
 */
export class ReductionUndo {
  #windowBytes = 0;
  #threshold = 0;
  #retransmissions = 0;
  #firstAtMs = -1;
  #isWatching = false;
  #isEchoAwaited = false;

  /** The window is about to shrink. */
  begin(cubic: Cubic): void {
    this.#windowBytes = cubic.windowBytes;
    this.#threshold = cubic.slowStartThreshold;
    this.#retransmissions = 0;
    this.#firstAtMs = -1;
    this.#isWatching = true;
    this.#isEchoAwaited = true;
  }

  noteRetransmission(nowMs: number): void {
    this.#retransmissions++;
    if (this.#firstAtMs < 0) this.#firstAtMs = Math.floor(nowMs);
  }

  /** A duplicate was reported; true when it was the last retransmission that lacked. */
  noteDuplicate(): boolean {
    this.#retransmissions--;
    return this.#isWatching && this.#firstAtMs >= 0 && this.#retransmissions === 0;
  }

  /** SND.UNA moved; true when what moved it was sent before the first retransmission. Only the first time counts. */
  noteProgress(timestampRttMs: number, nowMs: number): boolean {
    if (!this.#isEchoAwaited || this.#firstAtMs < 0) return false;
    this.#isEchoAwaited = false;
    return timestampRttMs >= 0 && Math.floor(nowMs) - timestampRttMs < this.#firstAtMs;
  }

  /** The loss was none: the window is what it was. */
  restore(cubic: Cubic): void {
    this.#isWatching = false;
    this.#isEchoAwaited = false;
    cubic.windowBytes = Math.max(cubic.windowBytes, this.#windowBytes);
    cubic.slowStartThreshold = Math.max(cubic.slowStartThreshold, this.#threshold);
  }
}
