import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAddress, parseAddress, parsePrefix } from './ip-text.ts';

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

describe('an address to be read', () => {
  it('gives the bytes that are written as it', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    );
    fc.assert(
      fc.property(bytes, (address) => {
        expect(parseAddress(formatAddress(address)!)).toEqual(address);
      }),
    );
  });

  it('of IPv6 may have zeros anywhere', () => {
    const group = fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 0xffff }));
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const bytes = Uint8Array.from(groups.flatMap((word) => [word >> 8, word & 0xff]));
        expect(parseAddress(groups.map((word) => word.toString(16).padStart(4, '0')).join(':'))).toEqual(bytes);
        expect(parseAddress(formatAddress(bytes)!.toUpperCase())).toEqual(bytes);
      }),
    );
  });

  it.each([
    ['::', '00000000000000000000000000000000'],
    ['1::', '00010000000000000000000000000000'],
    ['::1:2', '00000000000000000000000000010002'],
    ['64:ff9b::10.1.2.3', '0064ff9b00000000000000000a010203'],
    ['1:2:3:4:5:6:10.1.2.3', '0001000200030004000500060a010203'],
    ['1:2:3:4:5:6:7::', '00010002000300040005000600070000'],
  ])('as %s has the bytes %s', (text, bytes) => {
    expect(Buffer.from(parseAddress(text)!).toString('hex')).toBe(bytes);
  });

  it.each([
    '',
    '10.1.2',
    '10.1.2.256',
    '10.01.2.3',
    '0x0a.1.2.3',
    '167838211',
    ' 10.1.2.3',
    '10.1.2.3/24',
    'fe80::1%eth0',
    'fe80::1%',
    '1::2::3',
    '1:2:3:4:5:6:7:8:9',
    ':1',
    '12345::',
    '[::1]',
    'localhost',
  ])('is none as "%s"', (text) => {
    expect(parseAddress(text)).toBeUndefined();
    expect(parsePrefix(`${text}/8`)).toBeUndefined();
  });
});

describe('a prefix to be read', () => {
  it.each([
    ['0.0.0.0/0', '00000000', 0],
    ['10.1.0.0/24', '0a010000', 24],
    ['10.1.0.8/29', '0a010008', 29],
    ['10.1.0.9/32', '0a010009', 32],
    ['::/0', '00000000000000000000000000000000', 0],
    ['fd00:1::/33', 'fd000001000000000000000000000000', 33],
    ['::1/128', '00000000000000000000000000000001', 128],
  ])('as %s has an address and a length', (text, address, bits) => {
    expect(parsePrefix(text)).toEqual({ address: Uint8Array.from(Buffer.from(address, 'hex')), bits });
  });

  it.each([
    '10.1.0.1/24',
    '10.1.0.8/28',
    '128.0.0.0/0',
    'fd00::1/127',
    'fd00:0:8000::/32',
    '10.1.0.0',
    '10.1.0.0/33',
    '10.1.0.0/-1',
    '10.1.0.0/024',
    '10.1.0.0/',
    '10.1.0.0/8/8',
    '::/129',
    '10.1.0.0/2e1',
  ])('is none as "%s"', (text) => {
    expect(parsePrefix(text)).toBeUndefined();
  });
});
