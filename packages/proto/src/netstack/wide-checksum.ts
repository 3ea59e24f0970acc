import type { PacketArena } from '../bytes/packet-arena.ts';
import { addToChecksum } from '../ip/checksum.ts';

const IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * The Internet checksum over arena memory, four bytes at a time; `ip/checksum.ts` is the readable twin.
 *
 * The one's complement sum does not depend on byte order (RFC 1071 §2 B), so native words are summed as doubles, which
 * hold them exactly and beat splitting each in halves, and only the folded result is swapped. Packets start 4-byte aligned in a slot; any other start falls back to the twin.
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
    let even = 0;
    let odd = 0;
    for (; at < end - 3; at += 4) {
      even += (words[at] as number) + (words[at + 1] as number);
      odd += (words[at + 2] as number) + (words[at + 3] as number);
    }
    for (; at < end; at++) even += words[at] as number;
    const folded = foldWords(even + odd);
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

/** Folds a sum of at most 2^14 words of 32 bits: below 2^46, so that a double holds it exactly. */
function foldWords(sum: number): number {
  const low = sum >>> 0;
  const high = (sum - low) / 0x1_0000_0000;
  return foldChecksum((low & 0xffff) + (low >>> 16) + high);
}
