/** RFC 9438 §4.1 and §4.6; bytes are counted, not segments. */
const SCALING = 0.4;
const DECREASE = 0.7;
/** RFC 9438 §4.3: keeps the Reno-friendly window at Reno's average. */
const RENO_INCREASE = (3 * (1 - DECREASE)) / (1 + DECREASE);
/** RFC 6928 §2. */
const INITIAL_SEGMENTS = 10;
/** More than any buffer: the product with a segment size stays exact. */
const WINDOW_MAX = 0x40000000;

/**
 * CUBIC congestion control (RFC 9438): slow start below `slowStartThreshold`, above it a cubic of the time since the
 * last loss around the window at that loss, never below what Reno would have reached.
 */
export class Cubic {
  #segmentBytes: number;
  #windowMax = 0;
  #originBytes = 0;
  #plateauMs = 0;
  #renoWindow = 0;
  #renoTarget = 0;
  #epochAtMs = -1;
  windowBytes: number;
  slowStartThreshold: number = WINDOW_MAX;

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
    this.windowBytes = Math.min(INITIAL_SEGMENTS * segmentBytes, Math.max(2 * segmentBytes, 14_600));
  }

  /** The path takes smaller segments now (path MTU discovery). */
  setSegmentBytes(segmentBytes: number): void {
    this.#segmentBytes = segmentBytes;
  }

  /** RFC 5681 §3.1: one segment after a handshake that lost its SYN. */
  restrictInitialWindow(): void {
    this.windowBytes = this.#segmentBytes;
  }

  get isSlowStart(): boolean {
    return this.windowBytes < this.slowStartThreshold;
  }

  /** New data was acknowledged while the window, not the application, was the limit. */
  onAcknowledged(bytes: number, nowMs: number, rttMs: number): void {
    if (this.isSlowStart) this.windowBytes += bytes;
    else this.#avoidCongestion(bytes, nowMs, rttMs);
    if (this.windowBytes > WINDOW_MAX) this.windowBytes = WINDOW_MAX;
  }

  /** A loss was seen: returns and sets the threshold, which is the window after recovery (RFC 9438 §4.6, §4.7). */
  onLoss(): number {
    const isShrinking = this.windowBytes < this.#windowMax;
    this.#windowMax = isShrinking ? (this.windowBytes * (1 + DECREASE)) / 2 : this.windowBytes;
    this.#renoTarget = this.windowBytes;
    this.#epochAtMs = -1;
    this.slowStartThreshold = Math.max(this.windowBytes * DECREASE, 2 * this.#segmentBytes);
    return this.slowStartThreshold;
  }

  /** The retransmission timer expired: one segment, then slow start (RFC 5681 §3.1). */
  onTimeout(isFirst: boolean): void {
    if (isFirst) this.onLoss();
    this.#epochAtMs = -1;
    this.windowBytes = this.#segmentBytes;
  }

  /** Nothing was sent for longer than the RTO: the window is no longer known to fit (RFC 5681 §4.1). */
  onIdle(idleMs: number): void {
    this.windowBytes = Math.min(this.windowBytes, INITIAL_SEGMENTS * this.#segmentBytes);
    if (this.#epochAtMs >= 0) this.#epochAtMs += idleMs;
  }

  #avoidCongestion(bytes: number, nowMs: number, rttMs: number): void {
    const segment = this.#segmentBytes;
    if (this.#epochAtMs < 0) this.#beginEpoch(nowMs);
    const seconds = (nowMs + rttMs - this.#epochAtMs - this.#plateauMs) / 1000;
    const cubic = this.#originBytes + SCALING * seconds * seconds * seconds * segment;
    const target = Math.min(Math.max(cubic, this.windowBytes), 1.5 * this.windowBytes);
    const increase = this.#renoWindow < this.#renoTarget ? RENO_INCREASE : 1;
    this.#renoWindow += (increase * segment * bytes) / this.windowBytes;
    const grown = this.windowBytes + ((target - this.windowBytes) * bytes) / this.windowBytes;
    this.windowBytes = Math.max(grown, this.#renoWindow);
  }

  #beginEpoch(nowMs: number): void {
    this.#epochAtMs = nowMs;
    this.#renoWindow = this.windowBytes;
    const missing = Math.max(0, this.#windowMax - this.windowBytes) / this.#segmentBytes;
    this.#plateauMs = Math.cbrt(missing / SCALING) * 1000;
    this.#originBytes = Math.max(this.#windowMax, this.windowBytes);
  }
}
