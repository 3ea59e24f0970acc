import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import {
  PACKET_TAG_BYTES,
  requirePacketInside,
  requirePacketKey,
  wipedCipherError,
} from '@heddle/proto/crypto/packet-checks';
import type { PacketCipher } from '@heddle/proto/crypto/provider';

const ALGORITHM = 'chacha20-poly1305';
const OPTIONS = { authTagLength: PACKET_TAG_BYTES } as const;

/** The packet cipher over node:crypto, for runtimes without WebAssembly SIMD: about four times slower, and it allocates. */
export class NodePacketCipher implements PacketCipher {
  // A KeyObject: a raw key is imported anew at every call, which costs more than the packet from Node 24 on.
  #key: KeyObject | undefined;
  readonly #nonce = Buffer.alloc(12);

  /** @param key 32 bytes, copied. */
  constructor(key: Uint8Array) {
    requirePacketKey(key);
    this.#key = createSecretKey(key);
  }

  seal(memory: Uint8Array, offset: number, length: number, counter: number): void {
    requirePacketInside(memory, offset, length + PACKET_TAG_BYTES);
    const end = offset + length;
    const cipher = createCipheriv(ALGORITHM, this.#requireKey(), this.#setCounter(counter), OPTIONS);
    memory.set(cipher.update(memory.subarray(offset, end)), offset);
    cipher.final();
    memory.set(cipher.getAuthTag(), end);
  }

  open(memory: Uint8Array, offset: number, length: number, counter: number): boolean {
    requirePacketInside(memory, offset, length);
    const key = this.#requireKey();
    if (length < PACKET_TAG_BYTES) return false;
    const tagAt = offset + length - PACKET_TAG_BYTES;
    const decipher = createDecipheriv(ALGORITHM, key, this.#setCounter(counter), OPTIONS);
    decipher.setAuthTag(memory.subarray(tagAt, tagAt + PACKET_TAG_BYTES));
    const plaintext = decipher.update(memory.subarray(offset, tagAt));
    try {
      decipher.final();
    } catch {
      return false;
    }
    memory.set(plaintext, offset);
    return true;
  }

  /** Drops the key object; its bytes are out of reach and go with the garbage collection. */
  wipe(): void {
    this.#key = undefined;
  }

  #requireKey(): KeyObject {
    if (this.#key === undefined) throw wipedCipherError();
    return this.#key;
  }

  #setCounter(counter: number): Buffer {
    this.#nonce.writeUInt32LE(counter >>> 0, 4);
    this.#nonce.writeUInt32LE(Math.floor(counter / 0x1_0000_0000), 8);
    return this.#nonce;
  }
}
