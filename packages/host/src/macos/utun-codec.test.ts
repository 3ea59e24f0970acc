import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CTLIOCGINFO,
  decodeControlId,
  decodeUtunName,
  encodeControlAddress,
  encodeControlQuestion,
  formatUtunName,
  parseUtunName,
} from './utun-codec.ts';

const ascii = (text: string): number[] => [...text].map((character) => character.charCodeAt(0));

describe('ctl_info', () => {
  it('asks for the control of utun', () => {
    const expected = [0, 0, 0, 0, ...ascii('com.apple.net.utun_control')];
    expect([...encodeControlQuestion()]).toEqual([...expected, ...Array(100 - expected.length).fill(0)]);
  });

  it('has the size that its request says', () => {
    expect(encodeControlQuestion()).toHaveLength((CTLIOCGINFO >>> 16) & 0x1fff);
    expect([CTLIOCGINFO >>> 30, (CTLIOCGINFO >>> 8) & 0xff, CTLIOCGINFO & 0xff]).toEqual([3, 'N'.charCodeAt(0), 3]);
  });

  it('is answered with a number, in host order', () => {
    const answer = new Uint8Array(110).subarray(10);
    answer.set([5, 1, 0, 0x80]);
    expect(decodeControlId(answer)).toBe(0x80000105);
  });

  it('is no answer when it is cut off, or has no number', () => {
    const answer = encodeControlQuestion();
    expect(decodeControlId(answer)).toBe('no-id');
    answer[0] = 1;
    for (let length = 0; length < 100; length++) expect(decodeControlId(answer.subarray(0, length))).toBe('short');
  });
});

describe('sockaddr_ctl', () => {
  const rest = Array(20).fill(0);

  it('names the device by its number plus 1', () => {
    const head = [32, 32, 2, 0, 0x05, 0, 0, 0, 8, 0, 0, 0];
    expect([...encodeControlAddress(5, 7)]).toEqual([...head, ...rest]);
    expect([...encodeControlAddress(5, 9999)].slice(8, 12)).toEqual([0x10, 0x27, 0, 0]);
  });

  it('asks for the next free device with 0', () => {
    const head = [32, 32, 2, 0, 0x78, 0x56, 0x34, 0xf2, 0, 0, 0, 0];
    expect([...encodeControlAddress(0xf2345678, undefined)]).toEqual([...head, ...rest]);
  });

  it.each([
    [0, 1],
    [-1, 1],
    [1.5, 1],
    [0x1_0000_0000, 1],
    [1, -1],
    [1, 10_000],
    [1, Number.NaN],
  ])('is not made of control %d and device %d', (controlId, number) => {
    expect(() => encodeControlAddress(controlId, number)).toThrow(RangeError);
  });
});

describe('names of devices', () => {
  it('are utun and a number', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9999 }), (number) => {
        expect(parseUtunName(formatUtunName(number))).toBe(number);
        expect(decodeUtunName(Uint8Array.from([...ascii(`utun${number}`), 0, 0xff]))).toBe(number);
      }),
    );
    expect(formatUtunName(3)).toBe('utun3');
  });

  it.each(['', 'utun', 'utun01', 'utun-1', 'utun10000', 'utun99999', 'tun0', 'utun3 ', 'utun3\n', 'UTUN3', 'utun0x1'])(
    'are not "%s"',
    (name) => {
      expect(parseUtunName(name)).toBeUndefined();
    },
  );

  it.each([-1, 10_000, 0.5])('have no number %d', (number) => {
    expect(() => formatUtunName(number)).toThrow(RangeError);
  });

  it('are not in bytes without a zero, nor in other text', () => {
    const bytes = Uint8Array.from(ascii('utun12'));
    for (let length = 0; length <= bytes.length; length++) {
      expect(decodeUtunName(bytes.subarray(0, length))).toBe('unterminated');
    }
    expect(decodeUtunName(Uint8Array.from([...ascii('utun'), ...Array(12).fill(0x31), 0]))).toBe('unterminated');
    expect(decodeUtunName(Uint8Array.from([...ascii('en0'), 0]))).toBe('bad-name');
    expect(decodeUtunName(new Uint8Array(16))).toBe('bad-name');
  });

  it('never make the decoders throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        expect([typeof decodeUtunName(bytes), typeof decodeControlId(bytes)]).not.toContain('undefined');
      }),
    );
  });
});
