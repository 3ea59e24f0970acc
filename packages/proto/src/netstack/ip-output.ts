import { PACKET_HEADROOM_BYTES, PACKET_SLOT_BYTES, type PacketArena } from '../bytes/packet-arena.ts';
import { SlotQueue } from '../bytes/slot-queue.ts';
import type { Rng } from '../crypto/provider.ts';
import { addToChecksum } from '../ip/checksum.ts';
import type { NetstackDrop } from './ip-header.ts';
import { encodeIpv4, IPV4_HEADER_BYTES } from './ipv4.ts';
import { encodeIpv6, encodeIpv6Fragment, IPV6_FRAGMENT_BYTES, IPV6_HEADER_BYTES } from './ipv6.ts';

/** Built packets that wait for `pollPacket`: UDP, ICMP and stateless resets. Beyond it they are dropped and counted. */
export const OUTPUT_QUEUE_MAX = 256;
/** Largest upper-layer datagram: what the 16-bit total length of IPv4 leaves. */
export const DATAGRAM_BYTES_MAX: number = 0xffff - IPV4_HEADER_BYTES;
/** Slots left for what arrives meanwhile: a large datagram must not take the last ones. */
const SLOTS_RESERVED = 8;
const IPV6_FRAGMENT_NEXT_HEADER = 44;
const IPV4_MORE_FRAGMENTS = 0x2000;

/** Where an upper-layer datagram goes. Addresses are 4 or 16 bytes, both of one family. */
export interface DatagramRoute {
  readonly family: 4 | 6;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
}

/** Wraps datagrams into IP packets, in fragments when they are larger than the MTU, and queues them. */
export class IpOutput {
  readonly #arena: PacketArena;
  readonly #mtuBytes: number;
  readonly #queue: SlotQueue = new SlotQueue(OUTPUT_QUEUE_MAX);
  readonly #count: (drop: NetstackDrop) => void;
  #nextFragmentId: number;

  constructor(options: { arena: PacketArena; mtuBytes: number; rng: Rng; count: (drop: NetstackDrop) => void }) {
    this.#arena = options.arena;
    this.#mtuBytes = options.mtuBytes;
    this.#count = options.count;
    const id = new Uint8Array(4);
    options.rng.fill(id);
    this.#nextFragmentId = new DataView(id.buffer).getUint32(0);
  }

  get length(): number {
    return this.#queue.length;
  }

  /** The next packet, or -1. The caller owns the slot. */
  poll(): number {
    return this.#queue.shift();
  }

  /** Copies the datagram into packets. False when it is too large, or queue or arena are full: nothing is sent then. */
  send(route: DatagramRoute, datagram: Uint8Array): boolean {
    const headerBytes = route.family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
    const isWhole = headerBytes + datagram.length <= this.#mtuBytes;
    const fragmentHeader = route.family === 6 ? IPV6_FRAGMENT_BYTES : 0;
    const perPacket = isWhole ? datagram.length : (this.#mtuBytes - headerBytes - fragmentHeader) & ~7;
    const packets = isWhole ? 1 : Math.ceil(datagram.length / perPacket);
    const hasRoom =
      datagram.length <= DATAGRAM_BYTES_MAX &&
      packets <= this.#queue.capacity - this.#queue.length &&
      packets + (isWhole ? 0 : SLOTS_RESERVED) <= this.#arena.freeCount;
    if (!hasRoom) {
      this.#count('output-full');
      return false;
    }
    if (isWhole) this.#sendWhole(route, datagram);
    else this.#sendFragments(route, datagram, perPacket);
    return true;
  }

  #sendWhole(route: DatagramRoute, datagram: Uint8Array): void {
    const slot = this.#arena.allocate();
    const start = this.#arena.offset[slot] as number;
    const headerBytes = route.family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
    if (route.family === 4) {
      encodeIpv4(this.#arena, start, { ...route, payloadLength: datagram.length, identification: 0, fragmentWord: 0 });
    } else {
      encodeIpv6(this.#arena, start, { ...route, nextHeader: route.protocol, payloadLength: datagram.length });
    }
    this.#finish(slot, headerBytes, datagram);
  }

  #sendFragments(route: DatagramRoute, datagram: Uint8Array, perPacket: number): void {
    this.#nextFragmentId = (this.#nextFragmentId + 1) >>> 0;
    const id = this.#nextFragmentId;
    for (let offset = 0; offset < datagram.length; offset += perPacket) {
      const part = datagram.subarray(offset, offset + perPacket);
      const hasMore = offset + part.length < datagram.length;
      const slot = this.#arena.allocate();
      const start = this.#arena.offset[slot] as number;
      if (route.family === 4) {
        const fragmentWord = (offset >> 3) | (hasMore ? IPV4_MORE_FRAGMENTS : 0);
        const fields = { ...route, payloadLength: part.length, identification: id & 0xffff, fragmentWord };
        encodeIpv4(this.#arena, start, fields);
        this.#finish(slot, IPV4_HEADER_BYTES, part);
      } else {
        const payloadLength = IPV6_FRAGMENT_BYTES + part.length;
        encodeIpv6(this.#arena, start, { ...route, nextHeader: IPV6_FRAGMENT_NEXT_HEADER, payloadLength });
        encodeIpv6Fragment(this.#arena, start + IPV6_HEADER_BYTES, { nextHeader: route.protocol, offset, hasMore, id });
        this.#finish(slot, IPV6_HEADER_BYTES + IPV6_FRAGMENT_BYTES, part);
      }
    }
  }

  #finish(slot: number, headerBytes: number, payload: Uint8Array): void {
    this.#arena.bytes.set(payload, (this.#arena.offset[slot] as number) + headerBytes);
    this.#arena.length[slot] = headerBytes + payload.length;
    this.#queue.push(slot);
  }
}

/** Sum of the pseudo-header of UDP, TCP and ICMPv6 (RFC 768, RFC 8200 §8.1), unfolded. */
export function sumPseudoHeader(route: DatagramRoute, length: number): number {
  let sum = route.protocol + (length & 0xffff) + (length >>> 16);
  sum = addToChecksum(sum, route.source, 0, route.source.length);
  return addToChecksum(sum, route.destination, 0, route.destination.length);
}

/**
 * Checks a stack's MTU against what an address family needs and a slot holds.
 * @throws {RangeError} when packets of that size cannot be built.
 */
export function checkMtu(mtuBytes: number): void {
  const slotBytesMax = PACKET_SLOT_BYTES - PACKET_HEADROOM_BYTES - 32;
  if (!Number.isInteger(mtuBytes) || mtuBytes < 576 || mtuBytes > slotBytesMax) {
    throw new RangeError(`mtuBytes must be from 576 to ${slotBytesMax}, got ${mtuBytes}`);
  }
}
