import type { Delivery, InFlight } from './in-flight.ts';
import type { RttEstimator } from './rtt.ts';
import { isAfter, isBefore } from './sequence.ts';

/** RFC 8985 §6.2 step 4: recoveries for which a widened window stays, and how many quarters of an RTT it may grow to. */
const WINDOW_RECOVERIES = 16;
const WINDOW_FACTOR_MAX = 8;

/**
 * Loss detection by time (RACK, RFC 8985 §6.2): a segment is lost when one that was sent later has been delivered and
 * the reordering window has passed since. Reordering therefore costs a wait of a quarter RTT, not a retransmission.
 */
export class Rack {
  #sentAtMs = -1;
  #end = 0;
  #rttMs = 0;
  #hasReordering = false;
  #windowFactor = 1;
  #recoveriesLeft = 0;

  /** Steps 2 and 3: takes the newest delivered segment, and notices one delivered behind a later one. */
  update(delivery: Delivery, nowMs: number, minRttMs: number): void {
    if (delivery.newestSentAtMs >= 0) {
      const rttMs = nowMs - delivery.newestSentAtMs;
      // A retransmission acknowledged sooner than the path allows: its original was late, and its time means nothing.
      const isAmbiguous = delivery.isNewestRetransmitted && rttMs < minRttMs;
      if (!isAmbiguous && this.#isNewer(delivery.newestSentAtMs, delivery.newestEnd)) {
        this.#sentAtMs = delivery.newestSentAtMs;
        this.#end = delivery.newestEnd;
        this.#rttMs = rttMs;
      }
    }
    if (delivery.isReordered) this.#hasReordering = true;
  }

  /** A retransmission has proved needless: late segments are late, not lost, on this path. */
  noteReordering(): void {
    this.#hasReordering = true;
  }

  /** A DSACK: something was sent again too early. Widens the window by a quarter RTT, for the next 16 recoveries. */
  noteDuplicate(): void {
    this.#windowFactor = Math.min(this.#windowFactor + 1, WINDOW_FACTOR_MAX);
    this.#recoveriesLeft = WINDOW_RECOVERIES;
  }

  noteRecoveryEnd(): void {
    if (this.#recoveriesLeft > 0 && --this.#recoveriesLeft === 0) this.#windowFactor = 1;
  }

  /**
   * Step 4: how long a later delivery may overtake. `isEager`: recovery is under way or three segments overtook already,
   * which without known reordering is proof enough.
   */
  reorderWindowMs(isEager: boolean, rtt: RttEstimator): number {
    if ((isEager && !this.#hasReordering) || !rtt.hasSample) return 0;
    return Math.min((this.#windowFactor * rtt.minMs) / 4, rtt.smoothedMs);
  }

  /** Step 5: marks what is lost; returns when to look again, or infinity. */
  detect(inFlight: InFlight, windowMs: number, nowMs: number): number {
    if (this.#sentAtMs < 0) return Number.POSITIVE_INFINITY;
    let againAtMs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < inFlight.count; i++) {
      if (!inFlight.isOutstanding(i)) continue;
      const sentAt = inFlight.sentAtOf(i);
      if (!this.#isOlder(sentAt, inFlight.endOf(i))) {
        // Behind the last block segments lie in the order they were sent: all others are later still.
        if (!isBefore(inFlight.startOf(i), inFlight.highestSacked)) break;
        continue;
      }
      const lostAtMs = sentAt + this.#rttMs + windowMs;
      if (lostAtMs <= nowMs) inFlight.markLost(i);
      else if (lostAtMs < againAtMs) againAtMs = lostAtMs;
    }
    return againAtMs;
  }

  #isNewer(sentAtMs: number, end: number): boolean {
    return sentAtMs > this.#sentAtMs || (sentAtMs === this.#sentAtMs && isAfter(end, this.#end));
  }

  #isOlder(sentAtMs: number, end: number): boolean {
    return sentAtMs < this.#sentAtMs || (sentAtMs === this.#sentAtMs && isBefore(end, this.#end));
  }
}
