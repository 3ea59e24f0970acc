import { formatHex } from '../bytes/hex.ts';
import type { Endpoint } from '../ip/endpoint.ts';

/** A ping counts as lost after this time. */
export const PING_TIMEOUT_MS = 5000;
/** Pings waiting for a pong per peer. When full the oldest is forgotten, as if it had been lost unnoticed. */
export const PING_COUNT_MAX = 256;

/** A ping on its way. */
export interface SentPing {
  readonly endpoint: Endpoint;
  readonly sentAtMs: number;
}

/** The pings of one peer that wait for a pong, oldest first. */
export class PingTable {
  // Insertion order is age order: every ping lives equally long.
  readonly #pings = new Map<string, SentPing>();

  get size(): number {
    return this.#pings.size;
  }

  add(txId: Uint8Array, ping: SentPing): void {
    if (this.#pings.size >= PING_COUNT_MAX) this.#dropOldest();
    this.#pings.set(formatHex(txId), ping);
  }

  /** Removes and returns the ping that a pong with this transaction id answers. */
  take(txId: Uint8Array): SentPing | undefined {
    const key = formatHex(txId);
    const ping = this.#pings.get(key);
    if (ping !== undefined) this.#pings.delete(key);
    return ping;
  }

  /** Removes and returns one ping that is lost by now; call until `undefined`. */
  takeLost(nowMs: number): SentPing | undefined {
    for (const [key, ping] of this.#pings) {
      if (nowMs < ping.sentAtMs + PING_TIMEOUT_MS) return undefined;
      this.#pings.delete(key);
      return ping;
    }
    return undefined;
  }

  /** When the next ping is lost; Infinity when none waits. */
  get nextLossAtMs(): number {
    for (const ping of this.#pings.values()) return ping.sentAtMs + PING_TIMEOUT_MS;
    return Number.POSITIVE_INFINITY;
  }

  clear(): void {
    this.#pings.clear();
  }

  #dropOldest(): void {
    for (const oldest of this.#pings.keys()) {
      this.#pings.delete(oldest);
      return;
    }
  }
}
