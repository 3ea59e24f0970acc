import type { NetstackDrop, PacketMemory } from '../ip-header.ts';
import type { BufferBudget } from './buffer-budget.ts';
import { SACK_BLOCKS_MAX, type SegmentOptions } from './options.ts';
import { RECEIVE_WINDOW_INITIAL, RECEIVE_WINDOW_MAX, ReceiveWindow } from './receive-window.ts';
import { ReorderRanges } from './reorder-ranges.ts';
import { Ring } from './ring.ts';
import type { Segment } from './segment.ts';
import { FLAG_FIN } from './segment.ts';
import { advance, distance, isAfter, isBefore } from './sequence.ts';

const DELAYED_ACK_MS = 40;
/** The first segments are acknowledged at once: the peer is in slow start and counts acknowledgments. */
const QUICK_ACKS = 16;
/** Without SACK the peer counts duplicates: at most this many are owed at a time. */
const DUPLICATE_ACKS_MAX = 3;
/** RFC 7323 §5.5: a timestamp may have wrapped after this much silence. */
const TIMESTAMP_AGE_MS = 24 * 24 * 3600 * 1000;

/** What was agreed in the handshake for this direction. */
export interface ReceiverOptions {
  /** RCV.NXT: the sequence of the first data byte. */
  readonly next: number;
  readonly windowShift: number;
  readonly hasSack: boolean;
  readonly hasTimestamps: boolean;
  /** Of the peer's SYN. */
  readonly remoteTimestamp: number;
  readonly segmentBytes: number;
  readonly budget: BufferBudget;
  readonly count: (drop: NetstackDrop) => void;
}

/**
 * The receiving half of a connection: what has arrived, what the peer may send, and when to acknowledge it.
 *
 * Invariants: the ring holds the readable bytes [ring.start, next) and, at their places, the ranges of `#ranges`; the
 * right edge once advertised never moves left, and room for it is always available; `next` passes the FIN once.
 */
export class Receiver {
  readonly #window: ReceiveWindow;
  readonly #windowShift: number;
  readonly #hasSack: boolean;
  readonly #hasTimestamps: boolean;
  readonly #segmentBytes: number;
  readonly #count: (drop: NetstackDrop) => void;
  readonly #ranges: ReorderRanges = new ReorderRanges();
  readonly ring: Ring;
  /** RCV.NXT. */
  next: number;
  /** End of the readable bytes; one before `next` once the FIN has been passed. */
  #dataEnd: number;
  /** Highest right edge ever advertised. */
  #edge: number;
  #acknowledged: number;
  #finSequence = 0;
  #hasFin = false;
  #largestPayload = 0;
  #quickAcks: number = QUICK_ACKS;
  #acksOwed = 0;
  #acknowledgeAtMs: number = Number.POSITIVE_INFINITY;
  #hasDuplicate = false;
  #duplicateLeft = 0;
  #duplicateRight = 0;
  #recentTimestampAtMs = 0;
  /** TS.Recent (RFC 7323 §4.3). */
  recentTimestamp: number;
  isFinished = false;

  constructor(options: ReceiverOptions) {
    this.#window = new ReceiveWindow(options.budget, options.windowShift);
    this.#windowShift = options.windowShift;
    this.#hasSack = options.hasSack;
    this.#hasTimestamps = options.hasTimestamps;
    this.#segmentBytes = options.segmentBytes;
    this.#count = options.count;
    this.ring = new Ring(options.next, RECEIVE_WINDOW_MAX);
    this.next = options.next;
    this.#dataEnd = options.next;
    this.#acknowledged = options.next;
    this.#edge = advance(options.next, RECEIVE_WINDOW_INITIAL);
    this.recentTimestamp = options.remoteTimestamp;
  }

