import type { Keypair } from './keypair.ts';

/**
 * The up to three sessions with one peer (docs/spec/wireguard.md#sessions).
 *
 * - `current` sends. `previous` only receives what was under way at the last change.
 * - `next` was derived by this side as responder; it may send only after the initiator proved, by one authentic packet,
 *   that it has the keys. That packet makes it `current`.
 *
 * A session that leaves all three is wiped and reported to `onRetire`.
 */
export class KeypairSlots {
  readonly #onRetire: (keypair: Keypair) => void;
  #previous: Keypair | undefined;
  #current: Keypair | undefined;
  #next: Keypair | undefined;

  constructor(onRetire: (keypair: Keypair) => void) {
    this.#onRetire = onRetire;
  }

  get current(): Keypair | undefined {
    return this.#current;
  }

  /** Takes the session of a response that this side received: it is confirmed already. */
  addInitiated(keypair: Keypair): void {
    this.#retire(this.#previous);
    if (this.#next === undefined) {
      this.#previous = this.#current;
    } else {
      this.#retire(this.#current);
      this.#previous = this.#next;
      this.#next = undefined;
    }
    this.#current = keypair;
  }

  /** Takes the session of a response that this side sent. */
  addResponded(keypair: Keypair): void {
    this.#retire(this.#previous);
    this.#previous = undefined;
    this.#retire(this.#next);
    this.#next = keypair;
  }

  /** Call for every authentic packet. True when it was the first of `next`, which is `current` from now on. */
  confirm(keypair: Keypair): boolean {
    if (keypair !== this.#next) return false;
    this.#retire(this.#previous);
    this.#previous = this.#current;
    this.#current = keypair;
    this.#next = undefined;
    return true;
  }

  /** Stops sending until another session comes; what was under way can still be received. */
  retireCurrent(): void {
    if (this.#current === undefined) return;
    this.#retire(this.#previous);
    this.#previous = this.#current;
    this.#current = undefined;
  }

  clear(): void {
    this.#retire(this.#previous);
    this.#retire(this.#current);
    this.#retire(this.#next);
    this.#previous = undefined;
    this.#current = undefined;
    this.#next = undefined;
  }

  #retire(keypair: Keypair | undefined): void {
    if (keypair === undefined) return;
    keypair.wipe();
    this.#onRetire(keypair);
  }
}
