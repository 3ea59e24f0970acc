// Poly1305 (RFC 8439 §2.5), four blocks a step. A number modulo 2¹³⁰-5 is five limbs of 26 bits; a vector holds the same
// limb of several numbers in its 32-bit lanes.
//
// The message is cut from its end into groups of four blocks b0 b1 b2 b3 (zero blocks in front add nothing). Lanes 0 and
// 1 of the accumulator are two independent sums; one step is
//     (lane0, lane1) = ((lane0 + b0)·r⁴ + b2·r², (lane1 + b1)·r⁴ + b3·r²)
// and the last step multiplies the four by r⁴, r³, r² and r instead, after which lane0 + lane1 is the sum sought.
// Adding both products before carries are passed on halves the carries.
import { copyBytes } from './bytes';
import { ACCUMULATOR, LAST_POWERS, PAD, POWERS, STAGE, TAG } from './layout';

const LIMB_MASK: u64 = 0x3ffffff;

/** Four numbers, or the accumulator's two in lanes 0 and 1 with lanes 2 and 3 zero. */
@unmanaged
class Limbs {
  l0: v128;
  l1: v128;
  l2: v128;
  l3: v128;
  l4: v128;
}

/** Four multipliers; a limb of weight 2¹³⁰ wraps to weight 1 times 5, hence the products are kept ready. */
@unmanaged
class Multipliers extends Limbs {
  l1x5: v128;
  l2x5: v128;
  l3x5: v128;
  l4x5: v128;
}

const accumulator = changetype<Limbs>(ACCUMULATOR);
const powers = changetype<Multipliers>(POWERS);
const lastPowers = changetype<Multipliers>(LAST_POWERS);

/** Leaves at {@link TAG} the tag of `length` bytes of ciphertext without associated data. `oneTimeKey` is r then s. */
export function computeTag(oneTimeKey: usize, at: usize, length: usize): void {
  setKey(oneTimeKey);
  const blocks = (length + 15) >> 4;
  const lastBlocks = min<usize>(blocks, 3); // the fourth of the last group is the block of lengths
  const firstBlocks = (blocks - lastBlocks) & 3;
  const end = at + length;
  if (firstBlocks > 0) {
    stage(at, firstBlocks * 16, 4 - firstBlocks);
    addGroup(STAGE, 4 - firstBlocks);
    multiply(powers);
    at += firstBlocks * 16;
  }
  // Signed, because a packet may be shorter than its last group.
  for (let groups = <isize>(blocks - firstBlocks - lastBlocks) >> 2; groups > 0; groups--, at += 64) {
    addGroup(at, 0);
    multiply(powers);
  }
  stage(at, end - at, 3 - lastBlocks);
  store<u64>(STAGE, 0, 48); // length of the associated data
  store<u64>(STAGE, length, 56);
  addGroup(STAGE, 3 - lastBlocks);
  multiply(lastPowers);
  finish();
}

/** Clears the group and copies bytes into it from the given block on. */
function stage(from: usize, length: usize, firstBlock: usize): void {
  for (let i: usize = 0; i < 64; i += 16) v128.store(STAGE + i, i64x2.splat(0));
  copyBytes(STAGE + firstBlock * 16, from, length);
}

/** Adds four blocks to the accumulator, each with its high bit 2¹²⁸, except those before `firstBlock`, which are zero. */
@inline
function addGroup(at: usize, firstBlock: usize): void {
  const b0 = v128.load(at, 0);
  const b1 = v128.load(at, 16);
  const b2 = v128.load(at, 32);
  const b3 = v128.load(at, 48);
  const low01 = v128.shuffle<u32>(b0, b1, 0, 4, 1, 5);
  const low23 = v128.shuffle<u32>(b2, b3, 0, 4, 1, 5);
  const high01 = v128.shuffle<u32>(b0, b1, 2, 6, 3, 7);
  const high23 = v128.shuffle<u32>(b2, b3, 2, 6, 3, 7);
  const w0 = v128.shuffle<u64>(low01, low23, 0, 2);
  const w1 = v128.shuffle<u64>(low01, low23, 1, 3);
  const w2 = v128.shuffle<u64>(high01, high23, 0, 2);
  const w3 = v128.shuffle<u64>(high01, high23, 1, 3);
  const mask = i32x4.splat(<i32>LIMB_MASK);
  const isReal = i32x4.ge_s(i32x4(0, 1, 2, 3), i32x4.splat(<i32>firstBlock));
  const highBit = v128.and(isReal, i32x4.splat(1 << 24));
  const h = accumulator;
  h.l0 = i32x4.add(h.l0, v128.and(w0, mask));
  h.l1 = i32x4.add(h.l1, v128.and(v128.or(i32x4.shr_u(w0, 26), i32x4.shl(w1, 6)), mask));
  h.l2 = i32x4.add(h.l2, v128.and(v128.or(i32x4.shr_u(w1, 20), i32x4.shl(w2, 12)), mask));
  h.l3 = i32x4.add(h.l3, v128.and(v128.or(i32x4.shr_u(w2, 14), i32x4.shl(w3, 18)), mask));
  h.l4 = i32x4.add(h.l4, v128.or(i32x4.shr_u(w3, 8), highBit));
}

