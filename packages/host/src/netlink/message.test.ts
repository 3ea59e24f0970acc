import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  attributeNumber,
  attributeText,
  decodeAttributes,
  decodeMessages,
  encodeAttribute,
  encodeMessage,
  type NetlinkMessage,
} from './message.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/[\s|]/g, ''), 'hex'));
const concat = (parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));

const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const message: fc.Arbitrary<NetlinkMessage> = fc.record({
  type: u16,
  flags: u16,
  sequence: u32,
  port: u32,
  body: fc.uint8Array({ maxLength: 40 }),
});

describe('netlink messages', () => {
  it('are the bytes a 6.18 kernel has accepted', () => {
    const header = { type: 0x18, flags: 0x505, sequence: 5, port: 0 };
    const body = hex('02200000 3403fd01 00000000');
    const attributes = [encodeAttribute(1, hex('64400002')), encodeAttribute(4, hex('02000000'))];
    expect(encodeMessage(header, [body, ...attributes])).toEqual(
      hex('2c000000 1800 0505 05000000 00000000 | 02200000 3403fd01 00000000 | 08000100 64400002 | 08000400 02000000'),
    );
  });

  it('come back as they were, any number in one datagram', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
        const datagram = concat(messages.map(({ body, ...header }) => encodeMessage(header, [body])));
        expect(decodeMessages(datagram)).toEqual({ messages, problem: undefined });
      }),
    );
  });

  it('cut off at any length are a problem, and those before the cut are there', () => {
    const one = encodeMessage({ type: 2, flags: 0, sequence: 1, port: 9 }, [hex('0102030405')]);
    const datagram = concat([one, one]);
    for (let length = 0; length < datagram.length; length++) {
      const { messages, problem } = decodeMessages(datagram.subarray(0, length));
      // A body of 5 bytes has 3 of padding, which may be missing.
      const isWhole = length === 0 || (length > 20 && length <= 24) || length > 44;
      expect(messages.length, `${length}`).toBe(length > 44 ? 2 : length > 20 ? 1 : 0);
      expect(problem, `${length}`).toBe(isWhole ? undefined : length % 24 < 16 ? 'short' : 'bad-length');
    }
  });

  it('with a length below their header or beyond the end do not loop', () => {
    for (const length of ['00000000', '0f000000', '11000000', 'ffffffff']) {
      const datagram = hex(`${length} 0300 0000 00000000 00000000`);
      expect(decodeMessages(datagram)).toEqual({ messages: [], problem: 'bad-length' });
    }
  });

  it('made of random bytes never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        decodeMessages(bytes);
        decodeAttributes(bytes, 0);
      }),
    );
  });
});

describe('netlink attributes', () => {
  const attribute = fc.tuple(fc.integer({ min: 0, max: 0x3fff }), fc.uint8Array({ maxLength: 20 }));

  it('come back as they were, the first of each type', () => {
    fc.assert(
      fc.property(fc.array(attribute), (attributes) => {
        const bytes = concat(attributes.map(([type, data]) => encodeAttribute(type, data)));
        expect(decodeAttributes(bytes, 0)).toEqual(new Map(attributes.toReversed()));
      }),
    );
  });

  it('cut off at any length are a problem or fewer', () => {
    const bytes = concat([encodeAttribute(3, hex('6c6f00')), encodeAttribute(4, hex('00000100'))]);
    for (let length = 0; length < bytes.length; length++) {
      const attributes = decodeAttributes(bytes.subarray(0, length), 0);
      const isWhole = length < 4 || (length >= 7 && length < 12);
      expect(attributes === 'bad-attribute' ? false : attributes.size === (length < 7 ? 0 : 1), `${length}`).toBe(
        isWhole,
      );
    }
  });

  it('do not show the flags for nesting and byte order', () => {
    expect(decodeAttributes(encodeAttribute(0x8012, hex('ff')), 0)).toEqual(new Map([[0x12, hex('ff')]]));
  });

  it('longer than their length field are refused', () => {
    expect(() => encodeAttribute(1, new Uint8Array(0x10000))).toThrow(RangeError);
  });

  it('are numbers only with four bytes and texts up to the NUL', () => {
    const attributes = new Map([
      [1, hex('00000100')],
      [2, hex('0001')],
      [3, hex('6c6f0078')],
      [4, hex('6cff')],
    ]);
    expect([1, 2, 9].map((type) => attributeNumber(attributes, type))).toEqual([0x10000, undefined, undefined]);
    expect([3, 4, 9].map((type) => attributeText(attributes, type))).toEqual(['lo', 'l\ufffd', undefined]);
  });
});
