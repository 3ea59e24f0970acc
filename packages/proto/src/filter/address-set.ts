import { type AddressRange, compareBytes } from './rules.ts';

/**
 * A set of addresses of one family: ranges as 32-bit words, sorted and merged, so that a lookup is a binary search
 * that allocates nothing. An address is one word (IPv4) or four (IPv6), in the words of a `PacketHeader`.
 */
export class AddressSet {
  readonly #words: 1 | 4;
  readonly #first: Uint32Array;
  readonly #last: Uint32Array;
  readonly #count: number;

  /** Takes the ranges of `family` and ignores the others. */
  constructor(family: 4 | 6, ranges: readonly AddressRange[]) {
    const merged = mergeRanges(ranges.filter((range) => range.family === family));
    this.#words = family === 4 ? 1 : 4;
    this.#count = merged.length;
    this.#first = wordsOf(
      merged.map((range) => range.first),
      this.#words,
    );
    this.#last = wordsOf(
      merged.map((range) => range.last),
      this.#words,
    );
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  has(address: Uint32Array): boolean {
    // The range that counts is the last one that does not begin behind the address.
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareWords(this.#first, middle * this.#words, address, this.#words) <= 0) low = middle + 1;
      else high = middle;
    }
    return low > 0 && compareWords(this.#last, (low - 1) * this.#words, address, this.#words) >= 0;
  }
}

function compareWords(table: Uint32Array, at: number, address: Uint32Array, count: number): number {
  for (let i = 0; i < count; i++) {
    const difference = (table[at + i] as number) - (address[i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Sorts by the first address and joins what overlaps; afterwards both ends rise. */
function mergeRanges(ranges: AddressRange[]): AddressRange[] {
  const sorted = ranges.toSorted((a, b) => compareBytes(a.first, 0, b.first, 0, a.first.length));
  const merged: AddressRange[] = [];
  for (const range of sorted) {
    const before = merged.at(-1);
    if (before === undefined || compareBytes(before.last, 0, range.first, 0, range.first.length) < 0) {
      merged.push(range);
    } else if (compareBytes(before.last, 0, range.last, 0, range.last.length) < 0) {
      merged[merged.length - 1] = { family: range.family, first: before.first, last: range.last };
    }
  }
  return merged;
}

function wordsOf(addresses: readonly Uint8Array[], wordsPerAddress: number): Uint32Array {
  const words = new Uint32Array(addresses.length * wordsPerAddress);
  let at = 0;
  for (const bytes of addresses) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = 0; i < wordsPerAddress; i++) words[at++] = view.getUint32(4 * i);
  }
  return words;
}
