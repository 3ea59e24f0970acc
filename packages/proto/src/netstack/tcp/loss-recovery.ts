import { Cubic } from './cubic.ts';
import { Delivery, InFlight } from './in-flight.ts';
import type { SegmentOptions } from './options.ts';
import { Rack } from './rack.ts';
import { ProportionalReduction } from './recovery.ts';
import { ReductionUndo } from './reduction-undo.ts';
import type { RttEstimator } from './rtt.ts';
import { distance, isAfter, isBefore } from './sequence.ts';

/** RFC 5681 §3.2, and RFC 8985 §6.2 step 4 in bytes. */
const DUPLICATE_ACKS = 3;

/** One acknowledgment, as {@link LossRecovery.acknowledge} needs it. Reused. */
export class Acknowledgment {
  sequence = 0;
  options: SegmentOptions | undefined;
  /** Changes nothing but may tell of a segment that arrived out of order (RFC 5681 §2). */
  isDuplicate = false;
  /** Round trip by the echoed timestamp, -1 without one. */
  timestampRttMs = -1;
  nowMs = 0;
}

/**
 * Which segments are in flight, lost or delivered, and how many more may be.
 *
 *   open ── a segment is lost ──> recovery ── all that was out is acknowledged ──> open
 *    └───── RTO ──> loss <── RTO ────┘            (loss likewise back to open)
 *
 * Invariants: `recoveryPoint` is SND.NXT at the time the phase began; the window shrinks at most once per phase.
 */
export class LossRecovery {
  readonly #hasSack: boolean;
  readonly #rtt: RttEstimator;
  readonly #delivery: Delivery = new Delivery();
  readonly #rack: Rack = new Rack();
  readonly #reduction: ProportionalReduction = new ProportionalReduction();
  readonly #undo: ReductionUndo = new ReductionUndo();
  readonly inFlight: InFlight;
  readonly cubic: Cubic;
  #segmentBytes: number;
  #recoveryPoint = 0;
  #duplicateAcks = 0;
  /** Without SACK: bytes that duplicates say have left the network. */
  #departedBytes = 0;
  /** SND.NXT. */
  nxt: number;
  phase: 'open' | 'recovery' | 'loss' = 'open';
  /** When segments still within the reordering window are to be looked at again. */
  reorderAtMs: number = Number.POSITIVE_INFINITY;

  constructor(options: { first: number; segmentBytes: number; hasSack: boolean; rtt: RttEstimator }) {
    this.#hasSack = options.hasSack;
    this.#rtt = options.rtt;
    this.#segmentBytes = options.segmentBytes;
    this.inFlight = new InFlight(options.first);
    this.cubic = new Cubic(options.segmentBytes);
    this.nxt = options.first;
  }

  setSegmentBytes(segmentBytes: number): void {
    this.#segmentBytes = segmentBytes;
    this.cubic.setSegmentBytes(segmentBytes);
  }

