import { PacketArena } from '../src/bytes/packet-arena.ts';
import { type IpAddress, parseAddress } from '../src/ip/address.ts';
import { Netstack, type NetstackEvent, type TcpConnection } from '../src/netstack/netstack.ts';
import { seededRng } from './seeded-rng.ts';
import { type LinkFaults, LossyLink } from './sim/lossy-link.ts';

/** Addresses of the two stacks, as in the verified vectors. */
export const LEFT_IPV4: IpAddress = parseAddress('100.64.0.1') as IpAddress;
export const RIGHT_IPV4: IpAddress = parseAddress('100.64.0.2') as IpAddress;
export const LEFT_IPV6: IpAddress = parseAddress('fd7a:115c:a1e0::1') as IpAddress;
export const RIGHT_IPV6: IpAddress = parseAddress('fd7a:115c:a1e0::2') as IpAddress;

/** Two stacks and the two directions between them, in virtual time. */
export class NetstackWorld {
  readonly arena: PacketArena = new PacketArena(new Uint8Array(2048 * 8192));
  readonly left: Netstack;
  readonly right: Netstack;
  readonly toRight: LossyLink;
  readonly toLeft: LossyLink;
  nowMs = 1000;
  onLeft: (event: NetstackEvent) => void = () => {};
  onRight: (event: NetstackEvent) => void = () => {};

  constructor(faults: LinkFaults, seed: number, mtuBytes = 1280) {
    this.left = this.#createStack(seed, [LEFT_IPV4, LEFT_IPV6], mtuBytes);
    this.right = this.#createStack(seed + 1, [RIGHT_IPV4, RIGHT_IPV6], mtuBytes);
    this.toRight = new LossyLink(faults, seededRng(seed + 2));
    this.toLeft = new LossyLink(faults, seededRng(seed + 3));
  }

  /** Runs until the condition holds; throws when it does not within `limitMs` of virtual time. */
  runUntil(isDone: () => boolean, limitMs = 600_000): void {
    const endMs = this.nowMs + limitMs;
    for (this.#drain(); !isDone(); this.#drain()) {
      const nextMs = this.#nextAtMs();
      if (nextMs > endMs) throw new Error(`not done after ${limitMs} virtual ms`);
      this.nowMs = Math.max(this.nowMs, nextMs);
      this.#step();
    }
  }

  /** Runs for a span of virtual time. */
  run(spanMs: number): void {
    const endMs = this.nowMs + spanMs;
    for (this.#drain(); this.#nextAtMs() <= endMs; this.#drain()) {
      this.nowMs = Math.max(this.nowMs, this.#nextAtMs());
      this.#step();
    }
    this.nowMs = endMs;
  }

  #createStack(seed: number, addresses: readonly IpAddress[], mtuBytes: number): Netstack {
    const stack = new Netstack({ arena: this.arena, rng: seededRng(seed), mtuBytes });
    stack.setAddresses(addresses, this.nowMs);
    return stack;
  }

  #nextAtMs(): number {
    const left = this.left.pollTimeout()?.atMs ?? Number.POSITIVE_INFINITY;
    const right = this.right.pollTimeout()?.atMs ?? Number.POSITIVE_INFINITY;
    return Math.min(left, right, this.toRight.nextAtMs, this.toLeft.nextAtMs);
  }

  #step(): void {
    this.left.handleTimeout(this.nowMs);
    this.right.handleTimeout(this.nowMs);
    this.#deliver(this.toRight, this.right);
    this.#deliver(this.toLeft, this.left);
  }

  #deliver(link: LossyLink, stack: Netstack): void {
    for (let packet = link.receive(this.nowMs); packet !== undefined; packet = link.receive(this.nowMs)) {
      const slot = this.arena.copyIn(packet);
      if (slot >= 0) stack.handlePacket(slot, this.nowMs);
    }
  }

  #drain(): void {
    for (;;) {
      const left = this.left.pollEvent();
      const right = this.right.pollEvent();
      if (left !== undefined) this.onLeft(left);
      if (right !== undefined) this.onRight(right);
      if (left !== undefined || right !== undefined) continue;
      if (!this.#pull(this.left, this.toRight) && !this.#pull(this.right, this.toLeft)) return;
    }
  }

  #pull(stack: Netstack, link: LossyLink): boolean {
    const slot = stack.pollPacket(this.nowMs);
    if (slot < 0) return false;
    link.send(this.arena.packet(slot), this.nowMs);
    this.arena.free(slot);
    return true;
  }
}

/** Writes `data` and then the FIN, as room comes; call `pump` at the connection's connect and writable events. */
export class Upload {
  readonly #data: Uint8Array;
  #sent = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  pump(connection: TcpConnection, nowMs: number): void {
    this.#sent += connection.write(this.#data.subarray(this.#sent), nowMs);
    if (this.#sent === this.#data.length) connection.shutdown(nowMs);
  }
}

/** Reads everything there is, at readable and remote-end events. */
export class Download {
  readonly #scratch: Uint8Array = new Uint8Array(65_536);
  readonly #parts: Uint8Array[] = [];
  length = 0;

  take(connection: TcpConnection, nowMs: number): void {
    for (let n = connection.read(this.#scratch, nowMs); n > 0; n = connection.read(this.#scratch, nowMs)) {
      this.#parts.push(this.#scratch.slice(0, n));
      this.length += n;
    }
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}
