import type { PacketArena } from '../../bytes/packet-arena.ts';
import type { Rng } from '../../crypto/provider.ts';
import { decodeAddress, type IpAddress } from '../../ip/address.ts';
import { createEndpoint, type Endpoint } from '../../ip/endpoint.ts';
import { EVENT_CLOSED, type EventQueue } from '../events.ts';
import { Fifo } from '../fifo.ts';
import type { IpHeader, NetstackDrop } from '../ip-header.ts';
import type { LocalAddresses } from '../local-addresses.ts';
import { foldChecksum, WideChecksum } from '../wide-checksum.ts';
import { BufferBudget } from './buffer-budget.ts';
import { Demux } from './demux.ts';
import { Flow } from './flow.ts';
import { FlowSecrets } from './flow-secrets.ts';
import { HalfOpen } from './half-open.ts';
import { Handshake } from './handshake.ts';
import { ResetQueue } from './reset-queue.ts';
import { decodeSegment, FLAG_ACK, FLAG_RST, FLAG_SYN, Segment } from './segment.ts';
import { SegmentWriter } from './segment-writer.ts';
import { NO_SLOT } from './stream.ts';
import { type TcpHost, TcpMachine, type TcpState } from './tcp-machine.ts';
import { TimerHeap } from './timer-heap.ts';

/** Connections of all states; beyond it new ones are refused. */
export const CONNECTIONS_MAX = 16_384;
/** Beyond it the oldest TIME-WAIT ends early. */
const TIME_WAIT_MAX = 4096;
/** The dynamic ports (RFC 6335 §6). */
const EPHEMERAL_FIRST = 49_152;
const EPHEMERAL_COUNT = 16_384;

/** What the TCP layer is made of. */
export interface TcpOptions {
  readonly arena: PacketArena;
  readonly rng: Rng;
  readonly mtuBytes: number;
  readonly addresses: LocalAddresses;
  readonly events: EventQueue;
  readonly count: (drop: NetstackDrop) => void;
}

/** All connections and listeners of a stack: finds the connection of a segment, and takes turns in sending. */
export class Tcp implements TcpHost {
  readonly #options: TcpOptions;
  readonly #checksum: WideChecksum;
  readonly #demux: Demux;
  readonly #secrets: FlowSecrets;
  readonly #halfOpen: HalfOpen = new HalfOpen();
  readonly #listeners: Map<number, { readonly isDeferred: boolean }> = new Map();
  readonly #timers: TimerHeap<TcpMachine> = new TimerHeap<TcpMachine>();
  readonly #ready: Fifo<TcpMachine> = new Fifo<TcpMachine>();
  readonly #timeWaits: Fifo<TcpMachine> = new Fifo<TcpMachine>();
  readonly #resets: ResetQueue;
  readonly #incoming: Segment = new Segment();
  readonly outgoing: Segment = new Segment();
  readonly writer: SegmentWriter;
  readonly memory: PacketArena;
  readonly budget: BufferBudget = new BufferBudget();
  #nextId = 1;
  /** The connection whose last segment left a hole that has not been reported. */
  #urgent: TcpMachine | undefined = undefined;
  #portsUsed = 0;

