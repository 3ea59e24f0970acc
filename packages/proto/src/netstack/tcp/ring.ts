import { distance } from './sequence.ts';

const RING_BYTES_MIN = 0x1000;

/**
 * Bytes of a sequence range in a power-of-two buffer: a byte's place is its sequence's distance from the first one ever
 * stored, cut to the size. Memory is taken at the first byte and doubles on demand up to the caller's bound.
 */
export class Ring {
  readonly #base: number;
  readonly #bytesMax: number;
  #bytes: Uint8Array = new Uint8Array(0);
  /** Sequence of the oldest byte kept. */
  start: number;

  /** @param base Sequence of the first byte. @param bytesMax The bound, a power of two. */
  constructor(base: number, bytesMax: number) {
    this.#base = base;
    this.#bytesMax = bytesMax;
    this.start = base;
  }

  get capacity(): number {
    return this.#bytes.length;
  }

  /** Makes room for `bytes` from `start` on, keeping what lies in the first `used`; false beyond the bound. */
  reserve(bytes: number, used: number): boolean {
    if (bytes <= this.#bytes.length) return true;
    if (bytes > this.#bytesMax) return false;
    let capacity = Math.max(this.#bytes.length, RING_BYTES_MIN);
    while (capacity < bytes) capacity *= 2;
    const old = this.#bytes;
    this.#bytes = new Uint8Array(capacity);
    if (used > 0) {
      const from = distance(this.#base, this.start) & (old.length - 1);
      const first = Math.min(used, old.length - from);
      this.store(this.start, old, from, first);
      if (first < used) this.store((this.start + first) | 0, old, 0, used - first);
    }
    return true;
  }

  /** Copies `source[offset .. offset+length)` to its place; room must be reserved. */
  store(sequence: number, source: Uint8Array, offset: number, length: number): void {
    const ring = this.#bytes;
    const at = distance(this.#base, sequence) & (ring.length - 1);
    const first = Math.min(length, ring.length - at);
    ring.set(source.subarray(offset, offset + first), at);
    if (first < length) ring.set(source.subarray(offset + first, offset + length), 0);
  }

  /** Copies `length` bytes from `sequence` on to `out[offset ..)`. */
  load(sequence: number, length: number, out: Uint8Array, offset: number): void {
    const ring = this.#bytes;
    const at = distance(this.#base, sequence) & (ring.length - 1);
    const first = Math.min(length, ring.length - at);
    out.set(ring.subarray(at, at + first), offset);
    if (first < length) out.set(ring.subarray(0, length - first), offset + first);
  }

  /** Gives the memory back; what was stored is lost. */
  clear(): void {
    this.#bytes = new Uint8Array(0);
  }
}
