import { encodeMapFrame } from '@heddle/proto/control/map-frames';

// A zstd frame that stores without compressing (RFC 8878 §3.1.1), so that it needs no library. Little-endian.
//
//    0   4  magic fd2fb528
//    4   1  descriptor a0: single segment, content size in 4 bytes
//    5   4  content size
//    9   3  block header: bit 0 last block, bits 1-2 type 0 (raw), above them the size
//   12   n  content, at most 128 KiB; further blocks follow

const FRAME_HEAD = [0x28, 0xb5, 0x2f, 0xfd, 0xa0] as const;
const BLOCK_BYTES_MAX = 128 * 1024;

/**
 * Encodes one MapResponse for the body of a map answer; `isZstd` when the node asked for compression: real nodes then
 * accept nothing else. docs/spec/control.md#frames
 */
export function encodeMapMessage(message: unknown, isZstd: boolean): Uint8Array {
  const json = Buffer.from(JSON.stringify(message));
  return encodeMapFrame(isZstd ? storeAsZstd(json) : json);
}

function storeAsZstd(content: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.set(FRAME_HEAD);
  header.writeUInt32LE(content.length, 5);
  const parts: Buffer[] = [header];
  for (let at = 0; at < content.length; at += BLOCK_BYTES_MAX) {
    const block = content.subarray(at, at + BLOCK_BYTES_MAX);
    const isLast = at + block.length === content.length;
    const blockHeader = Buffer.alloc(3);
    blockHeader.writeUIntLE((block.length << 3) | (isLast ? 1 : 0), 0, 3);
    parts.push(blockHeader, block);
  }
  return Buffer.concat(parts);
}
