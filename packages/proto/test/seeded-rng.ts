import type { Rng } from '../src/crypto/provider.ts';

/** A deterministic {@link Rng} (Chris Doty-Humphrey's sfc32) for tests: the same seed gives the same bytes. Not secure. */
export function seededRng(seed: number): Rng {
  let a = 0x9e3779b9 | 0;
  let b = seed | 0;
  let c = Math.floor(seed / 0x1_0000_0000) | 0;
  let counter = 1;
  const next = (): number => {
    const word = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + word) | 0;
    return word;
  };
  for (let i = 0; i < 15; i++) next();
  return {
    fill(bytes) {
      for (let i = 0; i < bytes.length; i += 4) {
        const word = next();
        const end = Math.min(4, bytes.length - i);
        for (let k = 0; k < end; k++) bytes[i + k] = word >>> (8 * k);
      }
    },
  };
}
