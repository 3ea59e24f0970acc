/*
 * UDP header, RFC 768 (docs/spec/netstack.md#udp)
 *   0  2  source port      4  2  length, header included
 *   2  2  destination port 6  2  checksum: IPv4 0 is none, IPv6 0 is invalid; a sum of 0 is sent as ffff
 */
import type { Rng } from '../crypto/provider.ts';
import { decodeAddress, type IpAddress } from '../ip/address.ts';
import { addToChecksum, finishChecksum } from '../ip/checksum.ts';
import { createEndpoint, type Endpoint } from '../ip/endpoint.ts';
import type { EventQueue } from './events.ts';
import { Fifo } from './fifo.ts';
import { type IpHeader, type NetstackDrop, type PacketMemory, PROTOCOL_UDP } from './ip-header.ts';
import { DATAGRAM_BYTES_MAX, type IpOutput, sumPseudoHeader } from './ip-output.ts';
import type { LocalAddresses } from './local-addresses.ts';

const UDP_HEADER_BYTES = 8;
/** Unread datagrams of a port; beyond either bound the newest is dropped. */
export const UDP_QUEUE_MAX = 256;
export const UDP_QUEUE_BYTES_MAX = 0x100000;
/** Open ports. */
export const UDP_PORTS_MAX = 1024;
const EPHEMERAL_FIRST = 49_152;
const EPHEMERAL_COUNT = 16_384;

/** A received datagram; the data is the receiver's own copy. */
export interface UdpDatagram {
  readonly from: Endpoint;
  /** The own address it was sent to. */
  readonly local: IpAddress;
  readonly data: Uint8Array;
}

/** An open UDP port of all own addresses. */
export interface UdpPort {
  readonly port: number;
  /** False when the datagram was not queued: too large, no own address of the family, no room, or closed. */
  send(remote: IpAddress, port: number, bytes: Uint8Array, nowMs: number): boolean;
  /** The oldest unread datagram. */
  receive(): UdpDatagram | undefined;
  close(): void;
}

/** What became of a datagram. */
export type UdpVerdict = 'delivered' | 'dropped' | 'no-port';

/** What the UDP layer is made of. */
export interface UdpOptions {
  readonly addresses: LocalAddresses;
  readonly output: IpOutput;
  readonly events: EventQueue;
  readonly rng: Rng;
  readonly count: (drop: NetstackDrop) => void;
}

/** All open UDP ports of a stack. */
export class Udp {
  readonly #options: UdpOptions;
  readonly #ports: Map<number, UdpSocket> = new Map<number, UdpSocket>();

  constructor(options: UdpOptions) {
    this.#options = options;
  }