  constructor(options: TcpOptions) {
    this.#options = options;
    this.memory = options.arena;
    this.#checksum = new WideChecksum(options.arena);
    this.writer = new SegmentWriter(options.arena, this.#checksum);
    this.#resets = new ResetQueue(this.writer);
    this.#secrets = new FlowSecrets(options.rng);
    this.#demux = new Demux(this.#random());
  }

  get connectionCount(): number {
    return this.#demux.count;
  }

  get hasOutput(): boolean {
    return this.#ready.length > 0 || this.#resets.length > 0;
  }

  get nextTimeoutMs(): number {
    return this.#timers.nextAtMs;
  }

  /** Begins a connection; one that cannot even start ends at once with an event. */
  connect(options: { local: IpAddress | undefined; remote: Endpoint }, nowMs: number): TcpMachine {
    const { remote } = options;
    const local = options.local ?? this.#options.addresses.ofFamily(remote.address.family);
    const flow = local && this.#freeFlow(local, remote);
    const isPossible = flow !== undefined && this.#demux.count < CONNECTIONS_MAX;
    const machine = this.#create(flow ?? new Flow(createEndpoint(local ?? remote.address, 0), remote), false, nowMs);
    if (isPossible) {
      this.#demux.add(machine);
      machine.connect();
    } else {
      machine.closeReason = 'unreachable';
      this.raise(machine, EVENT_CLOSED);
    }
    return machine;
  }

  /** @throws {RangeError} when the port is taken or out of range. */
  listen(port: number, options: { readonly isDeferred: boolean }): void {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new RangeError(`port out of range: ${port}`);
    if (this.#listeners.has(port)) throw new RangeError(`port ${port} has a listener already`);
    this.#listeners.set(port, { isDeferred: options.isDeferred });
  }

  /** Established connections live on; half-open ones may still finish. */
  unlisten(port: number): void {
    this.#listeners.delete(port);
  }

  /** Processes the segment behind `header` in arena memory. */
  handlePacket(header: IpHeader, nowMs: number): void {
    const segment = this.#incoming;
    const { payloadOffset, payloadLength } = header;
    if (!decodeSegment(this.memory, payloadOffset, payloadLength, segment)) {
      this.count('tcp-bad');
      return;
    }
    if (!this.#hasValidChecksum(header)) {
      this.count('tcp-bad-checksum');
      return;
    }
    const machine = this.#demux.find(this.memory, header, segment);
    if (machine === undefined) {
      this.#handleStranger(header, segment, nowMs);
    } else if (machine.mayReopen(segment)) {
      machine.expire();
      this.#handleStranger(header, segment, nowMs);
    } else {
      machine.handleSegment(segment, nowMs);
      if (machine.isAckUrgent) this.#urgent = machine;
    }
  }

  /**
   * Builds the acknowledgment that the last packet made urgent: a slot, or -1. RFC 5681 §4.2 wants one for every segment
   * that comes out of order, because each tells the sender of other holes than the next.
   */
  pollUrgent(nowMs: number): number {
    const machine = this.#urgent;
    if (machine === undefined) return -1;
    this.#urgent = undefined;
    return Math.max(-1, machine.buildNext(nowMs));
  }

  /** Builds the next packet, connections taking turns: a slot, or -1 when nothing is to be sent or no slot is free. */
  pollPacket(nowMs: number): number {
    if (this.#resets.length > 0) return this.#resets.build();
    for (;;) {
      const machine = this.#ready.peek();
      if (machine === undefined) return -1;
      const slot = machine.buildNext(nowMs);
      if (slot === NO_SLOT) return -1;
      if (slot >= 0) {
        if (this.#ready.length > 1) this.#ready.push(this.#ready.shift() as TcpMachine);
        return slot;
      }
      this.#ready.shift();
      machine.isReady = false;
      this.#timers.arm(machine, machine.deadlineMs);
    }
  }

  handleTimeout(nowMs: number): void {
    for (let machine = this.#timers.popDue(nowMs); machine !== undefined; machine = this.#timers.popDue(nowMs)) {
      machine.handleTimeout(nowMs);
      if (machine.state !== 'closed') this.touch(machine);
    }
  }

  /** Ends the connections whose own address is gone. */
  handleAddresses(): void {
    for (const machine of this.#demux.list()) {
      if (!this.#options.addresses.has(machine.local.address)) machine.handleAddressRemoved();
    }
  }

  /** The connection of a packet of ours that an ICMP error quotes. */
  find(local: Endpoint, remote: Endpoint): TcpMachine | undefined {
    return this.#demux.findFlow(new Flow(local, remote));
  }

  count(drop: NetstackDrop): void {
    this.#options.count(drop);
  }

  touch(machine: TcpMachine): void {
    if (machine.isReady) return;
    machine.isReady = true;
    this.#ready.push(machine);
  }

  raise(machine: TcpMachine, event: number): void {
    this.#options.events.raise(machine, event);
  }

  noteState(machine: TcpMachine, from: TcpState): void {
    const to = machine.state;
    if (machine.isPassive && isHalfOpen(from) && !isHalfOpen(to)) this.#halfOpen.remove(machine);
    if (machine.isPassive && !isHalfOpen(from) && isHalfOpen(to)) this.#halfOpen.add(machine);
    if (to === 'time-wait') this.#limitTimeWaits(machine);
    if (to !== 'closed') return;
    this.#demux.remove(machine);
    this.#timers.remove(machine);
  }

  refuse(flow: Flow, segment: Segment): void {
    if (!this.#resets.push(flow, segment)) this.count('output-full');
  }

  /** A segment of no connection: a SYN for a listener, or something to reset (RFC 9293 §3.10.7.1 and .2). */
  #handleStranger(header: IpHeader, segment: Segment, nowMs: number): void {
    if ((segment.flags & FLAG_RST) !== 0) {
      this.count('tcp-no-connection');
      return;
    }
    const listener = this.#listeners.get(segment.destinationPort);
    const isSyn = (segment.flags & (FLAG_SYN | FLAG_ACK)) === FLAG_SYN;
    const flow = this.#flowOf(header, segment);
    if (listener === undefined || !isSyn) {
      this.count('tcp-no-connection');
      this.refuse(flow, segment);
    } else if (segment.sourcePort === 0) {
      this.count('tcp-bad');
    } else if (!this.#halfOpen.hasRoomFor(flow.remote.address.text)) {
      this.count('tcp-half-open-full');
    } else if (this.#demux.count >= CONNECTIONS_MAX) {
      this.count('tcp-connections-full');
    } else {
      const machine = this.#create(flow, true, nowMs);
      this.#demux.add(machine);
      machine.listen(segment, listener.isDeferred, nowMs);
    }
  }

  #create(flow: Flow, isPassive: boolean, nowMs: number): TcpMachine {
    const numbers = this.#secrets.derive(flow.local, flow.remote, nowMs);
    const handshake = new Handshake({ family: flow.family, mtuBytes: this.#options.mtuBytes, ...numbers });
    return new TcpMachine(this, { id: this.#nextId++, flow, handshake, isPassive });
  }

  #flowOf(header: IpHeader, segment: Segment): Flow {
    const { bytes } = this.memory;
    const length = header.family === 4 ? 4 : 16;
    const remote = decodeAddress(bytes, header.sourceOffset, length);
    const local = decodeAddress(bytes, header.destinationOffset, length);
    return new Flow(createEndpoint(local, segment.destinationPort), createEndpoint(remote, segment.sourcePort));
  }

  /**
   * The next free local port of a remote endpoint's own sequence (RFC 6056 §3.3.3), or undefined when it has used up all.
   * Random ports would come back too early: a peer in TIME-WAIT then swallows the SYN.
   */
  #freeFlow(local: IpAddress, remote: Endpoint): Flow | undefined {
    const offset = this.#secrets.portOffset(local, remote);
    const first = (offset + this.#portsUsed++) % EPHEMERAL_COUNT;
    for (let i = 0; i < EPHEMERAL_COUNT; i++) {
      const port = EPHEMERAL_FIRST + ((first + i) % EPHEMERAL_COUNT);
      const flow = new Flow(createEndpoint(local, port), remote);
      if (!this.#listeners.has(port) && this.#demux.findFlow(flow) === undefined) return flow;
    }
    return undefined;
  }

  #limitTimeWaits(machine: TcpMachine): void {
    this.#timeWaits.push(machine);
    // Those that ended meanwhile are skipped: each was pushed once.
    while (this.#timeWaits.length > TIME_WAIT_MAX) this.#timeWaits.shift()?.expire();
    while (this.#timeWaits.peek()?.state === 'closed') this.#timeWaits.shift();
  }

  #hasValidChecksum(header: IpHeader): boolean {
    const addressBytes = header.family === 4 ? 8 : 32;
    const { payloadLength } = header;
    const sum =
      this.#checksum.sum(header.sourceOffset, addressBytes) +
      this.#checksum.sum(header.payloadOffset, payloadLength) +
      header.protocol +
      payloadLength;
    return foldChecksum(sum) === 0xffff;
  }

  #random(): number {
    const bytes = new Uint8Array(4);
    this.#options.rng.fill(bytes);
    return new DataView(bytes.buffer).getUint32(0);
  }
}

function isHalfOpen(state: TcpState): boolean {
  return state === 'deferred' || state === 'syn-received';
}
