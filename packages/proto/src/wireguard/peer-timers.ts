import type { Jitter } from './jitter.ts';

/** After a handshake message, none is begun with the same peer for this long. */
export const REKEY_TIMEOUT_MS = 5_000;
/** A handshake without an answer is given up after this long. */
export const REKEY_ATTEMPT_MS = 90_000;
/** After received data, silence of our own lasts at most this long. */
export const KEEPALIVE_TIMEOUT_MS = 10_000;
/** A peer that is silent this long after data is asked for a new session. */
export const SILENCE_TIMEOUT_MS: number = KEEPALIVE_TIMEOUT_MS + REKEY_TIMEOUT_MS;
/** Key material without a successor is destroyed after this long. */
export const ZERO_AFTER_MS = 540_000;

const OFF = Number.POSITIVE_INFINITY;

export type PeerTimer = 'retransmit' | 'keepalive' | 'new-handshake' | 'zero-keys' | 'persistent-keepalive';

/** The five deadlines of a peer (docs/spec/wireguard.md#timers). Only arithmetic: `WireGuard` acts when one fires. */
export class PeerTimers {
  readonly #persistentMs: number;
  #retransmitAtMs = OFF;
  #keepaliveAtMs = OFF;
  #newHandshakeAtMs = OFF;
  #zeroKeysAtMs = OFF;
  #persistentAtMs = OFF;

  /** @param persistentMs Interval of unasked keepalives, 0 for none. */
  constructor(persistentMs: number, nowMs: number) {
    this.#persistentMs = persistentMs;
    // A peer that never completes a handshake must not keep anything for ever either.
    this.#zeroKeysAtMs = nowMs + ZERO_AFTER_MS;
  }

  /** True while a handshake of ours waits for its answer or its turn. */
  get isHandshaking(): boolean {
    return this.#retransmitAtMs !== OFF;
  }

  scheduleHandshake(atMs: number): void {
    this.#retransmitAtMs = atMs;
  }

  endHandshake(): void {
    this.#retransmitAtMs = OFF;
  }

  handshakeGaveUp(nowMs: number): void {
    this.#retransmitAtMs = OFF;
    this.#keepaliveAtMs = OFF;
    if (this.#zeroKeysAtMs === OFF) this.#zeroKeysAtMs = nowMs + ZERO_AFTER_MS;
  }

  sessionDerived(nowMs: number): void {
    this.#zeroKeysAtMs = nowMs + ZERO_AFTER_MS;
  }

  /** Data went out: an answer of any kind must come. Counts from the first unanswered packet, not from the last. */
  dataSent(nowMs: number, jitter: Jitter): void {
    if (this.#newHandshakeAtMs === OFF) this.#newHandshakeAtMs = nowMs + SILENCE_TIMEOUT_MS + jitter.drawMs();
  }

  /**
   * Data came: something must go back.
   *
   * DEVIATION: no second keepalive is owed for data that comes while the first is due: that one answers it as well. (In
   * wireguard-go the second is armed, and then cancelled by the first being sent.)
   */
  dataReceived(nowMs: number): void {
    if (this.#keepaliveAtMs === OFF) this.#keepaliveAtMs = nowMs + KEEPALIVE_TIMEOUT_MS;
  }

  /** Any message that the peer can authenticate went out. */
  authenticSent(nowMs: number): void {
    this.#keepaliveAtMs = OFF;
    if (this.#persistentMs > 0) this.#persistentAtMs = nowMs + this.#persistentMs;
  }

  authenticReceived(nowMs: number): void {
    this.#newHandshakeAtMs = OFF;
    if (this.#persistentMs > 0) this.#persistentAtMs = nowMs + this.#persistentMs;
  }

  /** The peer has forgotten its sessions: nothing of them is awaited or owed any more. */
  sessionLost(): void {
    this.#retransmitAtMs = OFF;
    this.#newHandshakeAtMs = OFF;
    this.#keepaliveAtMs = OFF;
  }

  nextAtMs(): number {
    return Math.min(
      this.#retransmitAtMs,
      this.#keepaliveAtMs,
      this.#newHandshakeAtMs,
      this.#zeroKeysAtMs,
      this.#persistentAtMs,
    );
  }

  /** Disarms and names one timer that is due, or re-arms it where it repeats; `undefined` when none is. */
  takeDue(nowMs: number): PeerTimer | undefined {
    if (this.#zeroKeysAtMs <= nowMs) {
      this.#zeroKeysAtMs = OFF;
      return 'zero-keys';
    }
    if (this.#retransmitAtMs <= nowMs) {
      this.#retransmitAtMs = OFF;
      return 'retransmit';
    }
    if (this.#newHandshakeAtMs <= nowMs) {
      this.#newHandshakeAtMs = OFF;
      return 'new-handshake';
    }
    if (this.#keepaliveAtMs <= nowMs) {
      this.#keepaliveAtMs = OFF;
      return 'keepalive';
    }
    if (this.#persistentAtMs <= nowMs) {
      this.#persistentAtMs = nowMs + this.#persistentMs;
      return 'persistent-keepalive';
    }
    return undefined;
  }
}
