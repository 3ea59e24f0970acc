/** Window memory that all connections of a stack may promise beyond each one's first 64 KiB. */
const WINDOW_BUDGET_BYTES = 0x10000000;

/** Bounds the sum of the receive windows: a window grows only while the budget lasts. */
export class BufferBudget {
  #left: number;

  constructor(bytes: number = WINDOW_BUDGET_BYTES) {
    this.#left = bytes;
  }

  /** False when it would go beyond the budget; nothing is taken then. */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#left += bytes;
  }
}