  get readableBytes(): number {
    return distance(this.ring.start, this.#dataEnd);
  }

  /** True when an acknowledgment must go out now. */
  get isAckOwed(): boolean {
    return this.#acksOwed > 0;
  }

  /** True while acknowledgments carry blocks, for which a data segment has no room. */
  get hasBlocks(): boolean {
    return this.#hasSack && (this.#hasDuplicate || this.#ranges.count > 0);
  }

  /** When the delayed acknowledgment is due, or infinity. */
  get deadlineMs(): number {
    return this.#acknowledgeAtMs;
  }

  /**
   * RFC 7323 §5.3: false for a segment older than the last one in order. Segments without the option pass.
   * DEVIATION: so do late acknowledgments without text, which reordering makes look old and which can do no harm.
   */
  isTimestampFresh(segment: Segment, nowMs: number): boolean {
    if (!this.#hasTimestamps || !segment.options.hasTimestamps) return true;
    if (segment.sequenceLength === 0 && segment.sequence === this.next) return true;
    if (!isBefore(segment.options.timestamp, this.recentTimestamp)) return true;
    return nowMs - this.#recentTimestampAtMs > TIMESTAMP_AGE_MS;
  }

  /** RFC 7323 §4.3: remembers the timestamp of the segment that spans Last.ACK.sent. */
  noteTimestamp(segment: Segment, nowMs: number): void {
    if (!this.#hasTimestamps || !segment.options.hasTimestamps) return;
    if (isAfter(segment.sequence, this.#acknowledged)) return;
    if (isBefore(segment.options.timestamp, this.recentTimestamp)) return;
    this.recentTimestamp = segment.options.timestamp;
    this.#recentTimestampAtMs = nowMs;
  }

  /** True when not a byte more may come. */
  get isWindowClosed(): boolean {
    return this.next === this.#edge;
  }

  /** The four cases of RFC 9293 §3.10.7.4, against the highest edge that was ever advertised. */
  isAcceptable(segment: Segment): boolean {
    const length = segment.sequenceLength;
    const windowLeft = distance(this.next, this.#edge);
    const offset = distance(this.next, segment.sequence);
    if (length === 0) return windowLeft === 0 ? offset === 0 : offset >= 0 && offset < windowLeft;
    if (windowLeft === 0) return false;
    return (offset >= 0 && offset < windowLeft) || (offset < 0 && offset + length > 0);
  }

  /**
   * Takes text and FIN of an acceptable segment and decides on the acknowledgment.
   * Returns true when RCV.NXT moved.
   */
  takeText(memory: PacketMemory, segment: Segment, nowMs: number): boolean {
    const isFin = (segment.flags & FLAG_FIN) !== 0;
    if (segment.payloadLength === 0 && !isFin) return false;
    if (this.isFinished) {
      this.oweAck();
      return false;
    }
    const before = this.next;
    if (segment.payloadLength > 0) this.#storePayload(memory, segment);
    if (isFin) this.#noteFin(advance(segment.sequence, segment.payloadLength));
    if (this.#hasFin && this.next === this.#finSequence) this.#finish();
    if (this.next === before) return false;
    this.#scheduleAck(nowMs);
    return true;
  }

  noteRtt(rttMs: number, nowMs: number): void {
    this.#window.noteRtt(rttMs, nowMs);
  }

  /** Moves readable bytes to `out`; an opened window is told at once when it has at least doubled. */
  read(out: Uint8Array, nowMs: number, rttMs: number): number {
    const length = Math.min(out.length, this.readableBytes);
    if (length === 0) return 0;
    this.ring.load(this.ring.start, length, out, 0);
    this.ring.start = advance(this.ring.start, length);
    this.#window.onDrained(length, nowMs, rttMs);
    const known = distance(this.next, this.#edge);
    if (!this.isFinished && 2 * known <= this.#window.bytes) {
      const free = this.#freeBytes();
      if (free >= 2 * known && free >= this.#sillyWindowBytes()) this.oweAck();
    }
    return length;
  }

  /** An acknowledgment must go out; without SACK each duplicate counts for the peer. */
  oweAck(): void {
    this.#acksOwed = this.#hasSack ? 1 : Math.min(this.#acksOwed + 1, DUPLICATE_ACKS_MAX);
  }

  /** A segment wholly left of the window came again: reports it as a duplicate (RFC 2883 §4). */
  noteDuplicate(left: number, right: number): void {
    if (!this.#hasSack || !isAfter(right, left)) return;
    this.#hasDuplicate = true;
    this.#duplicateLeft = left;
    this.#duplicateRight = right;
  }

  /** Turns a due delayed acknowledgment into an owed one. */
  handleTimeout(nowMs: number): void {
    if (nowMs >= this.#acknowledgeAtMs) this.oweAck();
  }

  /** The window field of the next segment; moves the advertised edge. */
  windowField(): number {
    const free = this.#freeBytes();
    const candidate = advance(this.next, free & ~((1 << this.#windowShift) - 1));
    // RFC 9293 §3.8.6.2.2: no news about less than a segment or half the buffer.
    if (distance(this.#edge, candidate) >= this.#sillyWindowBytes()) this.#edge = candidate;
    return Math.min(distance(this.next, this.#edge) >>> this.#windowShift, 0xffff);
  }

  /** Writes the SACK blocks, a DSACK first, as many as fit beside the timestamps. */
  writeBlocks(out: SegmentOptions): void {
    out.sackCount = 0;
    if (!this.#hasSack) return;
    const blocksMax = this.#hasTimestamps ? SACK_BLOCKS_MAX - 1 : SACK_BLOCKS_MAX;
    if (this.#hasDuplicate) {
      out.sack[0] = this.#duplicateLeft;
      out.sack[1] = this.#duplicateRight;
      out.sackCount = 1;
    }
    if (this.#ranges.count > 0) this.#ranges.report(out, blocksMax);
  }

  /** An acknowledgment of `next` has gone out, alone or with data, with blocks or not. */
  noteAckSent(hasBlocks: boolean): void {
    if (hasBlocks) this.#hasDuplicate = false;
    if (this.#acksOwed > 0) this.#acksOwed--;
    if (this.#quickAcks > 0 && this.next !== this.#acknowledged) this.#quickAcks--;
    this.#acknowledged = this.next;
    this.#acknowledgeAtMs = Number.POSITIVE_INFINITY;
  }

  /** Gives the memory back when nothing waits to be read or completed. */
  trim(): void {
    if (this.readableBytes === 0 && this.#ranges.count === 0) this.ring.clear();
  }

  /** The connection has ended: unread bytes stay readable unless they are discarded, everything else is given back. */
  release(isDiscarding: boolean): void {
    this.#window.release();
    this.#ranges.clear();
    if (!isDiscarding && this.readableBytes > 0) return;
    this.ring.start = this.#dataEnd;
    this.ring.clear();
  }

  #freeBytes(): number {
    return Math.max(0, this.#window.bytes - this.readableBytes);
  }

  #sillyWindowBytes(): number {
    return Math.min(this.#window.bytes >> 1, this.#segmentBytes);
  }

  #storePayload(memory: PacketMemory, segment: Segment): void {
    let left = segment.sequence;
    let right = advance(left, segment.payloadLength);
    if (isBefore(left, this.next)) {
      this.noteDuplicate(left, isBefore(right, this.next) ? right : this.next);
      this.oweAck();
      left = this.next;
    }
    if (isAfter(right, this.#edge)) right = this.#edge;
    if (!isBefore(left, right)) return;
    if (segment.payloadLength > this.#largestPayload) this.#largestPayload = segment.payloadLength;
    this.ring.reserve(distance(this.ring.start, right), this.#usedBytes());
    const from = segment.payloadOffset + distance(segment.sequence, left);
    if (left === this.next) {
      this.ring.store(left, memory.bytes, from, distance(left, right));
      this.#moveNext(right);
    } else {
      this.#storeAhead(memory, from, left, right);
    }
  }

  #storeAhead(memory: PacketMemory, from: number, left: number, right: number): void {
    this.oweAck();
    if (this.#ranges.covers(left, right)) {
      this.noteDuplicate(left, right);
    } else if (this.#ranges.add(left, right)) {
      this.ring.store(left, memory.bytes, from, distance(left, right));
    } else {
      this.#count('tcp-reorder-full');
    }
  }

  #moveNext(to: number): void {
    this.next = to;
    if (this.#ranges.count > 0 && !isAfter(this.#ranges.firstLeft, to)) {
      this.next = this.#ranges.absorb(to);
      this.#acksOwed = 1;
    }
    this.#dataEnd = this.next;
  }

  /** Bytes of the ring that hold something, up to the last range. */
  #usedBytes(): number {
    const end = this.#ranges.count > 0 ? this.#ranges.lastRight : this.#dataEnd;
    return distance(this.ring.start, end);
  }

  #noteFin(sequence: number): void {
    if (isBefore(sequence, this.next) || !isBefore(sequence, this.#edge)) return;
    this.#hasFin = true;
    this.#finSequence = sequence;
    if (sequence !== this.next) this.oweAck();
  }

  #finish(): void {
    this.next = advance(this.next, 1);
    this.isFinished = true;
    this.#ranges.clear();
    this.oweAck();
  }

  /** RFC 9293 §3.8.6.3: at once for a filled gap, the FIN, each second full segment and the first few. */
  #scheduleAck(nowMs: number): void {
    const isSecond = distance(this.#acknowledged, this.next) > this.#largestPayload;
    if (this.isFinished || this.#quickAcks > 0 || isSecond || this.#ranges.count > 0) {
      this.#acksOwed = 1;
    } else if (this.#acknowledgeAtMs === Number.POSITIVE_INFINITY) {
      this.#acknowledgeAtMs = nowMs + DELAYED_ACK_MS;
    }
  }
}
