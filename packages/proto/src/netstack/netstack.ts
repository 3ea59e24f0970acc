import type { PacketArena } from '../bytes/packet-arena.ts';
import type { Rng } from '../crypto/provider.ts';
import type { IpAddress } from '../ip/address.ts';
import { createEndpoint } from '../ip/endpoint.ts';
import { Counters } from '../time/counters.ts';
import type { Wake } from '../time/machine.ts';
import { EventQueue, type NetstackEvent } from './events.ts';
import { IcmpLayer } from './icmp-layer.ts';
import {
  IpHeader,
  type NetstackDrop,
  type PacketMemory,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from './ip-header.ts';
import { checkMtu, IpOutput } from './ip-output.ts';
import { decodeIpv4 } from './ipv4.ts';
import { decodeIpv6 } from './ipv6.ts';
import { isForbiddenSource, LocalAddresses } from './local-addresses.ts';
import { type ReassembledDatagram, Reassembly } from './reassembly.ts';
import type { TcpConnection } from './tcp/connection.ts';
import { Tcp } from './tcp/tcp.ts';
import { Udp, type UdpPort } from './udp.ts';

export type { NetstackEvent } from './events.ts';
export type { NetstackDrop } from './ip-header.ts';
export type { TcpCloseReason, TcpConnection } from './tcp/connection.ts';
export type { UdpDatagram, UdpPort } from './udp.ts';

/** What a stack is made of. `mtuBytes` is the inner MTU: 576 or more, 1280 for IPv6. */
export interface NetstackOptions {
  readonly arena: PacketArena;
  readonly rng: Rng;
  readonly mtuBytes: number;
}

/**
 * A userspace TCP/IP stack: IP packets in arena slots on one side, connections, UDP ports and pings on the other.
 *
 * The machine contract of `time/machine.ts`, with slots for packets: after each call drain `pollEvent` and `pollPacket`.
 * Packets are built when they are pulled; not pulling is how the caller pushes back. A packet to an own address never
 * leaves: it is taken in again. Bad packets are counted by reason and dropped; nothing a peer sends throws.
 */
export class Netstack {
  readonly #arena: PacketArena;
  readonly #addresses: LocalAddresses = new LocalAddresses();
  readonly #events: EventQueue = new EventQueue();
  readonly #header: IpHeader = new IpHeader();
  readonly #output: IpOutput;
  readonly #reassembly: Reassembly;
  readonly #tcp: Tcp;
  readonly #udp: Udp;
  readonly #icmp: IcmpLayer;
  #isTcpFirst = false;
  #nowMs = 0;
  readonly counters: Counters<NetstackDrop> = new Counters<NetstackDrop>();

  /** @throws {RangeError} when the MTU is too small for IP or too large for a slot. */
  constructor(options: NetstackOptions) {
    checkMtu(options.mtuBytes);
    const { arena, rng, mtuBytes } = options;
    const count = (drop: NetstackDrop): void => this.counters.add(drop);
    const shared = { addresses: this.#addresses, events: this.#events, count };
    this.#arena = arena;
    this.#output = new IpOutput({ arena, rng, mtuBytes, count });
    this.#reassembly = new Reassembly(count);
    this.#tcp = new Tcp({ ...shared, arena, rng, mtuBytes });
    this.#udp = new Udp({ ...shared, rng, output: this.#output });
    this.#icmp = new IcmpLayer({ ...shared, output: this.#output, tcp: this.#tcp });
  }

  /** Replaces the own addresses; connections of those that vanished end with reason `'address-removed'`. */
  setAddresses(addresses: readonly IpAddress[], nowMs: number): void {
    this.#nowMs = nowMs;
    this.#addresses.set(addresses);
    this.#tcp.handleAddresses();
  }

  /** Takes a slot with one IP packet, which need not be for us, nor valid. */
  handlePacket(slot: number, nowMs: number): void {
    this.#nowMs = nowMs;
    const fate = this.#takePacket(slot, nowMs);
    if (fate !== 'ok') this.counters.add(fate);
    this.#arena.free(slot);
  }

  /** Builds the next packet: a slot that the caller owns, or -1 when there is none or no slot is free. */
  pollPacket(nowMs: number): number {
    this.#nowMs = nowMs;
    for (;;) {
      const slot = this.#nextPacket(nowMs);
      if (slot < 0 || !this.#isForUs(slot)) return slot;
      this.handlePacket(slot, nowMs);
    }
  }

  /**
   * Builds the packet that must not wait for the next drain, after `handlePacket`: a slot that the caller owns, or -1.
   * A caller that processes packets in batches would otherwise report many holes with one acknowledgment.
   */
  pollUrgentPacket(nowMs: number): number {
    const slot = this.#tcp.pollUrgent(nowMs);
    if (slot < 0 || !this.#isForUs(slot)) return slot;
    this.handlePacket(slot, nowMs);
    return -1;
  }

  handleTimeout(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#tcp.handleTimeout(nowMs);
    this.#reassembly.handleTimeout(nowMs);
  }

  /** Due now while packets or events wait; a time may turn out to be too early, never too late. */
  pollTimeout(): Wake | undefined {
    if (this.#output.length > 0 || this.#tcp.hasOutput) return { atMs: this.#nowMs, why: 'netstack packet' };
    if (!this.#events.isEmpty) return { atMs: this.#nowMs, why: 'netstack event' };
    const atMs = Math.min(this.#tcp.nextTimeoutMs, this.#reassembly.nextTimeoutMs);
    return atMs === Number.POSITIVE_INFINITY ? undefined : { atMs, why: 'netstack timer' };
  }

  pollEvent(): NetstackEvent | undefined {
    return this.#events.poll();
  }

  /**
   * Begins a connection. Success is 'tcp-connected', failure 'tcp-closed' with the reason.
   * @throws {RangeError} when the port is out of range; {TypeError} when the families differ.
   */
  connectTcp(options: { local: IpAddress | undefined; remote: IpAddress; port: number }, nowMs: number): TcpConnection {
    const { local, remote, port } = options;
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new RangeError(`port out of range: ${port}`);
    if (local !== undefined && local.family !== remote.family) throw new TypeError('address families differ');
    this.#nowMs = nowMs;
    return this.#tcp.connect({ local, remote: createEndpoint(remote, port) }, nowMs);
  }

  /**
   * Accepts connections on a port of every own address, each with a 'tcp-incoming' event: after its handshake, or, when
   * deferred, at its SYN, which is answered by `accept`.
   * @throws {RangeError} when the port is taken or out of range.
   */
  listenTcp(port: number, options: { isDeferred: boolean }): void {
    this.#tcp.listen(port, options);
  }

  /** Stops accepting; connections live on. */
  unlistenTcp(port: number): void {
    this.#tcp.unlisten(port);
  }

  /** @throws {RangeError} when the port is open already or out of range. */
  openUdp(port: number | undefined): UdpPort {
    return this.#udp.open(port);
  }

  /** Sends a ping; its answer is an 'echo-reply' event. False when it could not be queued. */
  sendEcho(
    echo: { remote: IpAddress; identifier: number; sequence: number; payload: Uint8Array },
    nowMs: number,
  ): boolean {
    this.#nowMs = nowMs;
    return this.#icmp.sendEcho(echo);
  }

  /** Connections in every state but CLOSED. */
  get connectionCount(): number {
    return this.#tcp.connectionCount;
  }

  #nextPacket(nowMs: number): number {
    this.#isTcpFirst = !this.#isTcpFirst;
    const slot = this.#isTcpFirst ? this.#tcp.pollPacket(nowMs) : this.#output.poll();
    if (slot >= 0) return slot;
    return this.#isTcpFirst ? this.#output.poll() : this.#tcp.pollPacket(nowMs);
  }

  #takePacket(slot: number, nowMs: number): NetstackDrop | 'ok' {
    const header = this.#header;
    const memory = this.#arena;
    const start = memory.offset[slot] as number;
    const length = memory.length[slot] as number;
    const version = length === 0 ? 0 : (memory.bytes[start] as number) >> 4;
    if (version !== 4 && version !== 6) return 'ip-bad-version';
    const verdict =
      version === 4 ? decodeIpv4(memory, start, length, header) : decodeIpv6(memory, start, length, header);
    if (verdict !== 'ok') return verdict;
    if (!this.#addresses.isLocal(memory, header.destinationOffset, header.family)) return 'ip-not-for-us';
    if (isForbiddenSource(memory, header)) return 'ip-bad-source';
    if (!header.isFragment) return this.#dispatch(memory, nowMs);
    const datagram = this.#reassembly.add(memory, header, nowMs);
    return datagram === undefined ? 'ok' : this.#takeReassembled(datagram, nowMs);
  }

  #dispatch(memory: PacketMemory, nowMs: number): NetstackDrop | 'ok' {
    const header = this.#header;
    const { protocol } = header;
    if (protocol === PROTOCOL_TCP) {
      if (memory !== this.#arena) return 'tcp-bad';
      this.#tcp.handlePacket(header, nowMs);
    } else if (protocol === PROTOCOL_UDP) {
      if (this.#udp.handle(memory, header) === 'no-port') this.#icmp.refuseDatagram(memory, header, nowMs);
    } else if (protocol === (header.family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6)) {
      this.#icmp.handle(memory, header, nowMs);
    } else {
      return 'ip-unknown-protocol';
    }
    return 'ok';
  }

  /** Small ones go on in a slot like any packet, so that TCP sees them; large ones can only be UDP or a ping. */
  #takeReassembled(datagram: ReassembledDatagram, nowMs: number): NetstackDrop | 'ok' {
    const header = this.#header;
    header.start = datagram.addressesAt;
    header.sourceOffset = datagram.addressesAt;
    header.destinationOffset = datagram.addressesAt + (datagram.family === 4 ? 4 : 16);
    header.family = datagram.family;
    header.protocol = datagram.protocol;
    header.payloadOffset = datagram.payloadAt;
    header.payloadLength = datagram.payloadLength;
    header.isFragment = false;
    return this.#dispatch(datagram.memory, nowMs);
  }

  /** Our own packets are valid: the destination is where the header says. */
  #isForUs(slot: number): boolean {
    const start = this.#arena.offset[slot] as number;
    const isIpv4 = (this.#arena.bytes[start] as number) >> 4 === 4;
    return this.#addresses.isLocal(this.#arena, start + (isIpv4 ? 16 : 24), isIpv4 ? 4 : 6);
  }
}
