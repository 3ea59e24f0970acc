import type { Rng } from '../crypto/provider.ts';

/** Added at random to every handshake timer, so that two peers do not stay in step. */
export const JITTER_MS_MAX = 333;

/** Draws the jitter of timers. Random bytes are taken 256 at a time: a busy peer arms a timer for every packet. */
export class Jitter {
  readonly #rng: Rng;
  readonly #random = new Uint8Array(256);
  #used = 256;

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  /** 0 to {@link JITTER_MS_MAX}, whole milliseconds. */
  drawMs(): number {
    if (this.#used >= this.#random.length) {
      this.#rng.fill(this.#random);
      this.#used = 0;
    }
    const value = ((this.#random[this.#used] as number) << 8) | (this.#random[this.#used + 1] as number);
    this.#used += 2;
    return (value * (JITTER_MS_MAX + 1)) >>> 16;
  }
}
