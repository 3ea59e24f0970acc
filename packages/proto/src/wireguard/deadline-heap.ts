/** Something with a deadline; the two fields belong to the {@link DeadlineHeap} it is in. */
export interface Scheduled {
  /** Position in the heap, -1 when not in it. */
  heapIndex: number;
  wakeAtMs: number;
}

/**
 * A binary heap that knows which of many items is due first. An item may sit in it with a deadline that has since moved
 * later: waking for nothing now and then is cheaper than moving the item for every packet.
 */
export class DeadlineHeap<T extends Scheduled> {
  readonly #items: T[] = [];

  get earliest(): T | undefined {
    return this.#items[0];
  }

  /** Adds the item, or moves it, to exactly `atMs`; Infinity removes it. */
  set(item: T, atMs: number): void {
    if (atMs === Number.POSITIVE_INFINITY) {
      this.remove(item);
      return;
    }
    if (item.heapIndex < 0) {
      item.heapIndex = this.#items.length;
      this.#items.push(item);
    }
    item.wakeAtMs = atMs;
    this.#sink(this.#rise(item.heapIndex));
  }

  /** Makes sure that the item is woken at `atMs` or before. */
  setNoLater(item: T, atMs: number): void {
    if (item.heapIndex < 0 || atMs < item.wakeAtMs) this.set(item, atMs);
  }

  remove(item: T): void {
    const at = item.heapIndex;
    if (at < 0) return;
    item.heapIndex = -1;
    const last = this.#items.pop() as T;
    if (last === item) return;
    this.#place(last, at);
    this.#sink(this.#rise(at));
  }

  #rise(start: number): number {
    const item = this.#items[start] as T;
    let at = start;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#items[parent] as T;
      if (above.wakeAtMs <= item.wakeAtMs) break;
      this.#place(above, at);
      at = parent;
    }
    this.#place(item, at);
    return at;
  }

  #sink(start: number): void {
    const item = this.#items[start] as T;
    let at = start;
    for (;;) {
      let child = 2 * at + 1;
      const left = this.#items[child];
      if (left === undefined) break;
      const right = this.#items[child + 1];
      if (right !== undefined && right.wakeAtMs < left.wakeAtMs) child++;
      const below = this.#items[child] as T;
      if (below.wakeAtMs >= item.wakeAtMs) break;
      this.#place(below, at);
      at = child;
    }
    this.#place(item, at);
  }

  #place(item: T, at: number): void {
    this.#items[at] = item;
    item.heapIndex = at;
  }
}
