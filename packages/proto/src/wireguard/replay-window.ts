/** Counters behind the greatest that are still told apart: one 32-bit block of the ring stays empty as a gap. */
export const REPLAY_WINDOW_PACKETS: number = 511 * 32;

const BLOCK_BITS = 32;
const BLOCK_COUNT = 512;

/**
 * Which counters of a session have been seen (RFC 6479). The window is deep because packets travel by UDP and by relay
 * at once while a path is unconfirmed, and the relay may lag by hundreds of milliseconds: this is also what removes the
 * copies. Counters are integers below 2^53.
 */
export class ReplayWindow {
  readonly #seen = new Uint32Array(BLOCK_COUNT);
  #greatest = -1;

  /** True when the counter is new. Asked before decryption, so that copies cost nothing; changes nothing. */
  isNew(counter: number): boolean {
    if (counter > this.#greatest) return true;
    if (this.#isTooOld(counter)) return false;
    return ((this.#seen[blockOf(counter)] as number) & bitOf(counter)) === 0;
  }

  /** Marks the counter of a packet that proved authentic. False when it was seen before or is too old. */
  accept(counter: number): boolean {
    if (counter > this.#greatest) this.#advance(counter);
    else if (this.#isTooOld(counter)) return false;
    const block = blockOf(counter);
    const seen = this.#seen[block] as number;
    const bit = bitOf(counter);
    if ((seen & bit) !== 0) return false;
    this.#seen[block] = seen | bit;
    return true;
  }

  #isTooOld(counter: number): boolean {
    return this.#greatest - counter > REPLAY_WINDOW_PACKETS;
  }

  /** Empties the blocks after that of the greatest counter, up to the new one's. */
  #advance(counter: number): void {
    const from = Math.floor(this.#greatest / BLOCK_BITS);
    const to = Math.floor(counter / BLOCK_BITS);
    const count = Math.min(to - from, BLOCK_COUNT);
    for (let i = 1; i <= count; i++) this.#seen[(from + i) & (BLOCK_COUNT - 1)] = 0;
    this.#greatest = counter;
  }
}

/** `&` takes a number of any size modulo 2^32, and the block count divides that. */
function blockOf(counter: number): number {
  return Math.floor(counter / BLOCK_BITS) & (BLOCK_COUNT - 1);
}

function bitOf(counter: number): number {
  return 1 << (counter & (BLOCK_BITS - 1));
}
