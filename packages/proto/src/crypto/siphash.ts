// SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash of short messages, 64 bits, for tables and sequence numbers
// that an outsider must not predict. Not for anything that is sent as a proof: 64 bits are few.
//
// JavaScript has no 64-bit integer that is fast: each lane is two signed 32-bit halves. A message is 32-bit words, read
// as little-endian bytes, so its length is a multiple of four bytes.

/** Halves of the four lanes, low before high. One run at a time, so one set is enough. */
const lanes: Int32Array = new Int32Array(8);

/**
 * Hashes `message` into `out`: `out[0]` the low 32 bits, `out[1]` the high ones.
 * @param key Four words: k0 low, k0 high, k1 low, k1 high.
 */
export function sipHash24(key: Int32Array, message: Int32Array, out: Int32Array): void {
  const [k0Low, k0High, k1Low, k1High] = key as unknown as readonly [number, number, number, number];
  lanes[0] = k0Low ^ 0x70736575;
  lanes[1] = k0High ^ 0x736f6d65;
  lanes[2] = k1Low ^ 0x6e646f6d;
  lanes[3] = k1High ^ 0x646f7261;
  lanes[4] = k0Low ^ 0x6e657261;
  lanes[5] = k0High ^ 0x6c796765;
  lanes[6] = k1Low ^ 0x79746573;
  lanes[7] = k1High ^ 0x74656462;
  const pairs = message.length & ~1;
  for (let i = 0; i < pairs; i += 2) absorb(message[i] as number, message[i + 1] as number);
  // The last block: the odd word if there is one, and the length in bytes in the highest byte.
  absorb(pairs < message.length ? (message[pairs] as number) : 0, (message.length * 4) << 24);
  lanes[4] = (lanes[4] as number) ^ 0xff;
  for (let i = 0; i < 4; i++) round();
  out[0] = (lanes[0] as number) ^ (lanes[2] as number) ^ (lanes[4] as number) ^ (lanes[6] as number);
  out[1] = (lanes[1] as number) ^ (lanes[3] as number) ^ (lanes[5] as number) ^ (lanes[7] as number);
}

function absorb(low: number, high: number): void {
  lanes[6] = (lanes[6] as number) ^ low;
  lanes[7] = (lanes[7] as number) ^ high;
  round();
  round();
  lanes[0] = (lanes[0] as number) ^ low;
  lanes[1] = (lanes[1] as number) ^ high;
}

function round(): void {
  addAndMix(0, 2, 13);
  swapHalves(0);
  addAndMix(4, 6, 16);
  addAndMix(0, 6, 21);
  addAndMix(4, 2, 17);
  swapHalves(4);
}

/** Lane a += lane b; then lane b = rotate(lane b, bits) ^ lane a. Lanes by the index of their low half. */
function addAndMix(a: number, b: number, bits: number): void {
  const bLow = lanes[b] as number;
  const bHigh = lanes[b + 1] as number;
  const low = ((lanes[a] as number) + bLow) | 0;
  const carry = low >>> 0 < bLow >>> 0 ? 1 : 0;
  const high = ((lanes[a + 1] as number) + bHigh + carry) | 0;
  lanes[a] = low;
  lanes[a + 1] = high;
  lanes[b] = ((bLow << bits) | (bHigh >>> (32 - bits))) ^ low;
  lanes[b + 1] = ((bHigh << bits) | (bLow >>> (32 - bits))) ^ high;
}

/** Rotates a lane by 32. */
function swapHalves(a: number): void {
  const low = lanes[a] as number;
  lanes[a] = lanes[a + 1] as number;
  lanes[a + 1] = low;
}
