// The first 4 KiB of the module's memory are its working storage; everything behind them is the caller's.
//
//    at    bytes  what
//     0       32  key, written by the caller
//    64      256  keystream of the first four blocks
//   320      256  keystream of the last blocks
//   576      256  zeros, never written: the input that turns the xor kernel into a keystream generator
//   832       64  four staged Poly1305 blocks
//   896       16  the computed tag
//   912       16  s, the second half of the Poly1305 key
//   960       80  Poly1305 accumulator, five vectors
//  1088      144  multipliers (r⁴, r⁴, r², r²): five limb vectors, then limbs 1 to 4 times five
//  1280      144  multipliers (r⁴, r³, r², r)

export const KEY: usize = 0;
export const FIRST_STREAM: usize = 64;
export const LAST_STREAM: usize = 320;
export const ZEROS: usize = 576;
export const STAGE: usize = 832;
export const TAG: usize = 896;
export const PAD: usize = 912;
export const ACCUMULATOR: usize = 960;
export const POWERS: usize = 1088;
export const LAST_POWERS: usize = 1280;

/** Offset of the first byte that belongs to the caller. */
export const FREE: usize = 4096;