  /** Bytes believed to be in the network (RFC 6675 §4). */
  get pipeBytes(): number {
    const { inFlight } = this;
    const out = distance(inFlight.start, this.nxt) - inFlight.sackedBytes - inFlight.lostBytes;
    return Math.max(0, out - this.#departedBytes);
  }

  /** Bytes the congestion window lets out now; not positive when none. */
  get budgetBytes(): number {
    return this.phase === 'recovery' ? this.#reduction.budgetBytes : this.cubic.windowBytes - this.pipeBytes;
  }

  /** True when everything in flight looks delivered in order: the state in which a tail probe makes sense. */
  get isQuiet(): boolean {
    return this.phase === 'open' && this.inFlight.sackedBytes === 0;
  }

  /** Takes an acknowledgment between SND.UNA and SND.NXT. `isWindowUsed`: the window was what limited us. */
  acknowledge(ack: Acknowledgment, isWindowUsed: boolean): void {
    const { inFlight } = this;
    const delivery = this.#delivery;
    const progress = distance(inFlight.start, ack.sequence);
    delivery.begin(inFlight.highestSacked);
    if (progress > 0) inFlight.acknowledge(ack.sequence, delivery);
    if (this.#hasSack && ack.options !== undefined && ack.options.sackCount > 0) this.#takeBlocks(ack.options);
    if (progress > 0) this.#sample(ack);
    if (progress > 0 && this.#undo.noteProgress(ack.timestampRttMs, ack.nowMs)) this.#undoReduction();
    this.#rack.update(delivery, ack.nowMs, this.#rtt.minMs);
    if (this.#hasSack) this.#detect(ack.nowMs);
    else this.#countDuplicates(ack.isDuplicate, progress);
    if (this.phase === 'recovery') this.#reduce(delivery.bytes);
    else if (progress > 0 && (isWindowUsed || this.phase === 'loss')) {
      this.cubic.onAcknowledged(progress, ack.nowMs, this.#rtt.smoothedMs);
    }
    if (this.phase !== 'open' && !isBefore(ack.sequence, this.#recoveryPoint)) this.#endRecovery();
  }

  /** A segment of `bytes` went out for the first time. */
  noteSent(bytes: number): void {
    if (this.phase === 'recovery') this.#reduction.onSent(bytes);
  }

  /** The segment of record `index` went out again. */
  noteRetransmission(index: number, nowMs: number): void {
    this.noteSent(distance(this.inFlight.startOf(index), this.inFlight.endOf(index)));
    this.inFlight.markRetransmitted(index, nowMs);
    this.#undo.noteRetransmission(nowMs);
  }

  /** Looks for losses whose reordering window has passed. */
  handleTimeout(nowMs: number): void {
    if (nowMs < this.reorderAtMs) return;
    this.#detect(nowMs);
    if (this.phase === 'recovery') this.#reduce(0);
  }

  /** The retransmission timer expired: everything outstanding is taken for lost (RFC 8985 §6.3). */
  onRetransmissionTimeout(): void {
    const { inFlight } = this;
    if (inFlight.count > 0 && inFlight.isSacked(0)) inFlight.forgetSacks();
    for (let i = 0; i < inFlight.count; i++) if (inFlight.isOutstanding(i)) inFlight.markLost(i);
    if (this.phase === 'open') this.#undo.begin(this.cubic);
    this.cubic.onTimeout(this.phase === 'open');
    this.phase = 'loss';
    this.#recoveryPoint = this.nxt;
    this.#departedBytes = 0;
    this.#duplicateAcks = 0;
    this.reorderAtMs = Number.POSITIVE_INFINITY;
  }

  /** A tail probe repaired a loss that nothing else showed (RFC 8985 §7.4): the window pays for it. */
  onRepairedTail(): void {
    if (this.phase === 'open') this.cubic.windowBytes = this.cubic.onLoss();
  }

  /** A block left of SND.UNA, or inside the second one, reports a duplicate (RFC 2883 §4). */
  #takeBlocks(options: SegmentOptions): void {
    const { inFlight } = this;
    const { sack } = options;
    for (let i = 0; i < options.sackCount; i++) {
      const left = sack[2 * i] as number;
      const right = sack[2 * i + 1] as number;
      if (i === 0 && this.#isDuplicateReport(options)) {
        this.#rack.noteDuplicate();
        if (this.#undo.noteDuplicate()) this.#undoReduction();
      } else if (isBefore(left, right) && !isBefore(left, inFlight.start) && !isAfter(right, this.nxt)) {
        inFlight.markSacked(left, right, this.#delivery);
      }
    }
  }

  #isDuplicateReport(options: SegmentOptions): boolean {
    const { sack } = options;
    const left = sack[0] as number;
    const right = sack[1] as number;
    if (!isAfter(right, this.inFlight.start)) return true;
    return options.sackCount > 1 && !isBefore(left, sack[2] as number) && !isAfter(right, sack[3] as number);
  }

  #sample(ack: Acknowledgment): void {
    const { oldestSentAtMs, newestSentAtMs, isNewestRetransmitted } = this.#delivery;
    if (newestSentAtMs >= 0 && !isNewestRetransmitted) this.#rtt.noteMin(ack.nowMs - newestSentAtMs, ack.nowMs);
    if (oldestSentAtMs >= 0) this.#rtt.sample(ack.nowMs - oldestSentAtMs, ack.nowMs);
    else if (ack.timestampRttMs >= 0) this.#rtt.sample(ack.timestampRttMs, ack.nowMs);
  }

  #detect(nowMs: number): void {
    const { inFlight } = this;
    this.reorderAtMs = Number.POSITIVE_INFINITY;
    if (inFlight.sackedBytes === 0 && this.phase === 'open') return;
    const isEager = this.phase !== 'open' || inFlight.sackedBytes >= DUPLICATE_ACKS * this.#segmentBytes;
    this.reorderAtMs = this.#rack.detect(inFlight, this.#rack.reorderWindowMs(isEager, this.#rtt), nowMs);
    if (inFlight.lostBytes > 0 && this.phase === 'open') this.#beginRecovery();
  }

  /** NewReno (RFC 6582) for a peer that cannot say what arrived. */
  #countDuplicates(isDuplicate: boolean, progress: number): void {
    const { inFlight } = this;
    if (progress > 0) {
      this.#duplicateAcks = 0;
      this.#departedBytes = 0;
      const isPartial = this.phase === 'recovery' && isBefore(inFlight.start, this.#recoveryPoint);
      if (isPartial && inFlight.count > 0 && inFlight.isOutstanding(0)) inFlight.markLost(0);
      return;
    }
    if (!isDuplicate) return;
    this.#duplicateAcks++;
    this.#departedBytes = Math.min(this.#departedBytes + this.#segmentBytes, distance(inFlight.start, this.nxt));
    if (this.#duplicateAcks !== DUPLICATE_ACKS || this.phase !== 'open' || inFlight.count === 0) return;
    inFlight.markLost(0);
    this.#beginRecovery();
  }

  #beginRecovery(): void {
    this.phase = 'recovery';
    this.#recoveryPoint = this.nxt;
    this.#reduction.begin(distance(this.inFlight.start, this.nxt), this.#segmentBytes);
    this.#undo.begin(this.cubic);
    this.cubic.windowBytes = this.cubic.onLoss();
  }

  /** Nothing was lost: what is still marked so is on its way. */
  #undoReduction(): void {
    this.#rack.noteReordering();
    this.inFlight.forgetLosses();
    this.phase = 'open';
    this.#undo.restore(this.cubic);
  }

  #reduce(deliveredBytes: number): void {
    // Without SACK a duplicate says that one segment has arrived (RFC 6937 §2).
    const departed = !this.#hasSack && this.#duplicateAcks > 0 ? this.#segmentBytes : 0;
    this.#reduction.onDelivered(deliveredBytes + departed, this.pipeBytes, this.cubic.slowStartThreshold);
  }

  #endRecovery(): void {
    if (this.phase === 'recovery') this.cubic.windowBytes = this.cubic.slowStartThreshold;
    this.phase = 'open';
    this.#rack.noteRecoveryEnd();
    this.#departedBytes = 0;
    this.#duplicateAcks = 0;
  }
}
