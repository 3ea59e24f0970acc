import zlib from 'node:zlib';
import type { Decompress } from '@heddle/proto/control/map-frames';
import { Decompress as StreamDecompress } from 'fzstd';

interface ZlibWithZstd {
  readonly zstdDecompressSync?: (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Buffer;
}

/** Windows above this are refused before memory is reserved for them. */
const WINDOW_BYTES_MAX = 64 * 1024 * 1024;

/** The header of a frame whose blocks are missing. */
const TRUNCATED_FRAME = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58);

/**
 * The runtime's own decompressor where there is one that refuses a truncated frame (Node 24; Node 22 returns what it
 * has), else the one in JavaScript.
 */
export const decompressZstd: Decompress =
  (zlib as ZlibWithZstd).zstdDecompressSync && decompressNative(TRUNCATED_FRAME, 1024) === undefined
    ? decompressNative
    : decompressPortable;

function decompressNative(frame: Uint8Array, bytesMax: number): Uint8Array | undefined {
  try {
    return (zlib as ZlibWithZstd).zstdDecompressSync?.(frame, { maxOutputLength: bytesMax });
  } catch {
    return undefined;
  }
}

/** Exported for the test that runs where the runtime has its own. */
export function decompressPortable(frame: Uint8Array, bytesMax: number): Uint8Array | undefined {
  const windowBytes = readWindowSize(frame);
  if (windowBytes === undefined || windowBytes > Math.min(WINDOW_BYTES_MAX, Math.max(bytesMax, 1024))) return undefined;
  const parts: Uint8Array[] = [];
  let length = 0;
  // By parts, because a few bytes can stand for gigabytes: the count stops it, not the end of memory.
  const stream = new StreamDecompress((part) => {
    length += part.length;
    if (length > bytesMax) throw new RangeError('zstd output too long');
    parts.push(part);
  });
  try {
    stream.push(frame, true);
  } catch {
    return undefined;
  }
  return Buffer.concat(parts);
}

/** Bytes of history that a frame asks for (RFC 8878 §3.1.1.1); `undefined` when it is no frame. */
function readWindowSize(frame: Uint8Array): number | undefined {
  if (frame.length < 6 || frame[0] !== 0x28 || frame[1] !== 0xb5 || frame[2] !== 0x2f || frame[3] !== 0xfd)
    return undefined;
  const descriptor = frame[4] as number;
  if ((descriptor & 0x20) === 0) {
    const window = frame[5] as number;
    const base = 2 ** (10 + (window >> 3));
    return base + (base / 8) * (window & 7);
  }
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] as number;
  const sizeBytes = [1, 2, 4, 8][descriptor >> 6] as number;
  let size = 0;
  for (let i = sizeBytes - 1; i >= 0; i--) size = size * 256 + (frame[5 + dictionaryBytes + i] ?? 0);
  return sizeBytes === 2 ? size + 256 : size;
}
