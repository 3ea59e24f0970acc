import { Acknowledgment, LossRecovery } from './loss-recovery.ts';
import { Ring } from './ring.ts';
import type { RttEstimator } from './rtt.ts';
import { FLAG_FIN, FLAG_PSH, type Segment } from './segment.ts';
import { advance, distance, isAfter, isBefore } from './sequence.ts';

export const SEND_BUFFER_MAX = 0x400000;
/** Room the application gets before the congestion window says that more is of use. */
const SEND_BUFFER_MIN = 0x40000;
/** Unacknowledged data or unanswered probes for this long end the connection (RFC 9293 §3.8.3, RFC 5482). */
const USER_TIMEOUT_MS = 300_000;
/** RFC 8985 §7.2: the peer may hold back its acknowledgment of a single segment for so long. */
const ACK_DELAY_MAX_MS = 200;
const TAIL_PROBE_MS_MIN = 10;
/** RFC 9293 §3.8.6.1 and §3.8.6.2.1: window probes double up to a minute; a small window is used after a second. */
const PERSIST_MS_MAX = 60_000;
const OVERRIDE_MS_MAX = 1000;

/** What was agreed in the handshake for this direction. */
export interface SenderOptions {
  /** The sequence of the first data byte. */
  readonly first: number;
  /** Payload bytes of a full segment, constant options already taken off. */
  readonly segmentBytes: number;
  /** Shift of the peer's window field. */
  readonly windowShift: number;
  readonly hasSack: boolean;
  readonly rtt: RttEstimator;
}

/** What {@link Sender.plan} has put into the segment. */
type Plan = 'none' | 'new' | 'retransmission' | 'window-probe';

/**
 * The sending half of a connection: what the application has queued, and which segment goes next.
 *
 * Invariants: the ring holds [una, end); `nxt` never moves back (lost segments are resent from their records);
 * `plan` changes nothing that counts, `commit` books the segment that really got a slot.
 */
export class Sender {
  readonly #hasSack: boolean;
  readonly #windowShift: number;
  readonly #ack: Acknowledgment = new Acknowledgment();
  readonly #rtt: RttEstimator;
  readonly recovery: LossRecovery;
  readonly ring: Ring;
  #plan: Plan = 'none';
  #planRecord = 0;
  #planEnd = 0;
  #segmentBytes: number;
  /** Sequence behind the last queued byte; the FIN has it. */
  #end: number;
  #fin: 'none' | 'queued' | 'sent' | 'acknowledged' = 'none';
  #windowBytes = 0;
  #windowMaxBytes = 0;
  #windowSequence = 0;
  #windowAcknowledgment = 0;
  /** End of the last small segment sent (Minshall's variant of Nagle's rule). */
  #smallEnd: number;
  #roundEnd: number;
  #roundPeakBytes = 0;
  #isWindowUsed = false;
  #isTailProbeDue = false;
  /** The one probe a tail gets, and what it was, until SND.UNA reaches `#tailProbeEnd`. */
  #tailProbe: 'none' | 'new' | 'retransmission' = 'none';
  #tailProbeSentAtMs = 0;
  #tailProbeEnd = 0;
  #isOverrideDue = false;
  #isWindowProbeDue = false;
  #persistMs = 0;
  #persistAtMs: number = Number.POSITIVE_INFINITY;
  #rtoAtMs: number = Number.POSITIVE_INFINITY;
  #tailProbeAtMs: number = Number.POSITIVE_INFINITY;
  #stalledSinceMs: number = Number.POSITIVE_INFINITY;
  #lastSentAtMs = 0;
  isNoDelay = false;

  constructor(options: SenderOptions) {
    this.#hasSack = options.hasSack;
    this.#windowShift = options.windowShift;
    this.#segmentBytes = options.segmentBytes;
    this.#rtt = options.rtt;
    this.recovery = new LossRecovery(options);
    this.ring = new Ring(options.first, SEND_BUFFER_MAX);
    this.#end = options.first;
    this.#smallEnd = options.first;
    this.#roundEnd = options.first;
  }

