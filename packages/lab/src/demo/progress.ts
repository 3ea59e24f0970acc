import type { WriteStream } from 'node:tty';

/** Redraws of a running step; more often would only cost. */
const REDRAW_MS = 100;

/** Steps of a program on a terminal: what runs now, how far it is, how it ended. Without a terminal, one line a step. */
export class Progress {
  readonly #out: WriteStream;
  #step = 'start';
  #drawnAtMs = 0;

  constructor(out: WriteStream) {
    this.#out = out;
  }

  /** What is running: for the message of a failure. */
  get step(): string {
    return this.#step;
  }

  begin(step: string): void {
    this.#step = step;
    if (this.#out.isTTY) this.#out.write(`  … ${step}`);
  }

  /** @param share 0–1 */
  update(share: number): void {
    if (!this.#out.isTTY || performance.now() - this.#drawnAtMs < REDRAW_MS) return;
    this.#drawnAtMs = performance.now();
    this.#out.write(`\r  … ${this.#step} ${Math.floor(share * 100)} %`);
  }

  done(result: string): void {
    this.#out.write(`${this.#out.isTTY ? '\r\u001b[K' : ''}  ✓ ${this.#step}: ${result}\n`);
  }

  note(line: string): void {
    this.#out.write(`${line === '' ? '' : '  '}${line}\n`);
  }
}
