import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAddress } from './ip-text.ts';

describe('address text', () => {
  it.each([
    ['7f000001', '127.0.0.1'],
    ['00000000', '0.0.0.0'],
    ['00000000000000000000000000000000', '::'],
    ['00000000000000000000000000000001', '::1'],
    ['fd7a115ca1e000000000000000000001', 'fd7a:115c:a1e0::1'],
    ['20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
    ['20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
    ['fe800000000000000000000000000000', 'fe80::'],
    ['00000000000000000000ffff0a010203', '::ffff:10.1.2.3'],
  ])('of %s is %s', (bytes, text) => {
    expect(formatAddress(Buffer.from(bytes, 'hex'))).toBe(text);
  });

  it('is what the URL parser makes of the same groups', () => {
    const group = fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 0xffff }));
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        fc.pre(!(groups.slice(0, 5).every((word) => word === 0) && groups[5] === 0xffff));
        const bytes = Uint8Array.from(groups.flatMap((word) => [word >> 8, word & 0xff]));
        const long = groups.map((word) => word.toString(16)).join(':');
        expect(`[${formatAddress(bytes)}]`).toBe(new URL(`http://[${long}]`).hostname);
      }),
    );
  });

  it('does not exist for another number of bytes', () => {
    for (const length of [0, 3, 5, 15, 17]) expect(formatAddress(new Uint8Array(length))).toBeUndefined();
  });
});
