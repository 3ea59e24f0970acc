import type { NetstackDrop, PacketMemory } from '../ip-header.ts';
import type { BufferBudget } from './buffer-budget.ts';
import type { Flow } from './flow.ts';
import type { Handshake } from './handshake.ts';
import { KeepAlive } from './keep-alive.ts';
import { Receiver } from './receiver.ts';
import { RttEstimator } from './rtt.ts';
import { FLAG_ACK, FLAG_RST, FLAG_SYN, type Segment } from './segment.ts';
import type { SegmentWriter } from './segment-writer.ts';
import { Sender } from './sender.ts';
import { advance, isAfter, isBefore } from './sequence.ts';

/** RFC 5961 §7, per connection: also what ends a ping-pong of two ends that answer each other's answers. */
const CHALLENGE_INTERVAL_MS = 500;
/** Buffers of a connection that was busy are given back after so long without a segment. */
const TRIM_AFTER_MS = 10_000;
const TRIM_ABOVE_BYTES = 0x8000;
/** An echoed timestamp that says more than this is not an echo. */
const RTT_MS_MAX = 600_000;

/** What {@link Stream.build} returns when there is nothing to send, or no slot to build it in. */
export const NOTHING_TO_SEND = -1;
export const NO_SLOT = -2;

/** What a connection needs from the stack around it to read and build segments. */
export interface StreamHost {
  readonly writer: SegmentWriter;
  /** Scratch for the segment being built. */
  readonly outgoing: Segment;
  /** Where received segments lie. */
  readonly memory: PacketMemory;
  readonly budget: BufferBudget;
  count(drop: NetstackDrop): void;
}

/** What became of a received segment. */
export type SegmentFate = 'taken' | 'dropped' | 'reset';

/**
 * Both directions of a connection whose handshake is done: checks segments in the fixed order of RFC 9293 §3.10.7.4,
 * hands them to sender and receiver, and builds what they want to say.
 */
export class Stream {
  readonly #host: StreamHost;
  readonly #timestampOffset: number;
  readonly #hasTimestamps: boolean;
  readonly #rtt: RttEstimator;
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly keepAlive: KeepAlive = new KeepAlive();
  #challengedAtMs: number = Number.NEGATIVE_INFINITY;
  #heardAtMs: number;
  #trimAtMs: number = Number.POSITIVE_INFINITY;

  /** @param first The segment that ended the handshake, for the window it carries. */
  constructor(host: StreamHost, handshake: Handshake, first: Segment, nowMs: number) {
    this.#host = host;
    this.#heardAtMs = nowMs;
    this.#timestampOffset = handshake.timestampOffset;
    this.#hasTimestamps = handshake.hasTimestamps;
    this.#rtt = new RttEstimator();
    this.sender = new Sender({
      first: advance(handshake.initialSequence, 1),
      segmentBytes: handshake.segmentBytes,
      windowShift: handshake.sendShift,
      hasSack: handshake.hasSack,
      rtt: this.#rtt,
    });
    this.receiver = new Receiver({
      next: advance(handshake.remoteSequence, 1),
      windowShift: handshake.receiveShift,
      hasSack: handshake.hasSack,
      hasTimestamps: handshake.hasTimestamps,
      remoteTimestamp: handshake.remoteTimestamp,
      segmentBytes: handshake.segmentBytes,
      budget: host.budget,
      count: (drop) => host.count(drop),
    });
    const isSyn = (first.flags & FLAG_SYN) !== 0;
    this.sender.initializeWindow(first, isSyn ? first.window : first.window << handshake.sendShift);
    if (handshake.isRttValid) this.#rtt.sample(handshake.rttMs(nowMs), nowMs);
    else {
      this.#rtt.restartAfterSynLoss();
      this.sender.recovery.cubic.restrictInitialWindow();
    }
  }

