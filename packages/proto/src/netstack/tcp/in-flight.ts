import { distance, isAfter, isBefore } from './sequence.ts';

/** Segments in flight; beyond it nothing new is sent until some are acknowledged. 4 MiB of full ones are 3,472. */
export const IN_FLIGHT_MAX = 8192;
const CAPACITY_MIN = 64;

const SACKED = 1;
const LOST = 2;
const RETRANSMITTED = 4;

/** What one acknowledgment delivered; reused, read by the sender right after the calls that filled it. */
export class Delivery {
  /** Bytes newly acknowledged, cumulatively or selectively. */
  bytes = 0;
  /** Send time of the oldest segment acknowledged cumulatively that was sent once, or -1: a valid RTT sample (Karn). */
  oldestSentAtMs = -1;
  /** The newest segment delivered, by time sent: RACK's clock (RFC 8985 §6.2 step 2). -1 when nothing was. */
  newestSentAtMs = -1;
  newestEnd = 0;
  isNewestRetransmitted = false;
  /** Highest end delivered before this acknowledgment (RACK.fack). */
  forwardEnd = 0;
  /** A segment sent once was delivered behind one that was sent later (RFC 8985 §6.2 step 3). */
  isReordered = false;

  begin(forwardEnd: number): void {
    this.bytes = 0;
    this.oldestSentAtMs = -1;
    this.newestSentAtMs = -1;
    this.forwardEnd = forwardEnd;
    this.isReordered = false;
  }
}

/**
 * One record for each segment between SND.UNA and SND.NXT: its end, when it was last sent, and whether it is reported
 * received (SACKed), deemed lost, or was sent again. The scoreboard of RFC 6675 and the segment list of RFC 8985.
 *
 * Invariants: records are contiguous from `start`; `sackedBytes` and `lostBytes` are the sums over their records; a
 * record is never both SACKed and lost; no record below `#lostHint` is lost.
 */
export class InFlight {
  #end: Int32Array = new Int32Array(0);
  #sentAt: Float64Array = new Float64Array(0);
  #marks: Uint8Array = new Uint8Array(0);
  #head = 0;
  #lostHint = 0;
  count = 0;
  /** SND.UNA. */
  start: number;
  sackedBytes = 0;
  /** Deemed lost and not sent again yet. */
  lostBytes = 0;
  /** End of the highest SACKed record, `start` when that is later. */
  highestSacked: number;

  constructor(start: number) {
    this.start = start;
    this.highestSacked = start;
  }

  get isFull(): boolean {
    return this.count === IN_FLIGHT_MAX;
  }

