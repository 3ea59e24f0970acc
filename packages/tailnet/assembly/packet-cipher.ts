// ChaCha20-Poly1305 (RFC 8439 §2.8) in place over packets in this module's memory, for the data path: WireGuard's nonce
// (4 zero bytes, then a 64-bit counter), no associated data. The caller has written the key at KEY_OFFSET and has
// checked that the packet lies behind FREE_OFFSET and inside the memory.
import { xorBytes } from './bytes';
import { xorFourBlocks } from './chacha20';
import { FIRST_STREAM, FREE, KEY, LAST_STREAM, TAG, ZEROS } from './layout';
import { computeTag } from './poly1305';

export const KEY_OFFSET: i32 = <i32>KEY;
export const FREE_OFFSET: i32 = <i32>FREE;

// The Poly1305 half alone, for a test: keys do not reach its corner cases.
export const TAG_OFFSET: i32 = <i32>TAG;
export { computeTag };

/** Block 0 of the keystream is the Poly1305 key; blocks 1 to 3 encrypt the first bytes. */
const FIRST_BYTES: usize = 192;
const STEP_BYTES: usize = 256;

/** Encrypts `length` bytes and writes the tag behind them. */
export function seal(at: usize, length: usize, counterLow: u32, counterHigh: u32): void {
  xorFourBlocks(0, counterLow, counterHigh, ZEROS, FIRST_STREAM);
  crypt(at, length, counterLow, counterHigh);
  computeTag(FIRST_STREAM, at, length);
  v128.store(at + length, v128.load(TAG));
}

/** Checks the tag behind `length` bytes of ciphertext, and only then decrypts them. 0 when it does not match. */
export function open(at: usize, length: usize, counterLow: u32, counterHigh: u32): i32 {
  xorFourBlocks(0, counterLow, counterHigh, ZEROS, FIRST_STREAM);
  computeTag(FIRST_STREAM, at, length);
  const tag = at + length;
  const difference = (load<u64>(TAG) ^ load<u64>(tag)) | (load<u64>(TAG, 8) ^ load<u64>(tag, 8));
  if (difference != 0) return 0;
  crypt(at, length, counterLow, counterHigh);
  return 1;
}

/** Xors the packet with the keystream from block 1 on; the first four blocks are at FIRST_STREAM and stay there. */
function crypt(at: usize, length: usize, counterLow: u32, counterHigh: u32): void {
  const first = min(length, FIRST_BYTES);
  xorBytes(at, FIRST_STREAM + 64, first);
  const end = at + length;
  at += first;
  let block: u32 = 4;
  for (; at + STEP_BYTES <= end; at += STEP_BYTES, block += 4) {
    xorFourBlocks(block, counterLow, counterHigh, at, at);
  }
  if (at < end) {
    xorFourBlocks(block, counterLow, counterHigh, ZEROS, LAST_STREAM);
    xorBytes(at, LAST_STREAM, end - at);
  }
}
