/** A first-in, first-out ring of packet slots (or other non-negative integers) with a fixed bound. */
export class SlotQueue {
  readonly #ring: Int32Array;
  #head = 0;
  #length = 0;

  /** @param capacity The bound; `push` refuses beyond it. */
  constructor(capacity: number) {
    this.#ring = new Int32Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  get capacity(): number {
    return this.#ring.length;
  }

  /** Returns false when the queue is full; the caller keeps the slot. */
  push(slot: number): boolean {
    if (this.#length === this.#ring.length) return false;
    let tail = this.#head + this.#length;
    if (tail >= this.#ring.length) tail -= this.#ring.length;
    this.#ring[tail] = slot;
    this.#length++;
    return true;
  }

  /** Removes and returns the oldest slot, or -1. */
  shift(): number {
    if (this.#length === 0) return -1;
    const slot = this.#ring[this.#head] as number;
    this.#head++;
    if (this.#head === this.#ring.length) this.#head = 0;
    this.#length--;
    return slot;
  }
}
