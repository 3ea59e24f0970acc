/**
 * Proportional Rate Reduction (RFC 6937): during recovery lets out as much as arrives, scaled so that the pipe holds
 * the new threshold when recovery ends.
 */
export class ProportionalReduction {
  #flightBytes = 1;
  #segmentBytes = 0;
  #delivered = 0;
  #sent = 0;
  /** Bytes that may be sent now. */
  budgetBytes = 0;

  /** @param flightBytes RecoverFS: SND.NXT - SND.UNA when the loss was noticed. */
  begin(flightBytes: number, segmentBytes: number): void {
    this.#segmentBytes = segmentBytes;
    this.#flightBytes = Math.max(1, flightBytes);
    this.#delivered = 0;
    this.#sent = 0;
    this.budgetBytes = 0;
  }

  onDelivered(deliveredBytes: number, pipeBytes: number, threshold: number): void {
    const segmentBytes = this.#segmentBytes;
    this.#delivered += deliveredBytes;
    if (pipeBytes > threshold) {
      this.budgetBytes = Math.ceil((this.#delivered * threshold) / this.#flightBytes) - this.#sent;
    } else {
      const limit = Math.max(this.#delivered - this.#sent, deliveredBytes) + segmentBytes;
      this.budgetBytes = Math.min(threshold - pipeBytes, limit);
    }
    // The first retransmission always goes out (RFC 6937 §3).
    if (this.#sent === 0 && this.budgetBytes < segmentBytes) this.budgetBytes = segmentBytes;
  }

  onSent(bytes: number): void {
    this.#sent += bytes;
    this.budgetBytes -= bytes;
  }
}
