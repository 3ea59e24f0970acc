import { hsalsa } from '@noble/ciphers/salsa.js';

/** "expand 32-byte k" as four little-endian words. */
const SIGMA = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);

/** The key of a NaCl box from its X25519 shared secret: HSalsa20(secret, 0¹⁶). The secret is overwritten. */
export function deriveBoxKey(secret: Uint8Array): Uint8Array {
  const words = new Uint32Array(secret.slice().buffer);
  const derived = new Uint32Array(8);
  hsalsa(SIGMA, words, new Uint32Array(4), derived);
  words.fill(0);
  secret.fill(0);
  return new Uint8Array(derived.buffer);
}