  get segmentBytes(): number {
    return this.#segmentBytes;
  }

  /** SND.UNA. */
  get una(): number {
    return this.recovery.inFlight.start;
  }

  /** SND.NXT. */
  get nxt(): number {
    return this.recovery.nxt;
  }

  /** Bytes queued or in flight. */
  get queuedBytes(): number {
    return distance(this.ring.start, this.#end);
  }

  /** Room for more; 0 once the FIN is queued. */
  get writableBytes(): number {
    if (this.#fin !== 'none') return 0;
    const useful = Math.min(SEND_BUFFER_MAX, Math.max(SEND_BUFFER_MIN, 2 * this.recovery.cubic.windowBytes));
    return Math.max(0, Math.floor(useful) - this.queuedBytes);
  }

  /** The largest window the peer ever offered: what RFC 5961 §5.2 allows an old acknowledgment to lag. */
  get windowMaxBytes(): number {
    return this.#windowMaxBytes;
  }

  get isFinAcknowledged(): boolean {
    return this.#fin === 'acknowledged';
  }

  get deadlineMs(): number {
    return Math.min(this.#rtoAtMs, this.#tailProbeAtMs, this.#persistAtMs, this.recovery.reorderAtMs);
  }

  /** Copies what fits behind the queue; returns how much. */
  write(data: Uint8Array): number {
    const length = Math.min(data.length, this.writableBytes);
    const queued = this.queuedBytes;
    if (length === 0 || !this.ring.reserve(queued + length, queued)) return 0;
    this.ring.store(this.#end, data, 0, length);
    this.#end = advance(this.#end, length);
    return length;
  }

  /** Puts the FIN behind the queued data; further writes take nothing. */
  finish(): void {
    if (this.#fin === 'none') this.#fin = 'queued';
  }

  /** Takes the window of the handshake's last segment. */
  initializeWindow(segment: Segment, windowBytes: number): void {
    this.#windowBytes = windowBytes;
    this.#windowMaxBytes = windowBytes;
    this.#windowSequence = segment.sequence;
    this.#windowAcknowledgment = segment.acknowledgment;
  }

  /** The path takes smaller segments (path MTU discovery): what is in flight is sent again in the new size. */
  setSegmentBytes(segmentBytes: number): void {
    this.#segmentBytes = segmentBytes;
    this.recovery.setSegmentBytes(segmentBytes);
    this.recovery.inFlight.split(segmentBytes);
  }

  /** Takes window, acknowledgment and SACK blocks; the acknowledgment lies between SND.UNA and SND.NXT. */
  handleAck(segment: Segment, timestampRttMs: number, nowMs: number): void {
    const ack = this.#ack;
    const progress = distance(this.una, segment.acknowledgment);
    const isSameWindow = !this.#takeWindow(segment);
    ack.sequence = segment.acknowledgment;
    ack.options = segment.options;
    ack.isDuplicate = progress === 0 && isSameWindow && segment.sequenceLength === 0 && this.nxt !== this.una;
    ack.timestampRttMs = timestampRttMs;
    ack.nowMs = nowMs;
    this.recovery.acknowledge(ack, this.#isWindowUsed);
    // With nothing in flight it answered a probe: a closed window may be probed for ever (RFC 9293 §3.8.6.1).
    this.#stalledSinceMs = progress > 0 || this.nxt === this.una ? Number.POSITIVE_INFINITY : this.#stalledSinceMs;
    if (progress > 0) this.#onProgress(timestampRttMs, nowMs);
  }

  /**
   * Chooses the next segment: fills sequence, payload length, FIN and PSH of `out`, the rest is left alone.
   * False when nothing may be sent.
   */
  plan(out: Segment, nowMs: number): boolean {
    this.#plan = 'none';
    return this.#planLost(out) || this.#planTailProbe(out) || this.#planWindowProbe(out) || this.#planNew(out, nowMs);
  }

  /** The planned segment has been built. */
  commit(nowMs: number): void {
    const plan = this.#plan;
    this.#plan = 'none';
    if (plan === 'none' || plan === 'window-probe') {
      this.#isWindowProbeDue = false;
      return;
    }
    if (plan === 'retransmission') {
      this.recovery.noteRetransmission(this.#planRecord, nowMs);
    } else {
      this.#commitNew(nowMs);
    }
    if (this.#isTailProbeDue) {
      this.#isTailProbeDue = false;
      this.#tailProbe = plan;
      this.#tailProbeEnd = this.nxt;
      this.#tailProbeSentAtMs = Math.floor(nowMs);
    }
    this.#lastSentAtMs = nowMs;
    if (this.#rtoAtMs === Number.POSITIVE_INFINITY) this.#rtoAtMs = nowMs + this.#rtt.rtoMs;
    if (plan === 'new') this.#armTailProbe(nowMs);
  }

  /** Called when nothing more may be sent: sees to it that a closed window is probed. */
  settle(nowMs: number): void {
    const isWaiting = this.nxt !== this.#end || this.#fin === 'queued';
    if (!isWaiting || this.recovery.inFlight.count > 0) {
      this.#persistAtMs = Number.POSITIVE_INFINITY;
      return;
    }
    if (this.#persistAtMs < Number.POSITIVE_INFINITY) return;
    const hasWindow = this.#windowLeft() > 0;
    this.#persistMs = this.#persistMs === 0 ? this.#rtt.rtoMs : Math.min(PERSIST_MS_MAX, 2 * this.#persistMs);
    this.#persistAtMs = nowMs + (hasWindow ? Math.min(OVERRIDE_MS_MAX, this.#rtt.rtoMs) : this.#persistMs);
  }

  /** False when the peer has not answered for {@link USER_TIMEOUT_MS}: the connection is dead. */
  handleTimeout(nowMs: number): boolean {
    this.recovery.handleTimeout(nowMs);
    if (nowMs >= this.#tailProbeAtMs) {
      this.#tailProbeAtMs = Number.POSITIVE_INFINITY;
      this.#isTailProbeDue = this.recovery.isQuiet && this.recovery.inFlight.count > 0;
      this.#rtoAtMs = nowMs + this.#rtt.rtoMs;
    }
    if (nowMs >= this.#persistAtMs) {
      this.#persistAtMs = Number.POSITIVE_INFINITY;
      if (this.#windowLeft() > 0) this.#isOverrideDue = true;
      else this.#isWindowProbeDue = true;
      if (!this.#noteStall(nowMs)) return false;
    }
    if (nowMs >= this.#rtoAtMs) return this.#onRetransmissionTimeout(nowMs);
    return true;
  }

  /** Gives the memory back when nothing is queued or in flight. */
  trim(): void {
    if (this.queuedBytes === 0 && this.recovery.inFlight.count === 0) this.release();
  }

  /** Gives the memory back; queued data is lost. */
  release(): void {
    this.ring.clear();
    this.recovery.inFlight.clear();
  }

  #onRetransmissionTimeout(nowMs: number): boolean {
    this.#isTailProbeDue = false;
    this.#tailProbe = 'none';
    this.#tailProbeAtMs = Number.POSITIVE_INFINITY;
    if (this.recovery.inFlight.count === 0) {
      this.#rtoAtMs = Number.POSITIVE_INFINITY;
      return true;
    }
    this.recovery.onRetransmissionTimeout();
    this.#rtt.backOff();
    this.#rtoAtMs = nowMs + this.#rtt.rtoMs;
    return this.#noteStall(nowMs);
  }

  #noteStall(nowMs: number): boolean {
    if (this.#stalledSinceMs === Number.POSITIVE_INFINITY) this.#stalledSinceMs = nowMs;
    return nowMs - this.#stalledSinceMs < USER_TIMEOUT_MS;
  }

  /** RFC 9293 §3.10.7.4: only a segment that is not older may change the window. True when it did change. */
  #takeWindow(segment: Segment): boolean {
    const isNewer =
      isBefore(this.#windowSequence, segment.sequence) ||
      (this.#windowSequence === segment.sequence && !isAfter(this.#windowAcknowledgment, segment.acknowledgment));
    if (!isNewer) return false;
    this.#windowSequence = segment.sequence;
    this.#windowAcknowledgment = segment.acknowledgment;
    const windowBytes = segment.window << this.#windowShift;
    const hasChanged = windowBytes !== this.#windowBytes;
    this.#windowBytes = windowBytes;
    if (windowBytes > this.#windowMaxBytes) this.#windowMaxBytes = windowBytes;
    if (windowBytes > 0 && hasChanged) this.#persistAtMs = Number.POSITIVE_INFINITY;
    return hasChanged;
  }

  #onProgress(timestampRttMs: number, nowMs: number): void {
    const { una } = this;
    const isAllAcknowledged = una === this.nxt;
    if (this.#fin === 'sent' && isAllAcknowledged) this.#fin = 'acknowledged';
    this.ring.start = isAfter(una, this.#end) ? this.#end : una;
    if (isBefore(this.#smallEnd, una)) this.#smallEnd = una;
    this.#checkTailProbe(timestampRttMs, nowMs);
    this.#rtoAtMs = isAllAcknowledged ? Number.POSITIVE_INFINITY : nowMs + this.#rtt.rtoMs;
    if (isAllAcknowledged) {
      this.#tailProbeAtMs = Number.POSITIVE_INFINITY;
      this.#isTailProbeDue = false;
    } else {
      this.#armTailProbe(nowMs);
    }
  }

  /** The echoed timestamp tells whether the probe or the original was acknowledged. */
  #checkTailProbe(timestampRttMs: number, nowMs: number): void {
    if (this.#tailProbe === 'none' || isBefore(this.una, this.#tailProbeEnd)) return;
    const isResent = this.#tailProbe === 'retransmission';
    this.#tailProbe = 'none';
    if (isResent && timestampRttMs >= 0 && Math.floor(nowMs) - timestampRttMs >= this.#tailProbeSentAtMs)
      this.recovery.onRepairedTail();
  }

  /** RFC 8985 §7.2: a probe two round trips after the last of a flight, if that is before the RTO. */
  #armTailProbe(nowMs: number): void {
    const { inFlight } = this.recovery;
    this.#tailProbeAtMs = Number.POSITIVE_INFINITY;
    if (!this.#hasSack || !this.#rtt.hasSample || !this.recovery.isQuiet || this.#tailProbe !== 'none') return;
    const delay = Math.max(TAIL_PROBE_MS_MIN, 2 * this.#rtt.smoothedMs) + (inFlight.count === 1 ? ACK_DELAY_MAX_MS : 0);
    if (nowMs + delay < this.#rtoAtMs) this.#tailProbeAtMs = nowMs + delay;
  }

  #planLost(out: Segment): boolean {
    const record = this.recovery.inFlight.firstLost();
    if (record < 0) return false;
    // At least one always goes: right after an RTO the window may be smaller than what is deemed in the network.
    if (this.recovery.budgetBytes <= 0 && this.recovery.pipeBytes > 0) return false;
    this.#planRetransmission(out, record);
    return true;
  }

  #planTailProbe(out: Segment): boolean {
    if (!this.#isTailProbeDue) return false;
    const { inFlight } = this.recovery;
    if (inFlight.count === 0) {
      this.#isTailProbeDue = false;
      return false;
    }
    const unsent = Math.min(distance(this.nxt, this.#end), this.#segmentBytes);
    if (unsent > 0 && unsent <= this.#windowLeft() && !inFlight.isFull) this.#planRange(out, unsent);
    else this.#planRetransmission(out, inFlight.count - 1);
    return true;
  }

  /** A probe like Linux's: no data, one byte before what the peer expects, so that it must answer. */
  #planWindowProbe(out: Segment): boolean {
    if (!this.#isWindowProbeDue) return false;
    this.#plan = 'window-probe';
    out.sequence = advance(this.una, -1);
    out.payloadLength = 0;
    return true;
  }

  #planRetransmission(out: Segment, record: number): void {
    const { inFlight } = this.recovery;
    const start = inFlight.startOf(record);
    const end = inFlight.endOf(record);
    this.#plan = 'retransmission';
    this.#planRecord = record;
    out.sequence = start;
    const isFin = isAfter(end, this.#end);
    out.payloadLength = distance(start, end) - (isFin ? 1 : 0);
    if (isFin) out.flags |= FLAG_FIN;
    if (out.payloadLength > 0 && !isBefore(end, this.#end)) out.flags |= FLAG_PSH;
  }

  #planNew(out: Segment, nowMs: number): boolean {
    const unsent = distance(this.nxt, this.#end);
    if ((unsent <= 0 && this.#fin !== 'queued') || this.recovery.inFlight.isFull) return false;
    if (this.#lastSentAtMs < nowMs - this.#rtt.rtoMs && this.nxt === this.una && this.#lastSentAtMs > 0) {
      this.recovery.cubic.onIdle(nowMs - this.#lastSentAtMs);
      this.#lastSentAtMs = nowMs;
    }
    const windowLeft = this.#windowLeft();
    const budget = Math.min(windowLeft, this.recovery.budgetBytes);
    if (unsent >= this.#segmentBytes && budget >= this.#segmentBytes) {
      this.#planRange(out, this.#segmentBytes);
      return true;
    }
    const length = Math.min(unsent, Math.floor(budget));
    if (unsent > 0 ? length <= 0 || !this.#maySendSmall(length, unsent, windowLeft) : windowLeft <= 0) return false;
    this.#planRange(out, Math.max(0, length));
    return true;
  }

  /** Sender side silly window avoidance (RFC 9293 §3.8.6.2.1) and Nagle's rule. */
  #maySendSmall(length: number, unsent: number, windowLeft: number): boolean {
    if (this.#isOverrideDue) return true;
    if (length < unsent) return length === windowLeft && 2 * length >= this.#windowMaxBytes;
    return this.isNoDelay || this.#fin === 'queued' || !isAfter(this.#smallEnd, this.una);
  }

  #planRange(out: Segment, length: number): void {
    this.#plan = 'new';
    out.sequence = this.nxt;
    out.payloadLength = length;
    this.#planEnd = advance(this.nxt, length);
    if (this.#planEnd !== this.#end) return;
    if (length > 0) out.flags |= FLAG_PSH;
    if (this.#fin !== 'queued' || this.#windowLeft() <= length) return;
    out.flags |= FLAG_FIN;
    this.#planEnd = advance(this.#planEnd, 1);
  }

  #commitNew(nowMs: number): void {
    const { recovery } = this;
    const length = distance(this.nxt, this.#planEnd);
    recovery.inFlight.push(this.#planEnd, nowMs);
    recovery.noteSent(length);
    recovery.nxt = this.#planEnd;
    if (isAfter(this.#planEnd, this.#end)) this.#fin = 'sent';
    if (length < this.#segmentBytes) this.#smallEnd = this.#planEnd;
    this.#isOverrideDue = false;
    this.#persistAtMs = Number.POSITIVE_INFINITY;
    this.#persistMs = 0;
    const flight = distance(this.una, this.nxt);
    // The window counts as used when the peak flight of a round trip came within a segment of it (RFC 9293 §3.8.2).
    if (!isBefore(this.una, this.#roundEnd) || flight > this.#roundPeakBytes) {
      this.#roundEnd = this.nxt;
      this.#roundPeakBytes = flight;
      const window = recovery.cubic.windowBytes;
      this.#isWindowUsed = recovery.cubic.isSlowStart ? window < 2 * flight : flight + this.#segmentBytes > window;
    }
  }

  /** Bytes behind SND.NXT that the peer's window takes; negative when it was shrunk. */
  #windowLeft(): number {
    return this.#windowBytes - distance(this.una, this.nxt);
  }
}
