import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeAck } from './ack.ts';
import { encodeMessage } from './message.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/[\s|]/g, ''), 'hex'));
const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));
const SEQUENCE = 7;
const encode = (body: string, sequence = SEQUENCE, type = 2): Uint8Array =>
  encodeMessage({ type, flags: 0, sequence, port: 99 }, [hex(body)]);

describe('the answer to a change', () => {
  it('is read as a 6.18 kernel gave it: that link 99 cannot be deleted, that link 1 is up', () => {
    const request = '20000000 1100 0500 07000000 00000000 | 00000000 63000000 00000000 00000000';
    const refused = hex(`34000000 0200 0000 07000000 bb3d0000 | edffffff | ${request}`);
    expect(decodeAck(7, refused)).toEqual({ kind: 'refused', errno: 19 });
    const done = hex('24000000 0200 0001 08000000 bb3d0000 | 00000000 | 20000000 1000 0500 08000000 00000000');
    expect(decodeAck(8, done)).toEqual({ kind: 'done' });
  });

  it('is done with 0, refused with a number below, and nothing else', () => {
    expect(decodeAck(SEQUENCE, encode('00000000'))).toEqual({ kind: 'done' });
    expect(decodeAck(SEQUENCE, encode('efffffff'))).toEqual({ kind: 'refused', errno: 17 });
    expect(decodeAck(SEQUENCE, encode('01000000'))).toEqual({ kind: 'malformed', problem: 'bad-error' });
    expect(decodeAck(SEQUENCE, encode('000000'))).toEqual({ kind: 'malformed', problem: 'bad-error' });
  });

  it('is looked for behind what is not meant', () => {
    const foreign = join(encode('ffffffff', SEQUENCE - 1), encode('00000000', SEQUENCE, 0x10));
    expect(decodeAck(SEQUENCE, foreign)).toEqual({ kind: 'none' });
    expect(decodeAck(SEQUENCE, join(foreign, encode('00000000')))).toEqual({ kind: 'done' });
    expect(decodeAck(SEQUENCE, hex(''))).toEqual({ kind: 'none' });
  });

  it('that is cut off is malformed at every length', () => {
    const datagram = encode('00000000');
    for (let length = 1; length < datagram.length; length++) {
      expect(decodeAck(SEQUENCE, datagram.subarray(0, length)).kind).toBe('malformed');
    }
  });

  it('of random bytes never throws', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => void decodeAck(0, bytes)));
  });
});
