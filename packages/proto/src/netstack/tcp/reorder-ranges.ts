import { SACK_BLOCKS_MAX, type SegmentOptions } from './options.ts';
import { isAfter, isBefore } from './sequence.ts';

/** Holes a window may have. A segment that would open one more is dropped: the peer sends it again. */
export const REORDER_RANGES_MAX = 1024;
const CAPACITY_MIN = 16;

/** Sequence ranges received beyond a hole, in order and disjoint, each with the time order of its last change. */
export class ReorderRanges {
  #left: Int32Array = new Int32Array(0);
  #right: Int32Array = new Int32Array(0);
  #touched: Float64Array = new Float64Array(0);
  #count = 0;
  #clock = 0;

  get count(): number {
    return this.#count;
  }

  /** Left edge of the first range; only with `count > 0`. */
  get firstLeft(): number {
    return this.#left[0] as number;
  }

  /** End of the last range; only with `count > 0`. */
  get lastRight(): number {
    return this.#right[this.#count - 1] as number;
  }

  /** Adds a range, joining what it touches; false when there is no room for one more hole. */
  add(left: number, right: number): boolean {
    const first = this.#firstReaching(left);
    let end = first;
    while (end < this.#count && !isAfter(this.#left[end] as number, right)) end++;
    if (first === end) return this.#insert(first, left, right);
    if (isAfter(this.#left[first] as number, left)) this.#left[first] = left;
    const lastRight = this.#right[end - 1] as number;
    this.#right[first] = isAfter(lastRight, right) ? lastRight : right;
    this.#touched[first] = ++this.#clock;
    this.#remove(first + 1, end - first - 1);
    return true;
  }

  /** True when the whole range has been received already; it is then reported first. */
  covers(left: number, right: number): boolean {
    const at = this.#firstReaching((left + 1) | 0);
    if (at === this.#count || isAfter(this.#left[at] as number, left)) return false;
    if (isBefore(this.#right[at] as number, right)) return false;
    this.#touched[at] = ++this.#clock;
    return true;
  }

  /** Removes the ranges that `next` reaches; returns the sequence up to which all is there. */
  absorb(next: number): number {
    let reached = next;
    let used = 0;
    while (used < this.#count && !isAfter(this.#left[used] as number, reached)) {
      if (isAfter(this.#right[used] as number, reached)) reached = this.#right[used] as number;
      used++;
    }
    this.#remove(0, used);
    return reached;
  }

  /** Appends blocks to `out.sack`, latest change first (RFC 2018 §4), up to `blocksMax` in all. */
  report(out: SegmentOptions, blocksMax: number): void {
    const limit = Math.min(blocksMax, SACK_BLOCKS_MAX);
    let before = Number.POSITIVE_INFINITY;
    while (out.sackCount < limit) {
      let best = -1;
      for (let i = 0; i < this.#count; i++) {
        const touched = this.#touched[i] as number;
        if (touched < before && (best < 0 || touched > (this.#touched[best] as number))) best = i;
      }
      if (best < 0) return;
      before = this.#touched[best] as number;
      out.sack[2 * out.sackCount] = this.#left[best] as number;
      out.sack[2 * out.sackCount + 1] = this.#right[best] as number;
      out.sackCount++;
    }
  }

  /** Forgets all and gives the memory back. */
  clear(): void {
    this.#count = 0;
    if (this.#left.length > 0) this.#resize(0);
  }

  /** Index of the first range that ends at `sequence` or behind it. */
  #firstReaching(sequence: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(this.#right[middle] as number, sequence)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #insert(at: number, left: number, right: number): boolean {
    if (this.#count === REORDER_RANGES_MAX) return false;
    if (this.#count === this.#left.length) this.#resize(Math.max(CAPACITY_MIN, 2 * this.#count));
    this.#left.copyWithin(at + 1, at, this.#count);
    this.#right.copyWithin(at + 1, at, this.#count);
    this.#touched.copyWithin(at + 1, at, this.#count);
    this.#left[at] = left;
    this.#right[at] = right;
    this.#touched[at] = ++this.#clock;
    this.#count++;
    return true;
  }

  #remove(at: number, amount: number): void {
    if (amount === 0) return;
    this.#left.copyWithin(at, at + amount, this.#count);
    this.#right.copyWithin(at, at + amount, this.#count);
    this.#touched.copyWithin(at, at + amount, this.#count);
    this.#count -= amount;
  }

  #resize(capacity: number): void {
    const left = new Int32Array(capacity);
    const right = new Int32Array(capacity);
    const touched = new Float64Array(capacity);
    left.set(this.#left.subarray(0, this.#count));
    right.set(this.#right.subarray(0, this.#count));
    touched.set(this.#touched.subarray(0, this.#count));
    this.#left = left;
    this.#right = right;
    this.#touched = touched;
  }
}
