import fc from 'fast-check';
import { expect, test } from 'vitest';
import vectors from '../../test/vectors/dns/hostnames.json' with { type: 'json' };
import { sanitizeHostname } from './hostname.ts';

test.each(vectors.names)('sanitises "$in" as the reference does', (name) => {
  expect(sanitizeHostname(name.in)).toBe(name.sanitizeHostname);
});

test('any text becomes a label or nothing', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      expect(sanitizeHostname(text)).toMatch(/^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$/);
    }),
  );
});
