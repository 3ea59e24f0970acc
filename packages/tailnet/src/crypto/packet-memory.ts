import { PACKET_SLOT_BYTES } from '@heddle/proto/bytes/packet-arena';
import { packetCipherBackend } from './packet-cipher-backend.ts';

/** 256 MiB: far above what a node needs, far below what a WebAssembly memory may have. */
const SLOT_COUNT_MAX = 131_072;

/**
 * Makes the zeroed memory of a `PacketArena` with that many slots, 8-byte aligned, in which packet ciphers work without
 * copies. Its size is fixed; the pages cost nothing until a slot is used.
 * @throws {RangeError} when the slot count is not an integer from 1 to 131,072, or the memory is refused.
 */
export function createPacketMemory(slotCount: number): Uint8Array {
  if (!Number.isInteger(slotCount) || slotCount < 1 || slotCount > SLOT_COUNT_MAX) {
    throw new RangeError(`packet slot count ${slotCount}, expected 1 to ${SLOT_COUNT_MAX}`);
  }
  return packetCipherBackend().createMemory(slotCount * PACKET_SLOT_BYTES);
}
