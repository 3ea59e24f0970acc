import type { IpPrefix } from '../ip/prefix.ts';

interface TrieNode {
  /** The address of the prefix; only the first `bits` count. */
  readonly bytes: Uint8Array;
  readonly bits: number;
  /** -1 for a mere fork. */
  value: number;
  /** Longer prefixes whose bit number `bits` is 0 and 1. */
  zero: TrieNode | undefined;
  one: TrieNode | undefined;
}

/**
 * Longest-prefix match from IP addresses to small numbers: destinations to peers (docs/spec/wireguard.md#routing).
 *
 * A binary trie a family, in which chains without a fork are one step; a lookup reads at most as many nodes as there are
 * nested or neighbouring prefixes on its way, and allocates nothing. It is built once for each netmap and then replaced
 * whole, so nothing is ever removed. Its size is at most two nodes a prefix.
 */
export class PrefixTrie {
  #root4: TrieNode | undefined;
  #root6: TrieNode | undefined;

  /**
   * Adds a prefix; host bits are ignored, and a prefix that is there already gets the new value.
   * @throws {RangeError} when the value is not a non-negative integer, or the bits do not fit the family.
   */
  insert(prefix: IpPrefix, value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`trie value "${value}", expected 0 or more`);
    const { bytes, family } = prefix.address;
    if (!Number.isInteger(prefix.bits) || prefix.bits < 0 || prefix.bits > bytes.length * 8) {
      throw new RangeError(`prefix of ${prefix.bits} bits, expected 0 to ${bytes.length * 8}`);
    }
    const leaf: TrieNode = { bytes, bits: prefix.bits, value, zero: undefined, one: undefined };
    if (family === 4) this.#root4 = insertBelow(this.#root4, leaf);
    else this.#root6 = insertBelow(this.#root6, leaf);
  }

  /** The value of the longest prefix around the 4 or 16 bytes at `offset`, or -1; also when they are not all there. */
  lookup(bytes: Uint8Array, offset: number, family: 4 | 6): number {
    let node = family === 4 ? this.#root4 : this.#root6;
    if (offset + (family === 4 ? 4 : 16) > bytes.length) return -1;
    let best = -1;
    let matched = 0;
    while (node !== undefined) {
      if (commonBits(node.bytes, bytes, offset, matched, node.bits) < node.bits) break;
      if (node.value >= 0) best = node.value;
      matched = node.bits;
      if (matched === (family === 4 ? 32 : 128)) break;
      node = bitAt(bytes, offset, matched) === 0 ? node.zero : node.one;
    }
    return best;
  }
}

/** Inserts a leaf into the trie at `node`, and returns the node that stands there now. */
function insertBelow(node: TrieNode | undefined, leaf: TrieNode): TrieNode {
  if (node === undefined) return leaf;
  const common = commonBits(node.bytes, leaf.bytes, 0, 0, Math.min(node.bits, leaf.bits));
  if (common < node.bits) {
    if (common === leaf.bits) return adopt(leaf, node);
    const fork: TrieNode = { bytes: leaf.bytes, bits: common, value: -1, zero: undefined, one: undefined };
    return adopt(adopt(fork, node), leaf);
  }
  if (leaf.bits === node.bits) {
    node.value = leaf.value;
    return node;
  }
  if (bitAt(leaf.bytes, 0, node.bits) === 0) node.zero = insertBelow(node.zero, leaf);
  else node.one = insertBelow(node.one, leaf);
  return node;
}

function adopt(parent: TrieNode, child: TrieNode): TrieNode {
  if (bitAt(child.bytes, 0, parent.bits) === 0) parent.zero = child;
  else parent.one = child;
  return parent;
}

/** How many leading bits two addresses share, at most `limit`; the first `known` are known to be equal. */
function commonBits(a: Uint8Array, b: Uint8Array, bOffset: number, known: number, limit: number): number {
  for (let i = known >> 3; i * 8 < limit; i++) {
    const difference = (a[i] as number) ^ (b[bOffset + i] as number);
    if (difference !== 0) return Math.min(limit, i * 8 + Math.clz32(difference) - 24);
  }
  return limit;
}

function bitAt(bytes: Uint8Array, offset: number, bit: number): number {
  return ((bytes[offset + (bit >> 3)] as number) >> (7 - (bit & 7))) & 1;
}
