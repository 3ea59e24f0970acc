import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAddress } from '../netlink/ip-text.ts';
import { canonicalAddress, formatNetmask, formatNetwork, netmaskBits, parseAddress } from './address-text.ts';

const anyAddress = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  fc.array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 }).map((bytes) => Uint8Array.from(bytes)),
);

describe('addresses', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['FE80:0:0:0:0:0:0:1', 'fe80::1'],
    ['::', '::'],
    ['1::', '1::'],
    ['2001:db8::a:0:0:1', '2001:db8::a:0:0:1'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
  ])('are written in one way: %s', (text, canonical) => {
    expect(canonicalAddress(text)).toBe(canonical);
  });

  it.each([
    '',
    '10.1',
    '10.0.0.01',
    '10.0.0.256',
    '0x0a000001',
    'fe80::1%lo0',
    '1::2::3',
    '10.0.0.1/24',
    ' ::1',
    'lo0',
  ])('are not "%s"', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  it('are read as they are written', () => {
    fc.assert(
      fc.property(anyAddress, (bytes) => {
        expect(parseAddress(formatAddress(bytes) ?? '')).toEqual(bytes);
      }),
    );
  });

  it('never make it throw', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f:.%/]{0,45}$/)), (text) => {
        expect(parseAddress(text) !== undefined).toBe(isIP(text) !== 0 && !text.includes('%'));
      }),
    );
  });
});

describe('networks', () => {
  it.each([
    ['10.1.2.3', 24, '10.1.2.0/24'],
    ['10.1.2.3', 0, '0.0.0.0/0'],
    ['203.153.211.9', 23, '203.153.210.0/23'],
    ['fd00::ffff', 126, 'fd00::fffc/126'],
    ['fd00::1', 128, 'fd00::1/128'],
  ])('of %s with %i bits is %s', (text, bits, network) => {
    expect(formatNetwork(parseAddress(text) as Uint8Array, bits)).toBe(network);
  });

  it.each([-1, 33, 1.5, Number.NaN])('have no %d bits', (bits) => {
    expect(formatNetwork(Uint8Array.of(10, 0, 0, 1), bits)).toBeUndefined();
    expect(() => formatNetmask(bits)).toThrow(RangeError);
  });

  it('have netmasks whose bits can be counted', () => {
    for (let bits = 0; bits <= 32; bits++) {
      const [a = 0, b = 0, c = 0, d = 0] = formatNetmask(bits).split('.').map(Number);
      expect(netmaskBits(a * 0x1000000 + b * 0x10000 + c * 0x100 + d)).toBe(bits);
    }
    expect(formatNetmask(20)).toBe('255.255.240.0');
  });

  it.each([0x00ffffff, 0xff00ff00, 1, 0xfffffffd])('have no netmask with a gap: %i', (mask) => {
    expect(netmaskBits(mask)).toBeUndefined();
  });
});
