import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeIfreq, encodeIfreq, IFREQ_BYTES } from './ifreq.ts';

// What Linux 6.18 wrote for TUNGETIFF on a persistent device: IFF_TUN 1, IFF_PERSIST 0x800, IFF_NO_PI 0x1000.
const NEB7 = `6e656237${'00'.repeat(12)}0118${'00'.repeat(22)}`;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const names = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.-]{0,14}$/);

describe('ifreq', () => {
  it('is the bytes that a kernel writes', () => {
    expect(hex(encodeIfreq({ name: 'neb7', flags: 0x1801 }))).toBe(NEB7);
    expect(decodeIfreq(Buffer.from(NEB7, 'hex'))).toEqual({ name: 'neb7', flags: 0x1801 });
  });

  it('comes back as it went in', () => {
    fc.assert(
      fc.property(names, fc.integer({ min: 0, max: 0xffff }), (name, flags) => {
        const bytes = encodeIfreq({ name, flags });
        expect(bytes).toHaveLength(IFREQ_BYTES);
        expect(decodeIfreq(bytes)).toEqual({ name, flags });
      }),
    );
  });

  it.each(['', '.', '..', 'a b', 'tun%d', 'a/b', 'a:b', 'a\0b', 'a\n', 'näme', 'x'.repeat(16)])(
    'refuses the name %j',
    (name) => {
      expect(() => encodeIfreq({ name, flags: 1 })).toThrow(TypeError);
    },
  );

  it.each([-1, 0x10000, 1.5, Number.NaN])('refuses the flags %d', (flags) => {
    expect(() => encodeIfreq({ name: 'tun0', flags })).toThrow(RangeError);
  });

  it('is short at every other length', () => {
    const bytes = encodeIfreq({ name: 'tun0', flags: 1 });
    for (let length = 0; length < IFREQ_BYTES; length++) expect(decodeIfreq(bytes.subarray(0, length))).toBe('short');
  });

  it('has no name that is empty, without an end, or not UTF-8', () => {
    const bytes = new Uint8Array(IFREQ_BYTES);
    expect(decodeIfreq(bytes)).toBe('bad-name');
    expect(decodeIfreq(bytes.fill(0x61))).toBe('bad-name');
    expect(decodeIfreq(bytes.fill(0).fill(0xff, 0, 3))).toBe('bad-name');
  });

  it('is decoded from any bytes without an exception', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 48 }), (bytes) => {
        const decoded = decodeIfreq(bytes);
        if (typeof decoded === 'string') return;
        expect(bytes.length).toBeGreaterThanOrEqual(IFREQ_BYTES);
        expect(Buffer.from(decoded.name)).toEqual(Buffer.from(bytes.subarray(0, bytes.indexOf(0))));
      }),
    );
  });
});
