/*
 * IPv6 header, RFC 8200 §3 (docs/spec/netstack.md#ipv6)
 *   0  4  version 6, traffic class, flow label          8  16  source
 *   4  2  payload length                               24  16  destination
 *   6  1  next header     7  1  hop limit              40   …  extension headers
 * Extension header: 0 1 next header | 1 1 length in 8 bytes, not counting the first 8 | …
 * Fragment header:  0 1 next header | 1 1 zero | 2 2 offset (units of 8, shifted by 3), bit 0 more | 4 4 identification
 */
import type { IpHeader, NetstackDrop, PacketMemory } from './ip-header.ts';

export const IPV6_HEADER_BYTES = 40;
export const IPV6_FRAGMENT_BYTES = 8;
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;
const HOP_LIMIT = 64;
/** More than any sender has use for; a longer chain is an attack on the walk. */
const EXTENSION_HEADERS_MAX = 8;
const EXTENSION_BYTES_MAX = 256;

/** Reads the header and its extension headers in `memory[start .. start+length)`. */
export function decodeIpv6(memory: PacketMemory, start: number, length: number, out: IpHeader): NetstackDrop | 'ok' {
  if (length < IPV6_HEADER_BYTES) return 'ip-short';
  const { bytes, view } = memory;
  const payloadLength = view.getUint16(start + 4);
  if (IPV6_HEADER_BYTES + payloadLength > length) return 'ip-bad-length';
  out.family = 6;
  out.start = start;
  out.sourceOffset = start + 8;
  out.destinationOffset = start + 24;
  out.protocol = bytes[start + 6] as number;
  out.payloadOffset = start + IPV6_HEADER_BYTES;
  out.payloadLength = payloadLength;
  out.isFragment = false;
  out.fragmentOffset = 0;
  out.hasMoreFragments = false;
  out.fragmentId = 0;
  return isExtension(out.protocol) ? walkExtensions(memory, out) : 'ok';
}

function isExtension(nextHeader: number): boolean {
  return (
    nextHeader === HOP_BY_HOP || nextHeader === ROUTING || nextHeader === FRAGMENT || nextHeader === DESTINATION_OPTIONS
  );
}

function walkExtensions(memory: PacketMemory, out: IpHeader): NetstackDrop | 'ok' {
  const end = out.payloadOffset + out.payloadLength;
  let at = out.payloadOffset;
  for (let count = 0; isExtension(out.protocol) && !out.isFragment; count++) {
    if (count === EXTENSION_HEADERS_MAX || at + 8 > end) return 'ip-bad-extension';
    const isFragmentHeader = out.protocol === FRAGMENT;
    const size = isFragmentHeader ? IPV6_FRAGMENT_BYTES : 8 + ((memory.bytes[at + 1] as number) << 3);
    if (isFragmentHeader) readFragment(memory, at, out);
    else if (out.protocol === ROUTING && (memory.bytes[at + 3] as number) !== 0) return 'ip-bad-extension';
    out.protocol = memory.bytes[at] as number;
    at += size;
    if (at > end || at - out.payloadOffset > EXTENSION_BYTES_MAX) return 'ip-bad-extension';
  }
  out.payloadOffset = at;
  out.payloadLength = end - at;
  return 'ok';
}

/** An atomic fragment (offset 0, no more) is a whole datagram (RFC 6946). */
function readFragment(memory: PacketMemory, at: number, out: IpHeader): void {
  const word = memory.view.getUint16(at + 2);
  out.fragmentOffset = word & 0xfff8;
  out.hasMoreFragments = (word & 1) !== 0;
  out.isFragment = out.hasMoreFragments || out.fragmentOffset > 0;
  out.fragmentId = memory.view.getUint32(at + 4);
}

/** What the writer of an IPv6 header needs; addresses are 16 bytes. */
export interface Ipv6Fields {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly nextHeader: number;
  /** Bytes behind the fixed header, a fragment header included. */
  readonly payloadLength: number;
}

/** Writes 40 bytes at `start`: traffic class and flow label zero. */
export function encodeIpv6(memory: PacketMemory, start: number, fields: Ipv6Fields): void {
  memory.view.setUint32(start, 0x60000000);
  memory.view.setUint16(start + 4, fields.payloadLength);
  memory.view.setUint8(start + 6, fields.nextHeader);
  memory.view.setUint8(start + 7, HOP_LIMIT);
  memory.bytes.set(fields.source, start + 8);
  memory.bytes.set(fields.destination, start + 24);
}

/** Writes the 8-byte fragment header at `at`; the IPv6 header's next header must then be 44. */
export function encodeIpv6Fragment(
  memory: PacketMemory,
  at: number,
  fields: { readonly nextHeader: number; readonly offset: number; readonly hasMore: boolean; readonly id: number },
): void {
  memory.view.setUint16(at, fields.nextHeader << 8);
  memory.view.setUint16(at + 2, fields.offset | (fields.hasMore ? 1 : 0));
  memory.view.setUint32(at + 4, fields.id);
}
