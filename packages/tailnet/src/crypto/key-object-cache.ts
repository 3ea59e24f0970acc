import type { KeyObject } from 'node:crypto';
import { isEqualBytes } from '@heddle/proto/bytes/equal';

/**
 * Imported public keys by their 32 bytes: on some versions of Node importing costs as much as using. The bound is
 * fixed; the oldest entry makes room.
 */
export class KeyObjectCache {
  readonly #import: (bytes: Uint8Array) => KeyObject;
  readonly #bytes: Uint8Array[] = [];
  readonly #objects: KeyObject[] = [];
  readonly #capacity: number;
  #next = 0;

  /** @param importKey Throws for bytes that are no key; such an entry is not kept. */
  constructor(capacity: number, importKey: (bytes: Uint8Array) => KeyObject) {
    this.#capacity = capacity;
    this.#import = importKey;
  }

  get(bytes: Uint8Array): KeyObject {
    // A linear search: a few hundred entries at most, told apart by their first byte nearly always.
    const at = this.#bytes.findIndex((known) => known[0] === bytes[0] && isEqualBytes(known, bytes));
    const known = this.#objects[at];
    if (known !== undefined) return known;
    const object = this.#import(bytes);
    this.#bytes[this.#next] = bytes.slice();
    this.#objects[this.#next] = object;
    this.#next = (this.#next + 1) % this.#capacity;
    return object;
  }
}