/** accumulator lane i = lane i · multiplier lane i + lane i+2 · multiplier lane i+2 (i = 0, 1), limbs below 2²⁷ again. */
@inline
function multiply(by: Multipliers): void {
  const h = accumulator;
  const h0 = h.l0, h1 = h.l1, h2 = h.l2, h3 = h.l3, h4 = h.l4;
  // Ten products of a number below 2²⁸ and one below 2²⁹: each sum stays below 2⁶¹.
  let d0 = sumOfProducts(h0, by.l0, h1, by.l4x5, h2, by.l3x5, h3, by.l2x5, h4, by.l1x5);
  let d1 = sumOfProducts(h0, by.l1, h1, by.l0, h2, by.l4x5, h3, by.l3x5, h4, by.l2x5);
  let d2 = sumOfProducts(h0, by.l2, h1, by.l1, h2, by.l0, h3, by.l4x5, h4, by.l3x5);
  let d3 = sumOfProducts(h0, by.l3, h1, by.l2, h2, by.l1, h3, by.l0, h4, by.l4x5);
  let d4 = sumOfProducts(h0, by.l4, h1, by.l3, h2, by.l2, h3, by.l1, h4, by.l0);

  // Two carry chains side by side, 0→1→2→3→4 and 3→4→0→1: shorter than one chain, and enough.
  const mask = i64x2.splat(LIMB_MASK);
  let carry = i64x2.shr_u(d0, 26), carry3 = i64x2.shr_u(d3, 26);
  d0 = v128.and(d0, mask); d1 = i64x2.add(d1, carry);
  d3 = v128.and(d3, mask); d4 = i64x2.add(d4, carry3);
  carry = i64x2.shr_u(d1, 26); carry3 = i64x2.shr_u(d4, 26);
  d1 = v128.and(d1, mask); d2 = i64x2.add(d2, carry);
  d4 = v128.and(d4, mask); d0 = i64x2.add(d0, i64x2.add(carry3, i64x2.shl(carry3, 2)));
  carry = i64x2.shr_u(d2, 26); carry3 = i64x2.shr_u(d0, 26);
  d2 = v128.and(d2, mask); d3 = i64x2.add(d3, carry);
  d0 = v128.and(d0, mask); d1 = i64x2.add(d1, carry3);
  carry = i64x2.shr_u(d3, 26);
  d3 = v128.and(d3, mask); d4 = i64x2.add(d4, carry);

  h.l0 = narrow(d0);
  h.l1 = narrow(d1);
  h.l2 = narrow(d2);
  h.l3 = narrow(d3);
  h.l4 = narrow(d4);
}

@inline
function sumOfProducts(
  a: v128, b: v128, c: v128, d: v128, e: v128, f: v128, g: v128, h: v128, i: v128, j: v128,
): v128 {
  const first = i64x2.add(lanesProduct(a, b), lanesProduct(c, d));
  const second = i64x2.add(lanesProduct(e, f), lanesProduct(g, h));
  return i64x2.add(i64x2.add(first, second), lanesProduct(i, j));
}

/** 64-bit lane i = lane i of a · lane i of b + lane i+2 of a · lane i+2 of b. */
@inline
function lanesProduct(a: v128, b: v128): v128 {
  return i64x2.add(i64x2.extmul_low_i32x4_u(a, b), i64x2.extmul_high_i32x4_u(a, b));
}

/** The two 64-bit lanes as 32-bit lanes 0 and 1, lanes 2 and 3 zero. */
@inline
function narrow(x: v128): v128 {
  return v128.shuffle<u32>(x, i64x2.splat(0), 0, 2, 4, 4);
}

