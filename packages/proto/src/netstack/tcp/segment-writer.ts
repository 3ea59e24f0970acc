import type { PacketArena } from '../../bytes/packet-arena.ts';
import { PROTOCOL_TCP } from '../ip-header.ts';
import { IPV4_HEADER_BYTES } from '../ipv4.ts';
import { IPV6_HEADER_BYTES } from '../ipv6.ts';
import { foldChecksum, type WideChecksum } from '../wide-checksum.ts';
import type { Flow } from './flow.ts';
import { encodeOptions } from './options.ts';
import type { Ring } from './ring.ts';
import { type Segment, TCP_HEADER_BYTES } from './segment.ts';

const HOP_LIMIT = 64;
/** Sum of the header words of an atomic IPv4 packet that never change: version, DF, TTL and protocol. */
const IPV4_CONSTANT_SUM = 0x4500 + 0x4000 + ((HOP_LIMIT << 8) | PROTOCOL_TCP);

/** Builds TCP packets in arena slots, the payload copied straight from the connection's send ring. */
export class SegmentWriter {
  readonly #arena: PacketArena;
  readonly #checksum: WideChecksum;

  constructor(arena: PacketArena, checksum: WideChecksum) {
    this.#arena = arena;
    this.#checksum = checksum;
  }

  /**
   * Builds the segment with `segment.payloadLength` bytes of the ring from `segment.sequence` on. Ports come from the
   * flow. Returns the slot, or -1 when the arena is exhausted.
   */
  write(flow: Flow, segment: Segment, ring: Ring | undefined): number {
    const arena = this.#arena;
    const slot = arena.allocate();
    if (slot < 0) return -1;
    const { view } = arena;
    const start = arena.offset[slot] as number;
    const tcp = start + (flow.family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
    const headerLength = TCP_HEADER_BYTES + encodeOptions(view, tcp + TCP_HEADER_BYTES, segment.options);
    const length = headerLength + segment.payloadLength;
    view.setInt32(tcp, flow.ports);
    view.setInt32(tcp + 4, segment.sequence);
    view.setInt32(tcp + 8, segment.acknowledgment);
    view.setInt32(tcp + 12, (headerLength << 26) | (segment.flags << 16) | segment.window);
    view.setInt32(tcp + 16, 0);
    if (ring !== undefined && segment.payloadLength > 0) {
      ring.load(segment.sequence, segment.payloadLength, arena.bytes, tcp + headerLength);
    }
    const sum = this.#checksum.sum(tcp, length) + flow.pseudoSum + length;
    view.setUint16(tcp + 16, ~foldChecksum(sum) & 0xffff);
    if (flow.family === 4) writeIpv4(view, start, flow, length);
    else writeIpv6(view, start, flow, length);
    arena.length[slot] = tcp - start + length;
    return slot;
  }
}

function writeIpv4(view: DataView, start: number, flow: Flow, length: number): void {
  const totalLength = IPV4_HEADER_BYTES + length;
  view.setInt32(start, 0x45000000 | totalLength);
  view.setInt32(start + 4, 0x00004000);
  const sum = flow.pseudoSum - PROTOCOL_TCP + IPV4_CONSTANT_SUM + totalLength;
  view.setInt32(start + 8, (HOP_LIMIT << 24) | (PROTOCOL_TCP << 16) | (~foldChecksum(sum) & 0xffff));
  view.setInt32(start + 12, flow.local0);
  view.setInt32(start + 16, flow.remote0);
}

function writeIpv6(view: DataView, start: number, flow: Flow, length: number): void {
  view.setInt32(start, 0x60000000);
  view.setInt32(start + 4, (length << 16) | (PROTOCOL_TCP << 8) | HOP_LIMIT);
  view.setInt32(start + 8, flow.local0);
  view.setInt32(start + 12, flow.local1);
  view.setInt32(start + 16, flow.local2);
  view.setInt32(start + 20, flow.local3);
  view.setInt32(start + 24, flow.remote0);
  view.setInt32(start + 28, flow.remote1);
  view.setInt32(start + 32, flow.remote2);
  view.setInt32(start + 36, flow.remote3);
}
