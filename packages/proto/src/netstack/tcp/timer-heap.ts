/** Something with one deadline. `heapIndex` and `armedAtMs` belong to the heap. */
export interface Timed {
  /** -1 while not in the heap. */
  heapIndex: number;
  armedAtMs: number;
}

/**
 * The timers of all connections: a binary heap with one entry each. A deadline that moves later is left where it is and
 * looked at again when the old one fires: moving it on each acknowledgment would cost more than the packet.
 */
export class TimerHeap<T extends Timed> {
  readonly #heap: T[] = [];

  /** The earliest time armed, infinity when none. It may be earlier than what its owner still waits for. */
  get nextAtMs(): number {
    return this.#heap[0]?.armedAtMs ?? Number.POSITIVE_INFINITY;
  }

  /** Sees to it that `item` fires at `atMs` or before; infinity leaves an armed item to fire in vain. */
  arm(item: T, atMs: number): void {
    if (item.heapIndex >= 0) {
      if (atMs >= item.armedAtMs) return;
      item.armedAtMs = atMs;
      this.#up(item.heapIndex);
    } else if (atMs < Number.POSITIVE_INFINITY) {
      item.armedAtMs = atMs;
      item.heapIndex = this.#heap.length;
      this.#heap.push(item);
      this.#up(item.heapIndex);
    }
  }

  /** Removes and returns an item due at `nowMs`. */
  popDue(nowMs: number): T | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.armedAtMs > nowMs) return undefined;
    this.remove(first);
    return first;
  }

  remove(item: T): void {
    const at = item.heapIndex;
    if (at < 0) return;
    item.heapIndex = -1;
    const last = this.#heap.pop() as T;
    if (last === item) return;
    this.#heap[at] = last;
    last.heapIndex = at;
    this.#up(at);
    this.#down(last.heapIndex);
  }

  #up(from: number): void {
    let at = from;
    const item = this.#heap[at] as T;
    while (at > 0) {
      const parent = this.#heap[(at - 1) >> 1] as T;
      if (parent.armedAtMs <= item.armedAtMs) break;
      this.#place(parent, at);
      at = (at - 1) >> 1;
    }
    this.#place(item, at);
  }

  #down(from: number): void {
    let at = from;
    const item = this.#heap[at] as T;
    for (;;) {
      const left = this.#heap[2 * at + 1];
      if (left === undefined) break;
      const right = this.#heap[2 * at + 2];
      const child = right !== undefined && right.armedAtMs < left.armedAtMs ? right : left;
      if (child.armedAtMs >= item.armedAtMs) break;
      const childAt = child.heapIndex;
      this.#place(child, at);
      at = childAt;
    }
    this.#place(item, at);
  }

  #place(item: T, at: number): void {
    this.#heap[at] = item;
    item.heapIndex = at;
  }
}
