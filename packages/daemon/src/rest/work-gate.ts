import { TailnetError } from '@heddle/tailnet/tailnet-error';

/** Lets a few works of one kind run at a time: those that take the processor for long leave some of it to others. */
export class WorkGate {
  readonly #countMax: number;
  #count = 0;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** @throws {TailnetError} `rest/busy` if as many run; and what the work throws. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#count >= this.#countMax) throw new TailnetError('rest/busy', 'Too many ask for this at a time');
    this.#count++;
    try {
      return await work();
    } finally {
      this.#count--;
    }
  }
}
