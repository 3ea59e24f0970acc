import type { PacketArena } from '../bytes/packet-arena.ts';
import { addToChecksum } from '../ip/checksum.ts';

const IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * The Internet checksum over arena memory, four bytes at a time; `ip/checksum.ts` is the readable twin.
 *
 * The one's complement sum does not depend on byte order (RFC 1071 §2 B), so native words are summed and only the
 * folded result is swapped. Packets start 4-byte aligned in a slot; any other start falls back to the twin.
 */
export class WideChecksum {
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;

  constructor(arena: PacketArena) {
    this.#bytes = arena.bytes;
    this.#words = new Uint32Array(arena.bytes.buffer, arena.bytes.byteOffset, arena.bytes.byteLength >> 2);
  }

  /** Sum of at most 64 KiB, folded to 16 bits in network order and not complemented. */
  sum(offset: number, length: number): number {
    if ((offset & 3) !== 0) return foldChecksum(addToChecksum(0, this.#bytes, offset, length));
    const words = this.#words;
    let at = offset >> 2;
    const end = at + (length >> 2);
    let low = 0;
    let high = 0;
    for (; at < end - 1; at += 2) {
      const first = words[at] as number;
      const second = words[at + 1] as number;
      low += (first & 0xffff) + (second & 0xffff);
      high += (first >>> 16) + (second >>> 16);
    }
    if (at < end) {
      const word = words[at] as number;
      low += word & 0xffff;
      high += word >>> 16;
    }
    const folded = foldChecksum((low & 0xffff) + (low >>> 16) + (high & 0xffff) + (high >>> 16));
    const sum = IS_LITTLE_ENDIAN ? ((folded & 0xff) << 8) | (folded >> 8) : folded;
    return (length & 3) === 0 ? sum : foldChecksum(sum + this.#tail(offset + (length & ~3), length & 3));
  }

  #tail(offset: number, length: number): number {
    let sum = (this.#bytes[offset] as number) << 8;
    if (length > 1) sum += this.#bytes[offset + 1] as number;
    if (length > 2) sum += (this.#bytes[offset + 2] as number) << 8;
    return sum;
  }
}

/** Adds the carries back until 16 bits remain (RFC 1071 §1). The sum must be below 2^31. */
export function foldChecksum(sum: number): number {
  let folded = (sum & 0xffff) + (sum >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}
