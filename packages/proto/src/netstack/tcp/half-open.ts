import type { TcpMachine } from './tcp-machine.ts';

/** Incoming connections whose handshake is not done. */
export const HALF_OPEN_MAX = 2048;
/** No single peer may hold more than two thirds of them. */
const HALF_OPEN_PER_PEER_MAX = 1365;

/** Counts half-open connections, in all and by peer: a SYN beyond the bounds is dropped, and its sender tries again. */
export class HalfOpen {
  readonly #byPeer: Map<string, number> = new Map<string, number>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  hasRoomFor(peer: string): boolean {
    return this.#count < HALF_OPEN_MAX && (this.#byPeer.get(peer) ?? 0) < HALF_OPEN_PER_PEER_MAX;
  }

  add(machine: TcpMachine): void {
    const peer = machine.remote.address.text;
    this.#byPeer.set(peer, (this.#byPeer.get(peer) ?? 0) + 1);
    this.#count++;
  }

  remove(machine: TcpMachine): void {
    const peer = machine.remote.address.text;
    const left = (this.#byPeer.get(peer) ?? 0) - 1;
    if (left > 0) this.#byPeer.set(peer, left);
    else this.#byPeer.delete(peer);
    this.#count--;
  }
}
