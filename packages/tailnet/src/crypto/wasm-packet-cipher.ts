import {
  PACKET_TAG_BYTES,
  requirePacketInside,
  requirePacketKey,
  wipedCipherError,
} from '@heddle/proto/crypto/packet-checks';
import type { PacketCipher } from '@heddle/proto/crypto/provider';
import { PacketCipherInstance } from './packet-cipher-instance.ts';

/** Room of the bounce instance; larger packets than any slot fit. */
const BOUNCE_BYTES = 32 * 1024;

const instances = new WeakMap<ArrayBufferLike, PacketCipherInstance>();
let bounce: PacketCipherInstance | undefined;

/** Makes memory in which {@link WasmPacketCipher} works in place. @throws {Error} as {@link PacketCipherInstance} does. */
export function createWasmMemory(lengthBytes: number): Uint8Array {
  const instance = new PacketCipherInstance(lengthBytes);
  instances.set(instance.buffer, instance);
  return new Uint8Array(instance.buffer, instance.freeOffset, lengthBytes);
}

/**
 * The data path's cipher: SIMD WebAssembly on packets that already lie in its memory ({@link createWasmMemory}).
 * Packets elsewhere, at most 32 KiB, go through a copy.
 */
export class WasmPacketCipher implements PacketCipher {
  readonly #key: Uint8Array;
  #isWiped = false;
  /** The instance used last: a node has one packet memory. */
  #instance: PacketCipherInstance | undefined;

  /** @param key 32 bytes, copied. */
  constructor(key: Uint8Array) {
    requirePacketKey(key);
    this.#key = key.slice();
  }

  seal(memory: Uint8Array, offset: number, length: number, counter: number): void {
    requirePacketInside(memory, offset, length + PACKET_TAG_BYTES);
    const instance = this.#select(memory);
    if (instance !== undefined) {
      instance.seal(memory.byteOffset + offset, length, counter);
      return;
    }
    const copy = this.#bounceIn(memory, offset, length, length + PACKET_TAG_BYTES);
    copy.instance.seal(copy.instance.freeOffset, length, counter);
    memory.set(copy.bytes, offset);
  }

  open(memory: Uint8Array, offset: number, length: number, counter: number): boolean {
    requirePacketInside(memory, offset, length);
    const instance = this.#select(memory);
    if (length < PACKET_TAG_BYTES) return false;
    if (instance !== undefined) return instance.open(memory.byteOffset + offset, length - PACKET_TAG_BYTES, counter);
    const copy = this.#bounceIn(memory, offset, length, length);
    if (!copy.instance.open(copy.instance.freeOffset, length - PACKET_TAG_BYTES, counter)) return false;
    memory.set(copy.bytes.subarray(0, length - PACKET_TAG_BYTES), offset);
    return true;
  }

  wipe(): void {
    this.#key.fill(0);
    this.#isWiped = true;
    this.#instance?.forgetKey(this);
    bounce?.forgetKey(this);
    this.#instance = undefined;
  }

  /** The instance that owns the memory, with this cipher's key loaded; `undefined` for memory from elsewhere. */
  #select(memory: Uint8Array): PacketCipherInstance | undefined {
    let instance = this.#instance;
    if (instance === undefined || instance.buffer !== memory.buffer) {
      instance = instances.get(memory.buffer);
      this.#requireKey();
      if (instance === undefined) return undefined;
      this.#instance?.forgetKey(this);
      this.#instance = instance;
    }
    instance.loadKey(this, this.#key);
    return instance;
  }

  #bounceIn(memory: Uint8Array, offset: number, length: number, lengthOut: number): BouncedPacket {
    if (lengthOut > BOUNCE_BYTES) throw new RangeError(`packet of ${length} bytes outside of packet memory`);
    bounce ??= new PacketCipherInstance(BOUNCE_BYTES);
    bounce.loadKey(this, this.#key);
    const bytes = new Uint8Array(bounce.buffer, bounce.freeOffset, lengthOut);
    bytes.set(memory.subarray(offset, offset + length));
    return { instance: bounce, bytes };
  }

  #requireKey(): void {
    if (this.#isWiped) throw wipedCipherError();
  }
}

interface BouncedPacket {
  readonly instance: PacketCipherInstance;
  readonly bytes: Uint8Array;
}
