/*
 * IPv4 header, RFC 791 §3.1 (docs/spec/netstack.md#ipv4)
 *   0  1  version 4, header length in 32-bit words     10  2  header checksum
 *   1  1  DSCP, ECN                                    12  4  source
 *   2  2  total length                                 16  4  destination
 *   4  2  identification                               20  …  options, up to 40 bytes (skipped)
 *   6  2  flags (DF 0x4000, MF 0x2000), offset / 8
 *   8  1  TTL      9  1  protocol
 */
import { addToChecksum, finishChecksum } from '../ip/checksum.ts';
import type { IpHeader, NetstackDrop, PacketMemory } from './ip-header.ts';

export const IPV4_HEADER_BYTES = 20;
const DO_NOT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const HOP_LIMIT = 64;

/** Reads the header of the packet in `memory[start .. start+length)`; bytes behind the total length are ignored. */
export function decodeIpv4(memory: PacketMemory, start: number, length: number, out: IpHeader): NetstackDrop | 'ok' {
  if (length < IPV4_HEADER_BYTES) return 'ip-short';
  const { bytes, view } = memory;
  const headerLength = ((bytes[start] as number) & 0x0f) << 2;
  const totalLength = view.getUint16(start + 2);
  if (headerLength < IPV4_HEADER_BYTES || totalLength < headerLength || totalLength > length) return 'ip-bad-length';
  if (!hasValidChecksum(memory, start, headerLength)) return 'ip-bad-checksum';
  const fragment = view.getUint16(start + 6);
  out.family = 4;
  out.start = start;
  out.sourceOffset = start + 12;
  out.destinationOffset = start + 16;
  out.protocol = bytes[start + 9] as number;
  out.payloadOffset = start + headerLength;
  out.payloadLength = totalLength - headerLength;
  out.hasMoreFragments = (fragment & MORE_FRAGMENTS) !== 0;
  out.fragmentOffset = (fragment & 0x1fff) << 3;
  out.isFragment = out.hasMoreFragments || out.fragmentOffset > 0;
  out.fragmentId = view.getUint16(start + 4);
  return 'ok';
}

function hasValidChecksum(memory: PacketMemory, start: number, headerLength: number): boolean {
  if (headerLength !== IPV4_HEADER_BYTES) {
    return finishChecksum(addToChecksum(0, memory.bytes, start, headerLength)) === 0;
  }
  const { view } = memory;
  let sum = 0;
  for (let at = start; at < start + IPV4_HEADER_BYTES; at += 4) {
    const word = view.getInt32(at);
    sum += (word & 0xffff) + (word >>> 16);
  }
  return finishChecksum(sum) === 0;
}

/** What the writer of an IPv4 header needs; addresses are 4 bytes. */
export interface Ipv4Fields {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly payloadLength: number;
  /** 0 with `fragmentWord` 0 marks an atomic packet, which is sent with DF (RFC 6864). */
  readonly identification: number;
  /** Offset / 8, with 0x2000 when more fragments follow. */
  readonly fragmentWord: number;
}

/** Writes 20 bytes at `start`. */
export function encodeIpv4(memory: PacketMemory, start: number, fields: Ipv4Fields): void {
  const { bytes, view } = memory;
  const isAtomic = fields.identification === 0 && fields.fragmentWord === 0;
  view.setUint16(start, 0x4500);
  view.setUint16(start + 2, IPV4_HEADER_BYTES + fields.payloadLength);
  view.setUint16(start + 4, fields.identification);
  view.setUint16(start + 6, isAtomic ? DO_NOT_FRAGMENT : fields.fragmentWord);
  view.setUint8(start + 8, HOP_LIMIT);
  view.setUint8(start + 9, fields.protocol);
  view.setUint16(start + 10, 0);
  bytes.set(fields.source, start + 12);
  bytes.set(fields.destination, start + 16);
  view.setUint16(start + 10, finishChecksum(addToChecksum(0, bytes, start, IPV4_HEADER_BYTES)));
}
