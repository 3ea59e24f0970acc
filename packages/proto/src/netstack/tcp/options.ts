/*
 * TCP options (docs/spec/netstack.md#tcp-options)
 *   00                      end                    04 02                    SACK permitted (RFC 2018 §2)
 *   01                      nothing                05 2+8n  (left,right)*n  SACK blocks (RFC 2018 §3)
 *   02 04 mss16             MSS (RFC 9293 §3.7.1)  08 0a    tsval32 tsecr32 timestamps (RFC 7323 §3.2)
 *   03 03 shift             window scale (RFC 7323 §2.2)
 */
import type { PacketMemory } from '../ip-header.ts';

const END = 0x00;
const NOTHING = 0x01;
const MSS = 0x02;
const WINDOW_SCALE = 0x03;
const SACK_PERMITTED = 0x04;
const SACK = 0x05;
const TIMESTAMPS = 0x08;
/** `01 01 08 0a`: what every stack sends on every segment once timestamps are agreed. */
const ALIGNED_TIMESTAMPS = 0x0101080a;
const ALIGNED_SACK = 0x01010500;
/** RFC 7323 §2.3: a larger shift is used as 14. */
const WINDOW_SHIFT_MAX = 14;

/** SACK blocks that fit: four alone, three beside timestamps. */
export const SACK_BLOCKS_MAX = 4;
export const TIMESTAMP_OPTION_BYTES = 12;

/** The options of one segment, received or to be sent. Reused. */
export class SegmentOptions {
  /** 0 when absent. */
  mss = 0;
  /** -1 when absent. */
  windowShift = -1;
  isSackPermitted = false;
  hasTimestamps = false;
  timestamp = 0;
  timestampEcho = 0;
  /** Blocks in `sack`: left and right edge, signed 32-bit. */
  sackCount = 0;
  readonly sack: Int32Array = new Int32Array(2 * SACK_BLOCKS_MAX);

  reset(): void {
    this.mss = 0;
    this.windowShift = -1;
    this.isSackPermitted = false;
    this.hasTimestamps = false;
    this.sackCount = 0;
  }
}

/** Reads what it knows and stops at the first option whose length does not fit; what came before stays valid. */
export function decodeOptions(memory: PacketMemory, start: number, length: number, out: SegmentOptions): void {
  out.reset();
  const { bytes, view } = memory;
  if (length === TIMESTAMP_OPTION_BYTES && view.getInt32(start) === ALIGNED_TIMESTAMPS) {
    readTimestamps(view, start + 4, out);
    return;
  }
  const end = start + length;
  let at = start;
  while (at < end) {
    const kind = bytes[at] as number;
    if (kind === END) return;
    if (kind === NOTHING) {
      at++;
      continue;
    }
    const size = at + 1 < end ? (bytes[at + 1] as number) : 0;
    if (size < 2 || at + size > end) return;
    readOption(memory, at, kind, size, out);
    at += size;
  }
}

function readOption(memory: PacketMemory, at: number, kind: number, size: number, out: SegmentOptions): void {
  const { view } = memory;
  if (kind === MSS && size === 4) out.mss = view.getUint16(at + 2);
  else if (kind === WINDOW_SCALE && size === 3) out.windowShift = Math.min(view.getUint8(at + 2), WINDOW_SHIFT_MAX);
  else if (kind === SACK_PERMITTED && size === 2) out.isSackPermitted = true;
  else if (kind === TIMESTAMPS && size === 10) readTimestamps(view, at + 2, out);
  else if (kind === SACK && size >= 10 && (size - 2) % 8 === 0) readSack(view, at + 2, (size - 2) >> 3, out);
}

function readTimestamps(view: DataView, at: number, out: SegmentOptions): void {
  out.hasTimestamps = true;
  out.timestamp = view.getInt32(at);
  out.timestampEcho = view.getInt32(at + 4);
}

function readSack(view: DataView, at: number, count: number, out: SegmentOptions): void {
  out.sackCount = Math.min(count, SACK_BLOCKS_MAX);
  for (let i = 0; i < 2 * out.sackCount; i++) out.sack[i] = view.getInt32(at + 4 * i);
}

/** Writes the options, padded to words, at `start`; returns their length. */
export function encodeOptions(view: DataView, start: number, options: SegmentOptions): number {
  let at = start;
  if (options.mss > 0) {
    view.setUint32(at, (MSS << 24) | (4 << 16) | options.mss);
    at += 4;
  }
  if (options.isSackPermitted) {
    view.setUint32(at, (NOTHING << 24) | (NOTHING << 16) | (SACK_PERMITTED << 8) | 2);
    at += 4;
  }
  if (options.hasTimestamps) {
    view.setInt32(at, ALIGNED_TIMESTAMPS);
    view.setInt32(at + 4, options.timestamp);
    view.setInt32(at + 8, options.timestampEcho);
    at += TIMESTAMP_OPTION_BYTES;
  }
  if (options.windowShift >= 0) {
    view.setUint32(at, (NOTHING << 24) | (WINDOW_SCALE << 16) | (3 << 8) | options.windowShift);
    at += 4;
  }
  if (options.sackCount > 0) {
    view.setUint32(at, ALIGNED_SACK | (2 + 8 * options.sackCount));
    at += 4;
    for (let i = 0; i < 2 * options.sackCount; i++, at += 4) view.setInt32(at, options.sack[i] as number);
  }
  return at - start;
}
