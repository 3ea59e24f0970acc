import type { Rng } from '../../src/crypto/provider.ts';

/** What a link does to packets; shares are of 1. */
export interface LinkFaults {
  readonly delayMs: number;
  /** Added to each packet, evenly from 0 to this: more than the spacing of packets reorders them. */
  readonly jitterMs: number;
  readonly loss: number;
  readonly duplicate: number;
  /** One bit flipped. */
  readonly corrupt: number;
  /** Bits a millisecond; infinity for no limit. */
  readonly kilobitsPerSecond: number;
  /** Bytes that wait for a limited link; beyond it packets are lost. */
  readonly queueBytes: number;
}

/** A link that only takes time. */
export const PERFECT_LINK: LinkFaults = {
  delayMs: 10,
  jitterMs: 0,
  loss: 0,
  duplicate: 0,
  corrupt: 0,
  kilobitsPerSecond: Number.POSITIVE_INFINITY,
  queueBytes: Number.POSITIVE_INFINITY,
};

interface Arrival {
  readonly atMs: number;
  readonly order: number;
  readonly packet: Uint8Array;
}

/** One direction of a bad network, seeded and in virtual time: the same seed gives the same accidents. */
export class LossyLink {
  readonly #faults: LinkFaults;
  readonly #rng: Rng;
  readonly #word: Uint8Array = new Uint8Array(4);
  #arrivals: Arrival[] = [];
  #order = 0;
  #busyUntilMs = 0;
  sentCount = 0;
  lostCount = 0;

  constructor(faults: LinkFaults, rng: Rng) {
    this.#faults = faults;
    this.#rng = rng;
  }

  /** When the next packet arrives, or infinity. */
  get nextAtMs(): number {
    return this.#arrivals[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  /** Puts a packet on the link; it is copied. */
  send(packet: Uint8Array, nowMs: number): void {
    this.sentCount++;
    const { kilobitsPerSecond, queueBytes } = this.#faults;
    const waitingBytes = (Math.max(0, this.#busyUntilMs - nowMs) * kilobitsPerSecond) / 8;
    if (this.#random() < this.#faults.loss || waitingBytes + packet.length > queueBytes) {
      this.lostCount++;
      return;
    }
    this.#busyUntilMs = Math.max(nowMs, this.#busyUntilMs) + (packet.length * 8) / kilobitsPerSecond;
    this.#deliver(packet);
    if (this.#random() < this.#faults.duplicate) this.#deliver(packet);
  }

  /** The next packet that has arrived by `nowMs`. */
  receive(nowMs: number): Uint8Array | undefined {
    return this.nextAtMs <= nowMs ? this.#arrivals.shift()?.packet : undefined;
  }

  #deliver(packet: Uint8Array): void {
    const copy = packet.slice();
    if (this.#random() < this.#faults.corrupt) {
      const at = Math.floor(this.#random() * copy.length);
      copy[at] = (copy[at] as number) ^ (1 << Math.floor(this.#random() * 8));
    }
    const atMs = this.#busyUntilMs + this.#faults.delayMs + this.#random() * this.#faults.jitterMs;
    const arrival = { atMs, order: this.#order++, packet: copy };
    let at = this.#arrivals.length;
    while (at > 0 && (this.#arrivals[at - 1] as Arrival).atMs > atMs) at--;
    this.#arrivals.splice(at, 0, arrival);
  }

  #random(): number {
    this.#rng.fill(this.#word);
    return new DataView(this.#word.buffer).getUint32(0) / 0x1_0000_0000;
  }
}
