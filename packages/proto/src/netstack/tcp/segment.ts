/*
 * TCP segment, RFC 9293 §3.1 (docs/spec/netstack.md#tcp)
 *   0  2  source port         12  1  header length in words << 4
 *   2  2  destination port    13  1  flags: FIN 01 SYN 02 RST 04 PSH 08 ACK 10 URG 20
 *   4  4  sequence            14  2  window
 *   8  4  acknowledgment      16  2  checksum      18  2  urgent pointer      20  …  options
 */
import type { PacketMemory } from '../ip-header.ts';
import { decodeOptions, SegmentOptions } from './options.ts';

export const TCP_HEADER_BYTES = 20;
export const FLAG_FIN = 0x01;
export const FLAG_SYN = 0x02;
export const FLAG_RST = 0x04;
export const FLAG_PSH = 0x08;
export const FLAG_ACK = 0x10;

/** A received segment. One instance is reused for every packet; sequences are signed 32-bit integers. */
export class Segment {
  sourcePort = 0;
  destinationPort = 0;
  sequence = 0;
  acknowledgment = 0;
  flags = 0;
  /** As on the wire, not yet scaled. */
  window = 0;
  payloadOffset = 0;
  payloadLength = 0;
  readonly options: SegmentOptions = new SegmentOptions();

  /** Bytes of sequence space: the payload, and one each for SYN and FIN. */
  get sequenceLength(): number {
    return this.payloadLength + ((this.flags & FLAG_SYN) !== 0 ? 1 : 0) + ((this.flags & FLAG_FIN) !== 0 ? 1 : 0);
  }
}

/** Reads the segment in `memory[start .. start+length)`; false when lengths do not fit. The checksum is the caller's. */
export function decodeSegment(memory: PacketMemory, start: number, length: number, out: Segment): boolean {
  if (length < TCP_HEADER_BYTES) return false;
  const { view } = memory;
  const word = view.getInt32(start + 12);
  const headerLength = (word >>> 28) << 2;
  if (headerLength < TCP_HEADER_BYTES || headerLength > length) return false;
  const ports = view.getInt32(start);
  out.sourcePort = ports >>> 16;
  out.destinationPort = ports & 0xffff;
  out.sequence = view.getInt32(start + 4);
  out.acknowledgment = view.getInt32(start + 8);
  out.flags = (word >>> 16) & 0xff;
  out.window = word & 0xffff;
  out.payloadOffset = start + headerLength;
  out.payloadLength = length - headerLength;
  decodeOptions(memory, start + TCP_HEADER_BYTES, headerLength - TCP_HEADER_BYTES, out.options);
  return true;
}
