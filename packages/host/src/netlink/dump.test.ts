import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DumpKind, decodeDumpPart, encodeDumpRequest } from './dump.ts';
import { encodeMessage } from './message.ts';
import recorded from './test-vectors/recorded.json' with { type: 'json' };

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const KINDS: readonly DumpKind[] = ['link', 'address', 'route'];
const SEQUENCE = 7;
const encode = (type: number, body: string, flags = 2, sequence = SEQUENCE): Uint8Array =>
  encodeMessage({ type, flags, sequence, port: 99 }, [hex(body)]);
const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));

describe('a dump', () => {
  it.each(KINDS)('of each %s is asked for with the bytes the kernel was asked with', (kind) => {
    expect(encodeDumpRequest(kind, recorded[kind].sequence)).toEqual(hex(recorded[kind].request));
  });

  it.each(KINDS)('of each %s goes on until the kernel says that it is done', (kind) => {
    const parts = recorded[kind].datagrams.map((text) => decodeDumpPart(kind, recorded[kind].sequence, hex(text)));
    expect(parts.map((part) => part.kind)).toEqual([...parts.slice(1).map(() => 'more'), 'done']);
    expect(parts[0]).toMatchObject({ bodies: { length: expect.any(Number) } });
  });

  it('may end in the datagram of the last entries', () => {
    const part = decodeDumpPart('link', SEQUENCE, join(encode(0x10, '0102'), encode(3, '00000000')));
    expect(part).toEqual({ kind: 'done', bodies: [hex('0102')] });
  });

  it('ends without a number on old kernels', () => {
    expect(decodeDumpPart('link', SEQUENCE, encode(3, ''))).toEqual({ kind: 'done', bodies: [] });
  });

  it('is interrupted when any message says so, the last one included', () => {
    const interrupted = encode(0x10, '0102', 0x12);
    expect(decodeDumpPart('link', SEQUENCE, join(encode(0x10, ''), interrupted))).toEqual({ kind: 'interrupted' });
    expect(decodeDumpPart('link', SEQUENCE, encode(3, '00000000', 0x12))).toEqual({ kind: 'interrupted' });
    expect(decodeDumpPart('link', SEQUENCE, encode(4, ''))).toEqual({ kind: 'interrupted' });
  });

  it('is refused with the number of the error', () => {
    expect(decodeDumpPart('route', SEQUENCE, encode(2, 'ffffffff'))).toEqual({ kind: 'refused', errno: 1 });
    expect(decodeDumpPart('route', SEQUENCE, encode(3, 'eaffffff'))).toEqual({ kind: 'refused', errno: 22 });
    expect(decodeDumpPart('route', SEQUENCE, encode(2, 'ff'))).toEqual({ kind: 'malformed', problem: 'bad-error' });
  });

  it('takes nothing of another request or of another kind', () => {
    const foreign = join(encode(0x10, '01', 0x12, 6), encode(3, '00000000', 2, 6), encode(0x14, '02'));
    expect(decodeDumpPart('link', SEQUENCE, foreign)).toEqual({ kind: 'more', bodies: [] });
  });

  it('that is cut off is malformed at every length', () => {
    const datagram = encode(0x10, '01020304');
    for (let length = 1; length < datagram.length; length++) {
      expect(decodeDumpPart('link', SEQUENCE, datagram.subarray(0, length)).kind).toBe('malformed');
    }
  });

  it('of random bytes never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom(...KINDS), (bytes, kind) => void decodeDumpPart(kind, 0, bytes)),
    );
  });
});
