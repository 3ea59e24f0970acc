import type { KeyKind, PublicKey } from './public-key.ts';

interface Entry<K extends KeyKind, V> {
  readonly key: PublicKey<K>;
  value: V;
}

/** A map keyed by public keys that finds an entry from raw bytes inside a packet without allocating. */
export class KeyMap<K extends KeyKind, V> {
  // The first four bytes select the bucket: they are uniformly random in honest keys; a bucket is a short list.
  readonly #buckets = new Map<number, Entry<K, V>[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: PublicKey<K>): V | undefined {
    return this.lookup(key, 0);
  }

  /** Finds the value for the 32 bytes at `offset`; `undefined` when absent or when fewer than 32 bytes are left. */
  lookup(bytes: Uint8Array, offset: number): V | undefined {
    return this.#entry(bytes, offset)?.value;
  }

  set(key: PublicKey<K>, value: V): void {
    const entry = this.#entry(key, 0);
    if (entry !== undefined) {
      entry.value = value;
      return;
    }
    const hash = firstWord(key, 0);
    const bucket = this.#buckets.get(hash);
    if (bucket === undefined) this.#buckets.set(hash, [{ key, value }]);
    else bucket.push({ key, value });
    this.#size++;
  }

  delete(key: PublicKey<K>): boolean {
    const hash = firstWord(key, 0);
    const bucket = this.#buckets.get(hash);
    const at = bucket?.findIndex((entry) => isSame(entry.key, key, 0)) ?? -1;
    if (bucket === undefined || at < 0) return false;
    bucket.splice(at, 1);
    if (bucket.length === 0) this.#buckets.delete(hash);
    this.#size--;
    return true;
  }

  *entries(): IterableIterator<[PublicKey<K>, V]> {
    for (const bucket of this.#buckets.values()) for (const { key, value } of bucket) yield [key, value];
  }

  *values(): IterableIterator<V> {
    for (const bucket of this.#buckets.values()) for (const { value } of bucket) yield value;
  }

  #entry(bytes: Uint8Array, offset: number): Entry<K, V> | undefined {
    if (offset + 32 > bytes.length) return undefined;
    const bucket = this.#buckets.get(firstWord(bytes, offset));
    if (bucket === undefined) return undefined;
    for (const entry of bucket) if (isSame(entry.key, bytes, offset)) return entry;
    return undefined;
  }
}

function firstWord(bytes: Uint8Array, offset: number): number {
  return (
    (bytes[offset] as number) |
    ((bytes[offset + 1] as number) << 8) |
    ((bytes[offset + 2] as number) << 16) |
    ((bytes[offset + 3] as number) << 24)
  );
}

function isSame(key: Uint8Array, bytes: Uint8Array, offset: number): boolean {
  for (let i = 0; i < 32; i++) if (key[i] !== bytes[offset + i]) return false;
  return true;
}
