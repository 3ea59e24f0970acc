/** Bytes of a ChaCha20-Poly1305 tag. */
export const PACKET_TAG_BYTES = 16;

/**
 * Checks that a packet lies inside its memory: behind a wrong offset is another packet, or a cipher's own storage.
 * @throws {RangeError} when it does not.
 */
export function requirePacketInside(memory: Uint8Array, offset: number, length: number): void {
  // Written so that NaN fails.
  if (offset >= 0 && length >= 0 && offset + length <= memory.length) return;
  throw new RangeError(`packet of ${length} bytes at ${offset} outside of its memory of ${memory.length} bytes`);
}

/** @throws {RangeError} when the key does not have 32 bytes. */
export function requirePacketKey(key: Uint8Array): void {
  if (key.length !== 32) throw new RangeError(`packet key of ${key.length} bytes, expected 32`);
}

/** What a cipher throws that is used after `wipe()`: going on would seal under a key of zeros. */
export function wipedCipherError(): TypeError {
  return new TypeError('packet cipher used after wipe()');
}
