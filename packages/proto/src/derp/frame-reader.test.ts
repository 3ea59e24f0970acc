import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import crafted from '../../test/vectors/derp/crafted-frames.json' with { type: 'json' };
import session from '../../test/vectors/derp/derper-session.json' with { type: 'json' };
import { concatBytes } from '../bytes/equal.ts';
import { formatHex, parseHex } from '../bytes/hex.ts';
import { FrameReader } from './frame-reader.ts';
import { encodeFrameHeader, FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, FrameType } from './frames.ts';

interface ReadFrame {
  readonly type: number;
  readonly payload: string;
}

const streams = session.connections.flatMap((connection) =>
  (['c2s', 's2c'] as const).map((direction) => ({
    name: `${connection.role}, ${direction}`,
    segments: connection.segments[direction].map((hex) => parseHex(hex)!),
    frames: connection.frames[direction].map(({ type, bytes }) => ({ type, payload: bytes.slice(10) })),
  })),
);

function readAll(reader: FrameReader, chunks: readonly Uint8Array[]): ReadFrame[] {
  const frames: ReadFrame[] = [];
  for (const chunk of chunks) {
    reader.feed(chunk);
    while (reader.next()) {
      const payload = reader.bytes.subarray(reader.offset, reader.offset + reader.length);
      frames.push({ type: reader.type, payload: formatHex(payload) });
    }
  }
  return frames;
}

function split(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let at = 0;
  for (const size of sizes) {
    chunks.push(bytes.slice(at, at + size));
    at += size;
  }
  return [...chunks, bytes.slice(at)];
}

function frame(type: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  encodeFrameHeader(bytes, 0, type, payload.length);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

describe('recorded streams of tailscaled and derper', () => {
  test.each(streams)('$name: the recorded segments give the recorded frames', ({ segments, frames }) => {
    expect(readAll(new FrameReader(FRAME_PAYLOAD_BYTES_MAX), segments)).toEqual(frames);
  });

  test.each(streams)('$name: any splitting gives the same frames', ({ segments, frames }) => {
    const bytes = concatBytes(...segments);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 90 }), { maxLength: 60 }), (sizes) => {
        expect(readAll(new FrameReader(FRAME_PAYLOAD_BYTES_MAX), split(bytes, sizes))).toEqual(frames);
      }),
      { numRuns: 50 },
    );
  });

  test('byte by byte gives the same frames', () => {
    for (const { segments, frames } of streams) {
      const bytes = concatBytes(...segments);
      const chunks = Array.from(bytes, (byte) => Uint8Array.of(byte));
      expect(readAll(new FrameReader(FRAME_PAYLOAD_BYTES_MAX), chunks)).toEqual(frames);
    }
  });

  test('a stream cut at any length gives only whole frames', () => {
    const { segments, frames } = streams[1]!;
    const bytes = concatBytes(...segments);
    for (let length = 0; length <= bytes.length; length++) {
      const read = readAll(new FrameReader(FRAME_PAYLOAD_BYTES_MAX), [bytes.slice(0, length)]);
      expect(read).toEqual(frames.slice(0, read.length));
    }
  });
});

test('a frame of unknown type is skipped in any splitting and counted', () => {
  const unknown = crafted.frames.find((f) => f.name.startsWith('unknown type'))!;
  const bytes = parseHex(unknown.bytes)!;
  for (let at = 0; at <= bytes.length; at++) {
    const reader = new FrameReader(FRAME_PAYLOAD_BYTES_MAX);
    expect(readAll(reader, split(bytes, [at]))).toEqual([{ type: FrameType.pong, payload: '3837363534333231' }]);
    expect(reader.skippedCount).toBe(1);
  }
});

test('a frame of exactly the bound is read, one byte more ends the stream', () => {
  const largest = frame(FrameType.health, new Uint8Array(1000));
  expect(readAll(new FrameReader(1000), split(largest, [500]))).toHaveLength(1);
  const reader = new FrameReader(1000);
  expect(
    readAll(reader, [frame(FrameType.health, new Uint8Array(1001)), frame(FrameType.pong, new Uint8Array(8))]),
  ).toEqual([]);
  expect(reader.isTooLarge).toBe(true);
});

test('a length with the top bit set is too large, not negative', () => {
  const reader = new FrameReader(FRAME_PAYLOAD_BYTES_MAX);
  expect(readAll(reader, [Uint8Array.of(0x05, 0xff, 0xff, 0xff, 0xff, 1, 2, 3)])).toEqual([]);
  expect(reader.isTooLarge).toBe(true);
});

test('a large frame in small pieces is copied once, not once a piece', () => {
  const payload = new Uint8Array(FRAME_PAYLOAD_BYTES_MAX).fill(7);
  const bytes = frame(FrameType.recvPacket, payload);
  const sizes = new Array<number>(Math.floor(bytes.length / 64)).fill(64);
  const reader = new FrameReader(FRAME_PAYLOAD_BYTES_MAX);
  const read = readAll(reader, split(bytes, sizes));
  expect(read).toEqual([{ type: FrameType.recvPacket, payload: formatHex(payload) }]);
});

test('feeding before the chunk is read to its end is refused', () => {
  const reader = new FrameReader(FRAME_PAYLOAD_BYTES_MAX);
  reader.feed(concatBytes(frame(FrameType.pong, new Uint8Array(8)), frame(FrameType.pong, new Uint8Array(8))));
  reader.next();
  expect(() => reader.feed(new Uint8Array(1))).toThrow(RangeError);
});

test('random bytes never throw', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (chunks) => {
      readAll(new FrameReader(4096), chunks);
    }),
  );
});
