import type { Rng } from '../crypto/provider.ts';
import { readIndex } from './messages.ts';

/**
 * Every index this node has given out, of handshakes and of sessions, across all peers: how a message of type 2, 3 or 4
 * finds its receiver. Indices are random, so that an outsider cannot guess one. Bound: four a peer (a handshake and three
 * sessions).
 */
export class IndexTable<Entry> {
  readonly #rng: Rng;
  readonly #entries = new Map<number, Entry>();
  readonly #random = new Uint8Array(4);

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Files the entry under a new index, a signed 32-bit number. */
  add(entry: Entry): number {
    let index: number;
    do {
      this.#rng.fill(this.#random);
      index = readIndex(this.#random, 0);
    } while (this.#entries.has(index));
    this.#entries.set(index, entry);
    return index;
  }

  get(index: number): Entry | undefined {
    return this.#entries.get(index);
  }

  delete(index: number): void {
    this.#entries.delete(index);
  }
}
