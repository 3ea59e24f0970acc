/** RFC 6298 §2.1 and §2.4, RFC 9293 §3.8.1; the upper bound is the RFC's minimum for one. */
const RTO_INITIAL_MS = 1000;
const RTO_MIN_MS = 200;
const RTO_MAX_MS = 60_000;
/** RFC 6298 §5.7: after a lost SYN. */
const RTO_AFTER_SYN_LOSS_MS = 3000;
const CLOCK_GRANULARITY_MS = 1;
/** A minimum older than this gives way to the next sample: the path may have changed. */
const MIN_RTT_AGE_MS = 60_000;

/** Smoothed round trip time and the retransmission timeout (RFC 6298). */
export class RttEstimator {
  #variationMs = 0;
  #rtoMs = RTO_INITIAL_MS;
  #backoff = 1;
  #minAtMs = 0;
  hasSample = false;
  /** 0 before the first sample. */
  smoothedMs = 0;
  minMs: number = Number.POSITIVE_INFINITY;

  /** Takes a sample of a segment that was sent once (Karn), or of an echoed timestamp; ends the backoff. */
  sample(rttMs: number, nowMs: number): void {
    const rtt = Math.max(0, rttMs);
    if (this.hasSample) {
      this.#variationMs = 0.75 * this.#variationMs + 0.25 * Math.abs(this.smoothedMs - rtt);
      this.smoothedMs = 0.875 * this.smoothedMs + 0.125 * rtt;
    } else {
      this.hasSample = true;
      this.smoothedMs = rtt;
      this.#variationMs = rtt / 2;
    }
    this.noteMin(rtt, nowMs);
    this.#backoff = 1;
    const rto = this.smoothedMs + Math.max(CLOCK_GRANULARITY_MS, 4 * this.#variationMs);
    this.#rtoMs = Math.min(RTO_MAX_MS, Math.max(RTO_MIN_MS, rto));
  }

  /** A round trip that may be shorter than what smoothing should see: the last segment's, without delayed acknowledgment. */
  noteMin(rttMs: number, nowMs: number): void {
    if (rttMs > this.minMs && nowMs - this.#minAtMs <= MIN_RTT_AGE_MS) return;
    this.minMs = rttMs;
    this.#minAtMs = nowMs;
  }

  get rtoMs(): number {
    return Math.min(RTO_MAX_MS, this.#rtoMs * this.#backoff);
  }

  /** The timer expired: twice as long (RFC 6298 §5.5). */
  backOff(): void {
    if (this.rtoMs < RTO_MAX_MS) this.#backoff *= 2;
  }

  /** The handshake ended without a usable sample because its SYN was sent more than once. */
  restartAfterSynLoss(): void {
    this.#backoff = 1;
    this.#rtoMs = RTO_AFTER_SYN_LOSS_MS;
  }
}
