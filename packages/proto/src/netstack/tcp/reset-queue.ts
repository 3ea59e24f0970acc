import { Fifo } from '../fifo.ts';
import type { Flow } from './flow.ts';
import { FLAG_ACK, FLAG_RST, Segment } from './segment.ts';
import type { SegmentWriter } from './segment-writer.ts';
import { advance } from './sequence.ts';

/** Resets that wait for a slot; beyond it they are dropped: the peer's retransmission asks again. */
export const RESET_QUEUE_MAX = 256;

interface PendingReset {
  readonly flow: Flow;
  readonly sequence: number;
  readonly acknowledgment: number;
  readonly flags: number;
}

/** The RSTs that answer segments without a connection (RFC 9293 §3.5.2). */
export class ResetQueue {
  readonly #writer: SegmentWriter;
  readonly #pending: Fifo<PendingReset> = new Fifo<PendingReset>();
  readonly #outgoing: Segment = new Segment();

  constructor(writer: SegmentWriter) {
    this.#writer = writer;
  }

  get length(): number {
    return this.#pending.length;
  }

  /** Takes an offender that is not itself a RST. False beyond {@link RESET_QUEUE_MAX}. */
  push(flow: Flow, offender: Segment): boolean {
    if (this.#pending.length >= RESET_QUEUE_MAX) return false;
    const hasAck = (offender.flags & FLAG_ACK) !== 0;
    this.#pending.push({
      flow,
      sequence: hasAck ? offender.acknowledgment : 0,
      acknowledgment: hasAck ? 0 : advance(offender.sequence, offender.sequenceLength),
      flags: hasAck ? FLAG_RST : FLAG_RST | FLAG_ACK,
    });
    return true;
  }

  /** Builds the oldest; -1 when no slot is free. */
  build(): number {
    const reset = this.#pending.peek();
    if (reset === undefined) return -1;
    const out = this.#outgoing;
    out.sequence = reset.sequence;
    out.acknowledgment = reset.acknowledgment;
    out.flags = reset.flags;
    const slot = this.#writer.write(reset.flow, out, undefined);
    if (slot >= 0) this.#pending.shift();
    return slot;
  }
}
