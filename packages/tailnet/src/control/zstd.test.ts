import zlib from 'node:zlib';
import { concatBytes } from '@heddle/proto/bytes/equal';
import { parseHex } from '@heddle/proto/bytes/hex';
import { describe, expect, it } from 'vitest';
import headscale from '../../../proto/test/vectors/control/frames-headscale-0.29.2.json' with { type: 'json' };
import testcontrol from '../../../proto/test/vectors/control/frames-testcontrol.json' with { type: 'json' };
import { decompressPortable, decompressZstd } from './zstd.ts';

const hasNative = 'zstdDecompressSync' in zlib;
const decompressors = [
  ['portable', decompressPortable],
  [hasNative ? 'native' : 'default', decompressZstd],
] as const;
const frames = [...headscale.frames, ...testcontrol.frames];

/** `count` blocks of 128 KiB of one byte each, four bytes a block, in a frame that does not say how long it gets. */
function createBomb(count: number): Uint8Array {
  const block = (isLast: boolean): Uint8Array => {
    const header = (131_072 << 3) | (1 << 1) | (isLast ? 1 : 0);
    return Uint8Array.of(header, header >> 8, header >> 16, 0x41);
  };
  const head = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38);
  return concatBytes(head, ...Array.from({ length: count }, (_, i) => block(i === count - 1)));
}

describe.each(decompressors)('the %s decompressor', (_name, decompress) => {
  it('opens the recorded frames', () => {
    for (const { frame, json } of frames) {
      const text = Buffer.from(decompress(parseHex(frame)!.subarray(4), 1 << 20)!).toString();
      expect(JSON.parse(text)).toEqual(typeof json === 'string' ? JSON.parse(json) : json);
    }
  });

  it('stops at the bound', () => {
    const bound = 1 << 20;
    expect(decompress(createBomb(8), bound)).toHaveLength(bound);
    expect(decompress(createBomb(9), bound)).toBeUndefined();
    expect(decompress(createBomb(100_000), bound)).toBeUndefined();
  });

  it('refuses damage, truncated at every length', () => {
    const frame = parseHex(frames[0]!.frame)!.subarray(4);
    for (let length = 0; length < frame.length; length++) {
      expect(decompress(frame.subarray(0, length), 1 << 20)).toBeUndefined();
    }
    expect(decompress(Uint8Array.of(0x7b, 0x7d), 100)).toBeUndefined();
  });
});

it('a window above the bound reserves no memory', () => {
  expect(decompressPortable(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0), 1 << 30)).toBeUndefined();
});

it('a content size above the bound reserves no memory', () => {
  const frame = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0);
  expect(decompressPortable(frame, 1 << 20)).toBeUndefined();
});
