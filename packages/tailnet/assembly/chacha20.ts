// ChaCha20 (RFC 8439 §2.3), four blocks at a time: each of the sixteen state words is a vector whose lanes are the same
// word of four consecutive blocks, so a quarter round reads as the scalar one. It is written out because AssemblyScript
// has no cheap function with four results; the order of the eight does not change the speed.
import { KEY } from './layout';

const SIGMA_0: i32 = 0x61707865; // "expand 32-byte k"
const SIGMA_1: i32 = 0x3320646e;
const SIGMA_2: i32 = 0x79622d32;
const SIGMA_3: i32 = 0x6b206574;

/**
 * Writes `from ^ keystream` of the blocks `block … block+3` (256 bytes) to `to`, which may be `from`.
 * The nonce is 4 zero bytes, then the two words.
 */
export function xorFourBlocks(block: u32, nonceLow: u32, nonceHigh: u32, from: usize, to: usize): void {
  const k4 = v128.load_splat<u32>(KEY, 0);
  const k5 = v128.load_splat<u32>(KEY, 4);
  const k6 = v128.load_splat<u32>(KEY, 8);
  const k7 = v128.load_splat<u32>(KEY, 12);
  const k8 = v128.load_splat<u32>(KEY, 16);
  const k9 = v128.load_splat<u32>(KEY, 20);
  const k10 = v128.load_splat<u32>(KEY, 24);
  const k11 = v128.load_splat<u32>(KEY, 28);
  const blocks = i32x4.add(i32x4.splat(block), i32x4(0, 1, 2, 3));

  let x0 = i32x4.splat(SIGMA_0), x1 = i32x4.splat(SIGMA_1), x2 = i32x4.splat(SIGMA_2), x3 = i32x4.splat(SIGMA_3);
  let x4 = k4, x5 = k5, x6 = k6, x7 = k7, x8 = k8, x9 = k9, x10 = k10, x11 = k11;
  let x12 = blocks, x13 = i32x4.splat(0), x14 = i32x4.splat(nonceLow), x15 = i32x4.splat(nonceHigh);
  for (let i = 0; i < 10; i++) {
    // column 0, 4, 8, 12
    x0 = i32x4.add(x0, x4); x12 = rotate16(v128.xor(x12, x0));
    x8 = i32x4.add(x8, x12); x4 = rotate12(v128.xor(x4, x8));
    x0 = i32x4.add(x0, x4); x12 = rotate8(v128.xor(x12, x0));
    x8 = i32x4.add(x8, x12); x4 = rotate7(v128.xor(x4, x8));
    // column 1, 5, 9, 13
    x1 = i32x4.add(x1, x5); x13 = rotate16(v128.xor(x13, x1));
    x9 = i32x4.add(x9, x13); x5 = rotate12(v128.xor(x5, x9));
    x1 = i32x4.add(x1, x5); x13 = rotate8(v128.xor(x13, x1));
    x9 = i32x4.add(x9, x13); x5 = rotate7(v128.xor(x5, x9));
    // column 2, 6, 10, 14
    x2 = i32x4.add(x2, x6); x14 = rotate16(v128.xor(x14, x2));
    x10 = i32x4.add(x10, x14); x6 = rotate12(v128.xor(x6, x10));
    x2 = i32x4.add(x2, x6); x14 = rotate8(v128.xor(x14, x2));
    x10 = i32x4.add(x10, x14); x6 = rotate7(v128.xor(x6, x10));
    // column 3, 7, 11, 15
    x3 = i32x4.add(x3, x7); x15 = rotate16(v128.xor(x15, x3));
    x11 = i32x4.add(x11, x15); x7 = rotate12(v128.xor(x7, x11));
    x3 = i32x4.add(x3, x7); x15 = rotate8(v128.xor(x15, x3));
    x11 = i32x4.add(x11, x15); x7 = rotate7(v128.xor(x7, x11));
    // diagonal 0, 5, 10, 15
    x0 = i32x4.add(x0, x5); x15 = rotate16(v128.xor(x15, x0));
    x10 = i32x4.add(x10, x15); x5 = rotate12(v128.xor(x5, x10));
    x0 = i32x4.add(x0, x5); x15 = rotate8(v128.xor(x15, x0));
    x10 = i32x4.add(x10, x15); x5 = rotate7(v128.xor(x5, x10));
    // diagonal 1, 6, 11, 12
    x1 = i32x4.add(x1, x6); x12 = rotate16(v128.xor(x12, x1));
    x11 = i32x4.add(x11, x12); x6 = rotate12(v128.xor(x6, x11));
    x1 = i32x4.add(x1, x6); x12 = rotate8(v128.xor(x12, x1));
    x11 = i32x4.add(x11, x12); x6 = rotate7(v128.xor(x6, x11));
    // diagonal 2, 7, 8, 13
    x2 = i32x4.add(x2, x7); x13 = rotate16(v128.xor(x13, x2));
    x8 = i32x4.add(x8, x13); x7 = rotate12(v128.xor(x7, x8));
    x2 = i32x4.add(x2, x7); x13 = rotate8(v128.xor(x13, x2));
    x8 = i32x4.add(x8, x13); x7 = rotate7(v128.xor(x7, x8));
    // diagonal 3, 4, 9, 14
    x3 = i32x4.add(x3, x4); x14 = rotate16(v128.xor(x14, x3));
    x9 = i32x4.add(x9, x14); x4 = rotate12(v128.xor(x4, x9));
    x3 = i32x4.add(x3, x4); x14 = rotate8(v128.xor(x14, x3));
    x9 = i32x4.add(x9, x14); x4 = rotate7(v128.xor(x4, x9));
  }

  x0 = i32x4.add(x0, i32x4.splat(SIGMA_0)); x1 = i32x4.add(x1, i32x4.splat(SIGMA_1));
  x2 = i32x4.add(x2, i32x4.splat(SIGMA_2)); x3 = i32x4.add(x3, i32x4.splat(SIGMA_3));
  xorTransposed(x0, x1, x2, x3, from, to);
  xorTransposed(i32x4.add(x4, k4), i32x4.add(x5, k5), i32x4.add(x6, k6), i32x4.add(x7, k7), from + 16, to + 16);
  xorTransposed(i32x4.add(x8, k8), i32x4.add(x9, k9), i32x4.add(x10, k10), i32x4.add(x11, k11), from + 32, to + 32);
  x12 = i32x4.add(x12, blocks); // word 13 of the initial state is zero
  x14 = i32x4.add(x14, i32x4.splat(nonceLow)); x15 = i32x4.add(x15, i32x4.splat(nonceHigh));
  xorTransposed(x12, x13, x14, x15, from + 48, to + 48);
}

