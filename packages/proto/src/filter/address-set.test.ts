import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AddressSet } from './address-set.ts';
import type { AddressRange } from './rules.ts';

/** Small numbers make overlaps and neighbours likely; `shift` moves them into the other words of an address. */
const span = fc.tuple(fc.nat({ max: 60 }), fc.nat({ max: 8 })).map(([first, size]) => ({ first, last: first + size }));

function bytesOf(value: number, lengthBytes: number, shift: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  bytes[lengthBytes - 1 - shift] = value;
  return bytes;
}

function rangeOf(family: 4 | 6, first: number, last: number, shift: number): AddressRange {
  const lengthBytes = family === 4 ? 4 : 16;
  return { family, first: bytesOf(first, lengthBytes, shift), last: bytesOf(last, lengthBytes, shift) };
}

test('has exactly the addresses of its ranges', () => {
  fc.assert(
    fc.property(
      fc.array(span, { maxLength: 12 }),
      fc.constantFrom(4 as const, 6 as const),
      fc.nat({ max: 3 }),
      (spans, family, shift) => {
        const other = family === 4 ? 6 : 4;
        const set = new AddressSet(family, [
          ...spans.map(({ first, last }) => rangeOf(family, first, last, shift)),
          rangeOf(other, 0, 255, shift),
        ]);
        for (let value = 0; value < 70; value++) {
          const bytes = bytesOf(value, family === 4 ? 4 : 16, shift);
          const view = new DataView(bytes.buffer);
          const words = Uint32Array.from({ length: 4 }, (_, i) => (4 * i < bytes.length ? view.getUint32(4 * i) : 0));
          expect(set.has(words)).toBe(spans.some(({ first, last }) => first <= value && value <= last));
        }
      },
    ),
  );
});

test('addresses above 127 compare as unsigned', () => {
  const set = new AddressSet(4, [{ family: 4, first: Uint8Array.of(100, 0, 0, 0), last: Uint8Array.of(200, 0, 0, 0) }]);
  expect(set.has(Uint32Array.of(0xc0a80001))).toBe(true);
  expect(set.has(Uint32Array.of(0xc8000001))).toBe(false);
});
