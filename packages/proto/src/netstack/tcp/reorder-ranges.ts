import { SACK_BLOCKS_MAX, type SegmentOptions } from './options.ts';
import { isAfter, isBefore } from './sequence.ts';

/** Holes a window may have. A segment that would open one more is dropped: the peer sends it again. */
export const REORDER_RANGES_MAX = 128;

/** Sequence ranges received beyond a hole, in order and disjoint, each with the time order of its last change. */
export class ReorderRanges {
  readonly #left: Int32Array = new Int32Array(REORDER_RANGES_MAX);
  readonly #right: Int32Array = new Int32Array(REORDER_RANGES_MAX);
  readonly #touched: Float64Array = new Float64Array(REORDER_RANGES_MAX);
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
    let first = 0;
    while (first < this.#count && isBefore(this.#right[first] as number, left)) first++;
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

  /** True when the whole range has been received already. */
  covers(left: number, right: number): boolean {
    for (let i = 0; i < this.#count; i++) {
      if (!isAfter(this.#left[i] as number, left) && !isBefore(this.#right[i] as number, right)) return true;
    }
    return false;
  }

  /** Marks the range that holds `sequence` as the latest, so that it is reported first. */
  touch(sequence: number): void {
    for (let i = 0; i < this.#count; i++) {
      if (!isAfter(this.#left[i] as number, sequence) && isAfter(this.#right[i] as number, sequence)) {
        this.#touched[i] = ++this.#clock;
      }
    }
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

  clear(): void {
    this.#count = 0;
  }

  #insert(at: number, left: number, right: number): boolean {
    if (this.#count === REORDER_RANGES_MAX) return false;
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
}
