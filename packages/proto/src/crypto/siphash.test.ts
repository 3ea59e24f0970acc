import { expect, it } from 'vitest';
import { sipHash24 } from './siphash.ts';

/** SipHash's reference vectors (vectors.h of the authors' C code) for messages of 0, 4, 8 … 60 bytes 00 01 02 … */
const EXPECTED = [
  '726fdb47dd0e0e31',
  'cf2794e0277187b7',
  '93f5f5799a932462',
  '751e8fbc860ee5fb',
  '3f2acc7f57c29bdb',
  'bed65cf21aa2ee98',
  'b8ad50c6f649af94',
  'de4daaaca71dc9a5',
  '7127512f72f27cce',
  '314dffbe0815a3b4',
  '0e3ea96b5304a7d0',
  'f935451de4f21df2',
  'e612a3cb9ecba951',
  '0a8787bf8ecb74b2',
  'b78dbfaf3a8d83bd',
  '6ca4ecb15c5f91e1',
];

function words(bytes: Uint8Array): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Int32Array.from({ length: bytes.length / 4 }, (_, i) => view.getInt32(4 * i, true));
}

it.each(EXPECTED.map((hex, i) => [4 * i, hex]))('%i bytes give the reference hash', (length, hex) => {
  const counting = Uint8Array.from({ length: 64 }, (_, i) => i);
  const out = new Int32Array(2);
  sipHash24(words(counting.subarray(0, 16)), words(counting.subarray(0, Number(length))), out);
  expect([1, 0].map((i) => ((out[i] as number) >>> 0).toString(16).padStart(8, '0')).join('')).toBe(hex);
});
