import type { PacketHeader } from './packet-header.ts';

/** Flows remembered; one more forgets the flow that was used least recently. docs/spec/filter.md#replies */
export const FLOW_COUNT_MAX = 512;

// A flow is ten words: protocol and family, both ports, the remote address, the local address.
const KEY_WORDS = 10;
const BUCKET_COUNT = 1024;
const NONE = -1;

/**
 * The flows that this node opened itself, so that their replies pass without a rule.
 *
 * A fixed set of entries lives in typed arrays: a hash chain per bucket, and one list from most to least recently
 * used. Both adding and finding make a flow the most recent; neither allocates.
 */
export class FlowTable {
  readonly #keys = new Uint32Array(FLOW_COUNT_MAX * KEY_WORDS);
  readonly #wanted = new Uint32Array(KEY_WORDS);
  readonly #buckets = new Int16Array(BUCKET_COUNT).fill(NONE);
  readonly #chain = new Int16Array(FLOW_COUNT_MAX).fill(NONE);
  readonly #newer = new Int16Array(FLOW_COUNT_MAX).fill(NONE);
  readonly #older = new Int16Array(FLOW_COUNT_MAX).fill(NONE);
  #newest = NONE;
  #oldest = NONE;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Remembers the flow of a packet that leaves. */
  addOutbound(header: PacketHeader): void {
    this.#setWanted(header, header.destination, header.source, header.destinationPort, header.sourcePort);
    const bucket = hashOf(this.#wanted, 0);
    const known = this.#find(bucket);
    if (known !== NONE) {
      this.#touch(known);
      return;
    }
    const entry = this.#size < FLOW_COUNT_MAX ? this.#size++ : this.#evict();
    this.#keys.set(this.#wanted, entry * KEY_WORDS);
    this.#chain[entry] = this.#buckets[bucket] as number;
    this.#buckets[bucket] = entry;
    this.#linkNewest(entry);
  }

  /** True when the arriving packet answers a flow that is remembered. */
  hasInbound(header: PacketHeader): boolean {
    this.#setWanted(header, header.source, header.destination, header.sourcePort, header.destinationPort);
    const entry = this.#find(hashOf(this.#wanted, 0));
    if (entry === NONE) return false;
    this.#touch(entry);
    return true;
  }

  #setWanted(
    header: PacketHeader,
    remote: Uint32Array,
    local: Uint32Array,
    remotePort: number,
    localPort: number,
  ): void {
    const key = this.#wanted;
    key[0] = (header.family << 8) | header.protocol;
    key[1] = (remotePort << 16) | localPort;
    for (let i = 0; i < 4; i++) {
      key[2 + i] = remote[i] as number;
      key[6 + i] = local[i] as number;
    }
  }

  #find(bucket: number): number {
    let entry = this.#buckets[bucket] as number;
    while (entry !== NONE && !this.#isWanted(entry)) entry = this.#chain[entry] as number;
    return entry;
  }

  #isWanted(entry: number): boolean {
    const at = entry * KEY_WORDS;
    for (let i = 0; i < KEY_WORDS; i++) if (this.#keys[at + i] !== this.#wanted[i]) return false;
    return true;
  }

  /** Takes the least recently used entry out of its bucket and the list. */
  #evict(): number {
    const entry = this.#oldest;
    const bucket = hashOf(this.#keys, entry * KEY_WORDS);
    let at = this.#buckets[bucket] as number;
    if (at === entry) this.#buckets[bucket] = this.#chain[entry] as number;
    else {
      while (this.#chain[at] !== entry) at = this.#chain[at] as number;
      this.#chain[at] = this.#chain[entry] as number;
    }
    this.#unlink(entry);
    return entry;
  }

  #touch(entry: number): void {
    if (entry === this.#newest) return;
    this.#unlink(entry);
    this.#linkNewest(entry);
  }

  #linkNewest(entry: number): void {
    this.#newer[entry] = NONE;
    this.#older[entry] = this.#newest;
    if (this.#newest !== NONE) this.#newer[this.#newest] = entry;
    this.#newest = entry;
    if (this.#oldest === NONE) this.#oldest = entry;
  }

  #unlink(entry: number): void {
    const newer = this.#newer[entry] as number;
    const older = this.#older[entry] as number;
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
  }
}

function hashOf(words: Uint32Array, at: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < KEY_WORDS; i++) {
    hash = Math.imul(hash ^ (words[at + i] as number), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash & (BUCKET_COUNT - 1);
}