/** Clears the accumulator and prepares the powers of r. */
function setKey(oneTimeKey: usize): void {
  const low = load<u64>(oneTimeKey) & 0x0ffffffc0fffffff; // RFC 8439 §2.5.1: r is clamped
  const high = load<u64>(oneTimeKey, 8) & 0x0ffffffc0ffffffc;
  store<u64>(PAD, load<u64>(oneTimeKey, 16));
  store<u64>(PAD, load<u64>(oneTimeKey, 24), 8);

  const r = accumulator;
  r.l0 = numberPair(low);
  r.l1 = numberPair(low >> 26);
  r.l2 = numberPair((low >> 52) | (high << 12));
  r.l3 = numberPair(high >> 14);
  r.l4 = numberPair(high >> 40);
  // powers := (r, r, 0, 0); the accumulator becomes (r², r², 0, 0)
  const r0 = r.l0, r1 = r.l1, r2 = r.l2, r3 = r.l3, r4 = r.l4;
  setMultipliers(powers, r0, r1, r2, r3, r4);
  multiply(powers);
  // powers := (r², r, 0, 0); the accumulator becomes (r⁴, r³, 0, 0)
  const q0 = r.l0, q1 = r.l1, q2 = r.l2, q3 = r.l3, q4 = r.l4;
  setMultipliers(powers, mix(q0, r0), mix(q1, r1), mix(q2, r2), mix(q3, r3), mix(q4, r4));
  multiply(powers);
  const p0 = r.l0, p1 = r.l1, p2 = r.l2, p3 = r.l3, p4 = r.l4;
  setMultipliers(
    lastPowers,
    join(p0, powers.l0), join(p1, powers.l1), join(p2, powers.l2), join(p3, powers.l3), join(p4, powers.l4),
  );
  setMultipliers(powers, spread(p0, q0), spread(p1, q1), spread(p2, q2), spread(p3, q3), spread(p4, q4));
  const zero = i64x2.splat(0);
  r.l0 = zero; r.l1 = zero; r.l2 = zero; r.l3 = zero; r.l4 = zero;
}

function setMultipliers(m: Multipliers, l0: v128, l1: v128, l2: v128, l3: v128, l4: v128): void {
  m.l0 = l0; m.l1 = l1; m.l2 = l2; m.l3 = l3; m.l4 = l4;
  m.l1x5 = timesFive(l1); m.l2x5 = timesFive(l2); m.l3x5 = timesFive(l3); m.l4x5 = timesFive(l4);
}

@inline
function timesFive(x: v128): v128 {
  return i32x4.add(x, i32x4.shl(x, 2));
}

/** One limb in lanes 0 and 1. */
@inline
function numberPair(limb: u64): v128 {
  const word = <i32>(limb & LIMB_MASK);
  return i32x4.replace_lane(i32x4.replace_lane(i64x2.splat(0), 0, word), 1, word);
}

/** (a0, b0, 0, 0) of two pairs. */
@inline
function mix(a: v128, b: v128): v128 {
  return v128.shuffle<u32>(a, b, 0, 4, 2, 2);
}

/** (a0, a1, b0, b1). */
@inline
function join(a: v128, b: v128): v128 {
  return v128.shuffle<u32>(a, b, 0, 1, 4, 5);
}

/** (a0, a0, b0, b0). */
@inline
function spread(a: v128, b: v128): v128 {
  return v128.shuffle<u32>(a, b, 0, 0, 4, 4);
}

/** Adds the lanes, reduces modulo 2¹³⁰-5 and adds s modulo 2¹²⁸, without a branch. */
function finish(): void {
  const h = accumulator;
  let h0 = laneSum(h.l0), h1 = laneSum(h.l1), h2 = laneSum(h.l2), h3 = laneSum(h.l3), h4 = laneSum(h.l4);
  // Twice round: the first pass may leave a carry in limb 0, the second cannot.
  for (let pass = 0; pass < 2; pass++) {
    h1 += h0 >> 26; h0 &= LIMB_MASK;
    h2 += h1 >> 26; h1 &= LIMB_MASK;
    h3 += h2 >> 26; h2 &= LIMB_MASK;
    h4 += h3 >> 26; h3 &= LIMB_MASK;
    h0 += (h4 >> 26) * 5; h4 &= LIMB_MASK;
  }

  let low = h0 + (h1 << 26) + (h2 << 52);
  let high = (h2 >> 12) + (h3 << 14) + (h4 << 40);
  const top = h4 >> 24;
  // h + 5 reaches 2¹³⁰ exactly when h ≥ 2¹³⁰-5; then the low 128 bits of h + 5 are the remainder's.
  const lowPlus5 = low + 5;
  const highPlus5 = high + u64(lowPlus5 < 5);
  const isOver = (top + u64(highPlus5 < high)) >> 2;
  const choose: u64 = 0 - isOver;
  low = (low & ~choose) | (lowPlus5 & choose);
  high = (high & ~choose) | (highPlus5 & choose);

  const tagLow = low + load<u64>(PAD);
  store<u64>(TAG, tagLow);
  store<u64>(TAG, high + load<u64>(PAD, 8) + u64(tagLow < low), 8);
}

@inline
function laneSum(x: v128): u64 {
  return <u64>i32x4.extract_lane(x, 0) + <u64>i32x4.extract_lane(x, 1);
}