/** Turns four words of four blocks into 16 contiguous bytes of each block, 64 bytes apart, and xors them in. */
@inline
function xorTransposed(a: v128, b: v128, c: v128, d: v128, from: usize, to: usize): void {
  const ab01 = v128.shuffle<u32>(a, b, 0, 4, 1, 5);
  const cd01 = v128.shuffle<u32>(c, d, 0, 4, 1, 5);
  const ab23 = v128.shuffle<u32>(a, b, 2, 6, 3, 7);
  const cd23 = v128.shuffle<u32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.xor(v128.shuffle<u64>(ab01, cd01, 0, 2), v128.load(from)), 0);
  v128.store(to, v128.xor(v128.shuffle<u64>(ab01, cd01, 1, 3), v128.load(from, 64)), 64);
  v128.store(to, v128.xor(v128.shuffle<u64>(ab23, cd23, 0, 2), v128.load(from, 128)), 128);
  v128.store(to, v128.xor(v128.shuffle<u64>(ab23, cd23, 1, 3), v128.load(from, 192)), 192);
}

// Rotations by whole bytes are one shuffle.
@inline
function rotate16(x: v128): v128 {
  return v128.shuffle<u8>(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
}

@inline
function rotate12(x: v128): v128 {
  return v128.or(i32x4.shl(x, 12), i32x4.shr_u(x, 20));
}

@inline
function rotate8(x: v128): v128 {
  return v128.shuffle<u8>(x, x, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
}

@inline
function rotate7(x: v128): v128 {
  return v128.or(i32x4.shl(x, 7), i32x4.shr_u(x, 25));
}
