/** Packets kept for one peer while its session is made; beyond it the oldest of that peer is dropped. */
export const STAGED_PER_PEER_MAX = 128;
/** Packets kept for all peers together (never more than a quarter of the arena); beyond it the oldest of all is dropped. */
export const STAGED_TOTAL_MAX = 1024;

/** The packets of one peer that wait for a session, oldest first. Its fields belong to {@link Staging}. */
export interface StagedList {
  oldest: number;
  newest: number;
  length: number;
}

export function createStagedList(): StagedList {
  return { oldest: NONE, newest: NONE, length: 0 };
}

const NONE = -1;

/**
 * Packets that wait for a handshake: one list a peer, and one list of all by age, threaded through the slot numbers, so
 * that staging allocates nothing. It never holds the arena hostage: waiting packets of unreachable peers give way.
 */
export class Staging {
  readonly #totalMax: number;
  readonly #afterInList: Int32Array;
  readonly #afterOfAll: Int32Array;
  readonly #beforeOfAll: Int32Array;
  readonly #listOf: (StagedList | undefined)[];
  #oldest = NONE;
  #newest = NONE;
  #length = 0;

  constructor(slotCount: number) {
    this.#totalMax = Math.max(1, Math.min(STAGED_TOTAL_MAX, slotCount >> 2));
    this.#afterInList = new Int32Array(slotCount);
    this.#afterOfAll = new Int32Array(slotCount);
    this.#beforeOfAll = new Int32Array(slotCount);
    this.#listOf = new Array<StagedList | undefined>(slotCount).fill(undefined);
  }

  get length(): number {
    return this.#length;
  }

  /** Takes the slot. Returns the slot that had to give way, now the caller's, or -1. */
  push(list: StagedList, slot: number): number {
    let dropped = NONE;
    if (list.length >= STAGED_PER_PEER_MAX) dropped = this.shift(list);
    else if (this.#length >= this.#totalMax) dropped = this.shiftOldest();
    if (list.oldest === NONE) list.oldest = slot;
    else this.#afterInList[list.newest] = slot;
    list.newest = slot;
    list.length++;
    this.#afterInList[slot] = NONE;
    this.#listOf[slot] = list;
    this.#append(slot);
    return dropped;
  }

  /** Gives back the oldest slot of a peer, or -1. */
  shift(list: StagedList): number {
    const slot = list.oldest;
    if (slot === NONE) return NONE;
    list.oldest = this.#afterInList[slot] as number;
    if (list.oldest === NONE) list.newest = NONE;
    list.length--;
    this.#listOf[slot] = undefined;
    this.#unlink(slot);
    return slot;
  }

  /** Gives back the oldest slot of all, or -1: it is also the oldest of its peer. */
  shiftOldest(): number {
    const list = this.#oldest === NONE ? undefined : this.#listOf[this.#oldest];
    return list === undefined ? NONE : this.shift(list);
  }

  #append(slot: number): void {
    this.#afterOfAll[slot] = NONE;
    this.#beforeOfAll[slot] = this.#newest;
    if (this.#newest === NONE) this.#oldest = slot;
    else this.#afterOfAll[this.#newest] = slot;
    this.#newest = slot;
    this.#length++;
  }

  #unlink(slot: number): void {
    const before = this.#beforeOfAll[slot] as number;
    const after = this.#afterOfAll[slot] as number;
    if (before === NONE) this.#oldest = after;
    else this.#afterOfAll[before] = after;
    if (after === NONE) this.#newest = before;
    else this.#beforeOfAll[after] = before;
    this.#length--;
  }
}