  /** Appends a segment just sent; the caller has looked at `isFull`. */
  push(end: number, nowMs: number): void {
    if (this.count === this.#end.length) this.#resize(Math.max(CAPACITY_MIN, 2 * this.count));
    const at = (this.#head + this.count) & (this.#end.length - 1);
    this.#end[at] = end;
    this.#sentAt[at] = nowMs;
    this.#marks[at] = 0;
    this.count++;
  }

  /** First sequence of record `index`, counted from the oldest. */
  startOf(index: number): number {
    return index === 0 ? this.start : this.endOf(index - 1);
  }

  endOf(index: number): number {
    return this.#end[(this.#head + index) & (this.#end.length - 1)] as number;
  }

  sentAtOf(index: number): number {
    return this.#sentAt[(this.#head + index) & (this.#end.length - 1)] as number;
  }

  /** Neither received nor already deemed lost. */
  isOutstanding(index: number): boolean {
    return ((this.#marks[(this.#head + index) & (this.#end.length - 1)] as number) & (SACKED | LOST)) === 0;
  }

  isSacked(index: number): boolean {
    return ((this.#marks[(this.#head + index) & (this.#end.length - 1)] as number) & SACKED) !== 0;
  }

  /** Removes what `acknowledgment` covers; a record covered in part keeps its rest. */
  acknowledge(acknowledgment: number, delivery: Delivery): void {
    const mask = this.#end.length - 1;
    while (this.count > 0) {
      const at = this.#head;
      const end = this.#end[at] as number;
      if (isAfter(end, acknowledgment)) break;
      this.#deliver(at, distance(this.start, end), delivery);
      if (delivery.oldestSentAtMs < 0 && (this.#marks[at] as number) === 0) {
        delivery.oldestSentAtMs = this.#sentAt[at] as number;
      }
      if (((this.#marks[at] as number) & SACKED) !== 0) this.sackedBytes -= distance(this.start, end);
      this.start = end;
      this.#head = (at + 1) & mask;
      this.count--;
      if (this.#lostHint > 0) this.#lostHint--;
    }
    if (this.count > 0 && isBefore(this.start, acknowledgment)) this.#trimFirst(acknowledgment, delivery);
    if (isBefore(this.highestSacked, this.start)) this.highestSacked = this.start;
  }

  /** Marks the records inside [left, right) as received. */
  markSacked(left: number, right: number, delivery: Delivery): void {
    for (let i = this.#indexAt(left); i < this.count; i++) {
      const end = this.endOf(i);
      if (isAfter(end, right)) return;
      const start = this.startOf(i);
      const at = (this.#head + i) & (this.#end.length - 1);
      const marks = this.#marks[at] as number;
      if (isBefore(start, left) || (marks & SACKED) !== 0) continue;
      this.#deliver(at, distance(start, end), delivery);
      this.#marks[at] = (marks & ~LOST) | SACKED;
      this.sackedBytes += distance(start, end);
      if (isAfter(end, this.highestSacked)) this.highestSacked = end;
    }
  }

  markLost(index: number): void {
    const at = (this.#head + index) & (this.#end.length - 1);
    this.#marks[at] = (this.#marks[at] as number) | LOST;
    this.lostBytes += distance(this.startOf(index), this.endOf(index));
    if (index < this.#lostHint) this.#lostHint = index;
  }

  /** The oldest lost record, or -1. */
  firstLost(): number {
    if (this.lostBytes === 0) return -1;
    const mask = this.#end.length - 1;
    for (let i = this.#lostHint; i < this.count; i++) {
      if (((this.#marks[(this.#head + i) & mask] as number) & LOST) === 0) continue;
      this.#lostHint = i;
      return i;
    }
    return -1;
  }

  /** Record `index` was sent again. */
  markRetransmitted(index: number, nowMs: number): void {
    const at = (this.#head + index) & (this.#end.length - 1);
    const marks = this.#marks[at] as number;
    if ((marks & LOST) !== 0) this.lostBytes -= distance(this.startOf(index), this.endOf(index));
    this.#marks[at] = (marks & ~LOST) | RETRANSMITTED;
    this.#sentAt[at] = nowMs;
  }

  /** The receiver dropped what it had reported (RFC 2018 §8): the marks are worth nothing. */
  forgetSacks(): void {
    for (let i = 0; i < this.count; i++) {
      const at = (this.#head + i) & (this.#end.length - 1);
      this.#marks[at] = (this.#marks[at] as number) & ~SACKED;
    }
    this.sackedBytes = 0;
    this.highestSacked = this.start;
  }

  /** What was deemed lost is on its way after all. */
  forgetLosses(): void {
    for (let i = 0; i < this.count; i++) {
      const at = (this.#head + i) & (this.#end.length - 1);
      this.#marks[at] = (this.#marks[at] as number) & ~LOST;
    }
    this.lostBytes = 0;
  }

  /** Cuts records to `segmentBytes` and takes all of them for lost: the path has dropped what was larger. */
  split(segmentBytes: number): void {
    const ends: number[] = [];
    for (let i = 0; i < this.count; i++) {
      const end = this.endOf(i);
      for (let at = this.startOf(i); isBefore(at, end); ) {
        at = isBefore((at + segmentBytes) | 0, end) ? (at + segmentBytes) | 0 : end;
        ends.push(at);
      }
    }
    this.clear();
    for (const [index, end] of ends.entries()) {
      this.push(end, 0);
      this.markLost(index);
    }
  }

  /** Forgets every record and gives the memory back. */
  clear(): void {
    this.count = 0;
    this.#head = 0;
    this.#lostHint = 0;
    this.sackedBytes = 0;
    this.lostBytes = 0;
    this.highestSacked = this.start;
    this.#end = new Int32Array(0);
    this.#sentAt = new Float64Array(0);
    this.#marks = new Uint8Array(0);
  }

  #deliver(at: number, bytes: number, delivery: Delivery): void {
    const marks = this.#marks[at] as number;
    if ((marks & SACKED) !== 0) return;
    if ((marks & LOST) !== 0) this.lostBytes -= bytes;
    delivery.bytes += bytes;
    const end = this.#end[at] as number;
    const sentAt = this.#sentAt[at] as number;
    const isRetransmitted = (marks & RETRANSMITTED) !== 0;
    if (sentAt > delivery.newestSentAtMs || (sentAt === delivery.newestSentAtMs && isAfter(end, delivery.newestEnd))) {
      delivery.newestSentAtMs = sentAt;
      delivery.newestEnd = end;
      delivery.isNewestRetransmitted = isRetransmitted;
    }
    if (!isRetransmitted && isBefore(end, delivery.forwardEnd)) delivery.isReordered = true;
  }

  #trimFirst(acknowledgment: number, delivery: Delivery): void {
    const bytes = distance(this.start, acknowledgment);
    const marks = this.#marks[this.#head] as number;
    if ((marks & SACKED) !== 0) this.sackedBytes -= bytes;
    else delivery.bytes += bytes;
    if ((marks & LOST) !== 0) this.lostBytes -= bytes;
    this.start = acknowledgment;
  }

  /** Index of the first record that ends behind `sequence`. */
  #indexAt(sequence: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isAfter(this.endOf(middle), sequence)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #resize(capacity: number): void {
    const mask = this.#end.length - 1;
    const end = new Int32Array(capacity);
    const sentAt = new Float64Array(capacity);
    const marks = new Uint8Array(capacity);
    for (let i = 0; i < this.count; i++) {
      const at = (this.#head + i) & mask;
      end[i] = this.#end[at] as number;
      sentAt[i] = this.#sentAt[at] as number;
      marks[i] = this.#marks[at] as number;
    }
    this.#end = end;
    this.#sentAt = sentAt;
    this.#marks = marks;
    this.#head = 0;
  }
}