  /**
   * Opens the port, or a random free one.
   * @throws {RangeError} when it is open already or out of range, or {@link UDP_PORTS_MAX} are open.
   */
  open(port: number | undefined): UdpPort {
    if (port !== undefined && (!Number.isInteger(port) || port < 1 || port > 65_535)) {
      throw new RangeError(`port out of range: ${port}`);
    }
    if (port !== undefined && this.#ports.has(port)) throw new RangeError(`UDP port ${port} is open already`);
    if (this.#ports.size >= UDP_PORTS_MAX) throw new RangeError(`more than ${UDP_PORTS_MAX} UDP ports`);
    const number = port ?? this.#freePort();
    const socket = new UdpSocket(number, this.#options, () => this.#ports.delete(number));
    this.#ports.set(number, socket);
    return socket;
  }

  /** Delivers the datagram behind `header`, if its checksum is right. */
  handle(memory: PacketMemory, header: IpHeader): UdpVerdict {
    const { payloadOffset: at, payloadLength } = header;
    const length = payloadLength < UDP_HEADER_BYTES ? 0 : memory.view.getUint16(at + 4);
    if (length < UDP_HEADER_BYTES || length > payloadLength || !hasValidChecksum(memory, header, length)) {
      this.#options.count('udp-bad');
      return 'dropped';
    }
    const socket = this.#ports.get(memory.view.getUint16(at + 2));
    if (socket === undefined) {
      this.#options.count('udp-no-port');
      return 'no-port';
    }
    const local = this.#options.addresses.destinationOf(memory, header);
    if (local === undefined) return 'dropped';
    return socket.deliver(memory, header, { local, length }) ? 'delivered' : 'dropped';
  }

  #freePort(): number {
    const bytes = new Uint8Array(2);
    this.#options.rng.fill(bytes);
    const first = (((bytes[0] as number) << 8) | (bytes[1] as number)) % EPHEMERAL_COUNT;
    let port = EPHEMERAL_FIRST + first;
    // Fewer ports can be open than there are numbers: one is free.
    while (this.#ports.has(port)) port = EPHEMERAL_FIRST + ((port + 1 - EPHEMERAL_FIRST) % EPHEMERAL_COUNT);
    return port;
  }
}

class UdpSocket implements UdpPort {
  readonly #options: UdpOptions;
  readonly #onClose: () => void;
  readonly #queue: Fifo<UdpDatagram> = new Fifo<UdpDatagram>();
  #queuedBytes = 0;
  #isAnnounced = false;
  #isOpen = true;
  readonly port: number;

  constructor(port: number, options: UdpOptions, onClose: () => void) {
    this.port = port;
    this.#options = options;
    this.#onClose = onClose;
  }

  send(remote: IpAddress, port: number, bytes: Uint8Array, _nowMs: number): boolean {
    const source = this.#options.addresses.ofFamily(remote.family);
    const length = UDP_HEADER_BYTES + bytes.length;
    if (!this.#isOpen || source === undefined || port < 1 || port > 65_535 || length > DATAGRAM_BYTES_MAX) return false;
    const datagram = new Uint8Array(length);
    const view = new DataView(datagram.buffer);
    view.setUint16(0, this.port);
    view.setUint16(2, port);
    view.setUint16(4, length);
    datagram.set(bytes, UDP_HEADER_BYTES);
    const route = {
      family: remote.family,
      source: source.bytes,
      destination: remote.bytes,
      protocol: PROTOCOL_UDP,
    };
    const sum = addToChecksum(sumPseudoHeader(route, length), datagram, 0, length);
    view.setUint16(6, finishChecksum(sum) || 0xffff);
    return this.#options.output.send(route, datagram);
  }

  receive(): UdpDatagram | undefined {
    const datagram = this.#queue.shift();
    if (datagram === undefined) this.#isAnnounced = false;
    else this.#queuedBytes -= datagram.data.length;
    return datagram;
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    while (this.#queue.shift() !== undefined);
    this.#onClose();
  }

  /** Queues a copy; false when the queue is full. */
  deliver(memory: PacketMemory, header: IpHeader, options: { local: IpAddress; length: number }): boolean {
    const dataLength = options.length - UDP_HEADER_BYTES;
    if (this.#queue.length >= UDP_QUEUE_MAX || this.#queuedBytes + dataLength > UDP_QUEUE_BYTES_MAX) {
      this.#options.count('udp-queue-full');
      return false;
    }
    const at = header.payloadOffset;
    const from = decodeAddress(memory.bytes, header.sourceOffset, header.family === 4 ? 4 : 16);
    this.#queue.push({
      from: createEndpoint(from, memory.view.getUint16(at)),
      local: options.local,
      data: memory.bytes.slice(at + UDP_HEADER_BYTES, at + options.length),
    });
    this.#queuedBytes += dataLength;
    if (!this.#isAnnounced) {
      this.#isAnnounced = true;
      this.#options.events.raiseUdp(this);
    }
    return true;
  }
}

function hasValidChecksum(memory: PacketMemory, header: IpHeader, length: number): boolean {
  const { bytes, view } = memory;
  if (view.getUint16(header.payloadOffset + 6) === 0) return header.family === 4;
  let sum = PROTOCOL_UDP + length;
  sum = addToChecksum(sum, bytes, header.sourceOffset, header.family === 4 ? 8 : 32);
  return finishChecksum(addToChecksum(sum, bytes, header.payloadOffset, length)) === 0;
}
