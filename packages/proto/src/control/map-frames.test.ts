import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import headscale from '../../test/vectors/control/frames-headscale-0.29.2.json' with { type: 'json' };
import testcontrol from '../../test/vectors/control/frames-testcontrol.json' with { type: 'json' };
import { concatBytes } from '../bytes/equal.ts';
import { parseHex } from '../bytes/hex.ts';
import { encodeUtf8 } from '../bytes/utf8.ts';
import { encodeMapFrame, MAP_FRAME_BYTES_MAX, MapFrameReader } from './map-frames.ts';

const refuse = (): undefined => undefined;
const frameOf = (json: unknown): Uint8Array => encodeMapFrame(encodeUtf8(JSON.stringify(json)));

function readAll(reader: MapFrameReader, chunks: readonly Uint8Array[]): unknown[] {
  const messages: unknown[] = [];
  for (const chunk of chunks) {
    reader.handleBytes(chunk);
    for (let message = reader.pollMessage(); message !== undefined; message = reader.pollMessage())
      messages.push(message);
  }
  return messages;
}

describe.each([headscale, testcontrol])('$source', ({ frames }) => {
  // Decompression is the shell's; here each recorded zstd frame stands for the JSON that was recorded beside it.
  const decompress = (frame: Uint8Array): Uint8Array | undefined => {
    const known = frames.find(
      (f) => f.frame.length / 2 - 4 === frame.length && frame.every((b, i) => b === parseHex(f.frame)![i + 4]),
    );
    return known && encodeUtf8(typeof known.json === 'string' ? known.json : JSON.stringify(known.json));
  };

  it('is cut into the recorded messages, wherever the stream is cut', () => {
    const stream = parseHex(frames.map((f) => f.frame).join(''))!;
    const expected = frames.map((f) => (typeof f.json === 'string' ? JSON.parse(f.json) : f.json));
    for (const size of [1, 3, 1000, stream.length]) {
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += size) chunks.push(stream.subarray(at, at + size));
      expect(readAll(new MapFrameReader(decompress), chunks)).toEqual(expected);
    }
  });
});

it('plain JSON in any cut comes out as it went in', () => {
  const message = fc
    .dictionary(fc.string(), fc.jsonValue())
    .map((value) => JSON.parse(JSON.stringify(value)) as object);
  fc.assert(
    fc.property(fc.array(message, { maxLength: 5 }), fc.integer({ min: 1, max: 50 }), (messages, size) => {
      const stream = concatBytes(...messages.map(frameOf));
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += size) chunks.push(stream.subarray(at, at + size));
      const reader = new MapFrameReader(refuse);
      expect(readAll(reader, chunks)).toEqual(messages);
      expect(reader.isMidFrame).toBe(false);
    }),
  );
});

it('an end inside a message can be told', () => {
  const frame = frameOf({ a: 1 });
  for (let length = 0; length < frame.length; length++) {
    const reader = new MapFrameReader(refuse);
    expect(readAll(reader, [frame.subarray(0, length)])).toEqual([]);
    expect(reader.isMidFrame).toBe(length > 0);
  }
});

describe('a body is given up after', () => {
  const failureOf = (...chunks: Uint8Array[]): string | undefined => {
    const reader = new MapFrameReader(refuse);
    readAll(reader, chunks);
    return reader.failure;
  };
  const header = (size: number): Uint8Array => Uint8Array.of(size, size >> 8, size >> 16, size >>> 24);

  it('an empty message', () => expect(failureOf(header(0))).toBe('empty-frame'));
  it('a size above the bound, before anything is kept', () =>
    expect(failureOf(header(MAP_FRAME_BYTES_MAX + 1))).toBe('oversize-frame'));
  it('a size that was written big-endian', () => expect(failureOf(Uint8Array.of(0, 0, 2, 3))).toBe('oversize-frame'));
  it('damaged compression', () =>
    expect(failureOf(encodeMapFrame(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)))).toBe('bad-compression'));
  it('what is no JSON', () => expect(failureOf(encodeMapFrame(encodeUtf8('<html>')))).toBe('bad-json'));
  it('what is no UTF-8', () => expect(failureOf(encodeMapFrame(Uint8Array.of(0x22, 0xff, 0x22)))).toBe('bad-json'));
  it('and nothing is read any more', () => {
    const reader = new MapFrameReader(refuse);
    expect(readAll(reader, [header(0), frameOf({})])).toEqual([]);
  });
});
