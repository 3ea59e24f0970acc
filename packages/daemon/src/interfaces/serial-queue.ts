/** Runs pieces of work one after another, in the order they came. */
export class SerialQueue {
  readonly #countMax: number;
  #last: Promise<unknown> = Promise.resolve();
  #count = 0;

  /** @param countMax How many may run or wait at a time. */
  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** True when no more work may be added. */
  get isFull(): boolean {
    return this.#count >= this.#countMax;
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    this.#count++;
    const turn = this.#last.then(work);
    this.#last = turn.then(
      () => void this.#count--,
      () => void this.#count--,
    );
    return turn;
  }
}