  get deadlineMs(): number {
    return Math.min(this.sender.deadlineMs, this.receiver.deadlineMs, this.keepAlive.deadlineMs, this.#trimAtMs);
  }

  get smoothedRttMs(): number {
    return this.#rtt.smoothedMs;
  }

  /** Processes a segment up to its text; FIN states are the caller's, who sees them in sender and receiver. */
  handleSegment(segment: Segment, nowMs: number): SegmentFate {
    const { receiver } = this;
    const isReset = (segment.flags & FLAG_RST) !== 0;
    this.#heardAtMs = nowMs;
    this.keepAlive.noteHeard(nowMs);
    if (!isReset && !receiver.isTimestampFresh(segment, nowMs))
      return this.#refuse('tcp-old-timestamp', segment, nowMs);
    if (!receiver.isAcceptable(segment))
      return isReset ? this.#drop('tcp-out-of-window') : this.#refuseText(segment, nowMs);
    if (isReset) return segment.sequence === receiver.next ? 'reset' : this.#challenge(nowMs);
    if ((segment.flags & FLAG_SYN) !== 0) return this.#challenge(nowMs);
    if ((segment.flags & FLAG_ACK) === 0) return this.#drop('tcp-bad-ack');
    if (!this.#takeAck(segment, nowMs)) return this.#refuse('tcp-bad-ack', segment, nowMs);
    receiver.noteTimestamp(segment, nowMs);
    receiver.takeText(this.#host.memory, segment, nowMs);
    return 'taken';
  }

  /** Builds the next segment of the connection: a slot, {@link NOTHING_TO_SEND} or {@link NO_SLOT}. */
  build(flow: Flow, nowMs: number): number {
    const { sender, receiver } = this;
    const out = this.#host.outgoing;
    out.flags = FLAG_ACK;
    // Blocks leave no room for a full payload: they travel alone.
    if (!(receiver.isAckOwed && receiver.hasBlocks) && sender.plan(out, nowMs)) {
      const slot = this.#write(out, flow, false, nowMs);
      if (slot >= 0) sender.commit(nowMs);
      return slot;
    }
    if (receiver.isAckOwed || this.keepAlive.isProbeDue) {
      const isProbe = this.keepAlive.isProbeDue && !receiver.isAckOwed;
      out.sequence = isProbe ? advance(sender.nxt, -1) : sender.nxt;
      out.payloadLength = 0;
      const slot = this.#write(out, flow, true, nowMs);
      if (slot >= 0) this.keepAlive.isProbeDue = false;
      return slot;
    }
    sender.settle(nowMs);
    const hasLargeBuffers = sender.ring.capacity + receiver.ring.capacity > TRIM_ABOVE_BYTES;
    if (hasLargeBuffers && this.#trimAtMs === Number.POSITIVE_INFINITY) this.#trimAtMs = nowMs + TRIM_AFTER_MS;
    return NOTHING_TO_SEND;
  }

  /** False when the peer is to be given up. */
  handleTimeout(nowMs: number): boolean {
    if (nowMs >= this.#trimAtMs) this.#trim(nowMs);
    this.receiver.handleTimeout(nowMs);
    return this.sender.handleTimeout(nowMs) && this.keepAlive.handleTimeout(nowMs);
  }

  /** Gives everything back that the connection does not need any more. */
  release(isDiscarding: boolean): void {
    this.sender.release();
    this.receiver.release(isDiscarding);
  }

  /** A busy connection looks again later, and so does one whose bytes wait for their reader. */
  #trim(nowMs: number): void {
    const isIdle = nowMs - this.#heardAtMs >= TRIM_AFTER_MS;
    this.#trimAtMs = isIdle ? Number.POSITIVE_INFINITY : this.#heardAtMs + TRIM_AFTER_MS;
    if (!isIdle) return;
    this.sender.trim();
    this.receiver.trim();
  }

  #write(out: Segment, flow: Flow, isAlone: boolean, nowMs: number): number {
    const { receiver } = this;
    const { options } = out;
    out.acknowledgment = receiver.next;
    out.window = receiver.windowField();
    options.reset();
    if (this.#hasTimestamps) {
      options.hasTimestamps = true;
      options.timestamp = this.#timestamp(nowMs);
      options.timestampEcho = receiver.recentTimestamp;
    }
    if (isAlone) receiver.writeBlocks(options);
    const slot = this.#host.writer.write(flow, out, this.sender.ring);
    if (slot < 0) return NO_SLOT;
    receiver.noteAckSent(options.sackCount > 0);
    return slot;
  }

  #timestamp(nowMs: number): number {
    return (Math.floor(nowMs) + this.#timestampOffset) | 0;
  }

  /** False when the acknowledgment is for data never sent, or older than any window explains (RFC 5961 §5.2). */
  #takeAck(segment: Segment, nowMs: number): boolean {
    const { sender } = this;
    const { acknowledgment, options } = segment;
    if (isAfter(acknowledgment, sender.nxt)) return false;
    if (isBefore(acknowledgment, sender.una))
      return !isBefore(acknowledgment, (sender.una - sender.windowMaxBytes) | 0);
    let rttMs = -1;
    if (this.#hasTimestamps && options.hasTimestamps) {
      rttMs = (this.#timestamp(nowMs) - options.timestampEcho) | 0;
      if (rttMs < 0 || rttMs > RTT_MS_MAX) rttMs = -1;
    }
    if (rttMs >= 0) this.receiver.noteRtt(rttMs, nowMs);
    sender.handleAck(segment, rttMs, nowMs);
    return true;
  }

  /** Text outside the window: duplicates are reported, and a closed window still takes the acknowledgment. */
  #refuseText(segment: Segment, nowMs: number): SegmentFate {
    const { receiver } = this;
    const end = advance(segment.sequence, segment.payloadLength);
    if (!isAfter(end, receiver.next)) receiver.noteDuplicate(segment.sequence, end);
    if (receiver.isWindowClosed && segment.sequence === receiver.next && (segment.flags & FLAG_ACK) !== 0) {
      this.#takeAck(segment, nowMs);
    }
    return this.#refuse('tcp-out-of-window', segment, nowMs);
  }

  /** Answers with an acknowledgment. One with text cannot be part of a ping-pong, and is always answered. */
  #refuse(drop: NetstackDrop, segment: Segment, nowMs: number): SegmentFate {
    this.#host.count(drop);
    if (segment.payloadLength === 0) return this.#challenge(nowMs);
    this.receiver.oweAck();
    return 'dropped';
  }

  #challenge(nowMs: number): SegmentFate {
    if (nowMs - this.#challengedAtMs < CHALLENGE_INTERVAL_MS) return this.#drop('tcp-challenge-limited');
    this.#challengedAtMs = nowMs;
    this.receiver.oweAck();
    return 'dropped';
  }

  #drop(drop: NetstackDrop): SegmentFate {
    this.#host.count(drop);
    return 'dropped';
  }
}
