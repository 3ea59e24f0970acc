/**
 * The frame of a MapResponse (docs/spec/lab.md#frames; numbers little-endian):
 *
 * | offset | bytes | field                                             |
 * |--------|-------|---------------------------------------------------|
 * | 0      | 4     | size of what follows                              |
 * | 4      | size  | JSON, or one zstd frame that holds it             |
 *
 * The zstd frame (RFC 8878 §3.1.1) stores without compressing, so that it needs no library:
 *
 * | offset | bytes | field                                                             |
 * |--------|-------|-------------------------------------------------------------------|
 * | 0      | 4     | magic fd2fb528                                                    |
 * | 4      | 1     | descriptor a0: single segment, content size in 4 bytes            |
 * | 5      | 4     | content size                                                      |
 * | 9      | 3     | block: bit 0 last block, bits 1–2 type 0 (raw), above them a size |
 * | 12     | size  | at most 128 KiB; further blocks follow                            |
 */

const ZSTD_HEADER = [0x28, 0xb5, 0x2f, 0xfd, 0xa0] as const;
const BLOCK_BYTES_MAX = 128 * 1024;

/** Encodes one message; `isZstd` when the node asked for compression: real nodes then accept nothing else. */
export function encodeMapFrame(message: unknown, isZstd: boolean): Buffer {
  const json = Buffer.from(JSON.stringify(message));
  const body = isZstd ? storeAsZstd(json) : json;
  const size = Buffer.alloc(4);
  size.writeUInt32LE(body.length);
  return Buffer.concat([size, body]);
}

function storeAsZstd(content: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.set(ZSTD_HEADER);
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
