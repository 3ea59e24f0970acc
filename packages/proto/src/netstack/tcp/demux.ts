import type { IpHeader, PacketMemory } from '../ip-header.ts';
import type { Flow } from './flow.ts';
import type { Segment } from './segment.ts';
import type { TcpMachine } from './tcp-machine.ts';

const BUCKETS_MIN = 256;

/**
 * The connections by 4-tuple: a chained hash table looked up straight from a packet's words, without a key object.
 * The hash is seeded, so that a peer cannot choose ports that fall into one chain.
 */
export class Demux {
  readonly #seed: number;
  #buckets: (TcpMachine | undefined)[] = new Array<TcpMachine | undefined>(BUCKETS_MIN).fill(undefined);
  #count = 0;

  constructor(seed: number) {
    this.#seed = seed | 0;
  }

  get count(): number {
    return this.#count;
  }

  /** The connection a received segment belongs to. */
  find(memory: PacketMemory, header: IpHeader, segment: Segment): TcpMachine | undefined {
    const { view } = memory;
    const { sourceOffset, destinationOffset } = header;
    const ports = (segment.destinationPort << 16) | segment.sourcePort;
    const isIpv6 = header.family === 6;
    const remoteLast = view.getInt32(sourceOffset + (isIpv6 ? 12 : 0));
    let machine = this.#buckets[this.#bucketOf(ports, remoteLast)];
    while (machine !== undefined) {
      const { flow } = machine;
      if (
        flow.ports === ports &&
        flow.family === header.family &&
        flow.remote0 === view.getInt32(sourceOffset) &&
        flow.local0 === view.getInt32(destinationOffset) &&
        (!isIpv6 || hasSameTail(view, header, flow))
      ) {
        return machine;
      }
      machine = machine.nextInBucket;
    }
    return undefined;
  }

  /** The connection with this 4-tuple. */
  findFlow(flow: Flow): TcpMachine | undefined {
    let machine = this.#buckets[this.#bucketOfFlow(flow)];
    while (machine !== undefined && !isSameFlow(machine.flow, flow)) machine = machine.nextInBucket;
    return machine;
  }

  add(machine: TcpMachine): void {
    if (this.#count === this.#buckets.length) this.#grow();
    this.#link(machine);
    this.#count++;
  }

  remove(machine: TcpMachine): void {
    const bucket = this.#bucketOfFlow(machine.flow);
    let at = this.#buckets[bucket];
    if (at === machine) {
      this.#buckets[bucket] = machine.nextInBucket;
    } else {
      while (at !== undefined && at.nextInBucket !== machine) at = at.nextInBucket;
      if (at === undefined) return;
      at.nextInBucket = machine.nextInBucket;
    }
    machine.nextInBucket = undefined;
    this.#count--;
  }

  /** All connections, in no order. */
  list(): TcpMachine[] {
    const machines: TcpMachine[] = [];
    for (const first of this.#buckets) {
      for (let machine = first; machine !== undefined; machine = machine.nextInBucket) machines.push(machine);
    }
    return machines;
  }

  #link(machine: TcpMachine): void {
    const bucket = this.#bucketOfFlow(machine.flow);
    machine.nextInBucket = this.#buckets[bucket];
    this.#buckets[bucket] = machine;
  }

  #grow(): void {
    const machines = this.list();
    this.#buckets = new Array<TcpMachine | undefined>(2 * this.#buckets.length).fill(undefined);
    for (const machine of machines) this.#link(machine);
  }

  #bucketOfFlow(flow: Flow): number {
    return this.#bucketOf(flow.ports, flow.family === 6 ? flow.remote3 : flow.remote0);
  }

  /** The peer's last address word tells peers apart; the rest is compared. */
  #bucketOf(ports: number, remoteLast: number): number {
    let hash = Math.imul(ports ^ this.#seed, 0x9e3779b1);
    hash = Math.imul((hash ^ (hash >>> 15)) + remoteLast, 0x85ebca77);
    hash ^= hash >>> 13;
    return hash & (this.#buckets.length - 1);
  }
}

function hasSameTail(view: DataView, header: IpHeader, flow: Flow): boolean {
  const { sourceOffset, destinationOffset } = header;
  return (
    flow.remote3 === view.getInt32(sourceOffset + 12) &&
    flow.remote2 === view.getInt32(sourceOffset + 8) &&
    flow.remote1 === view.getInt32(sourceOffset + 4) &&
    flow.local3 === view.getInt32(destinationOffset + 12) &&
    flow.local2 === view.getInt32(destinationOffset + 8) &&
    flow.local1 === view.getInt32(destinationOffset + 4)
  );
}

function isSameFlow(a: Flow, b: Flow): boolean {
  return (
    a.ports === b.ports &&
    a.family === b.family &&
    a.remote.address.text === b.remote.address.text &&
    a.local.address.text === b.local.address.text
  );
}
