import { concatBytes, isEqualConstantTime } from '../bytes/equal.ts';
import type { CryptoProvider, Rng } from '../crypto/provider.ts';
import { INDEX_OFFSET, MAC_BYTES, readIndex, TYPE_COOKIE_REPLY, writeHeader } from './messages.ts';
import { COOKIE_LABEL, COOKIE_LIFETIME_MS, MAC1_LABEL } from './outgoing-macs.ts';

/**
 * Checks the MACs of handshake messages to this node, and makes the cookies that prove a sender's address
 * (docs/spec/wireguard.md#macs-and-cookies). A cookie is a MAC over the source: nothing is stored per sender.
 */
export class IncomingMacs {
  readonly #crypto: CryptoProvider;
  readonly #rng: Rng;
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  readonly #secret = new Uint8Array(32);
  #secretUntilMs = Number.NEGATIVE_INFINITY;

  constructor(crypto: CryptoProvider, rng: Rng, publicKey: Uint8Array) {
    this.#crypto = crypto;
    this.#rng = rng;
    this.#mac1Key = crypto.blake2s(concatBytes(MAC1_LABEL, publicKey));
    this.#cookieKey = crypto.blake2s(concatBytes(COOKIE_LABEL, publicKey));
  }

  /** True when the sender knows our public key and the message arrived whole. */
  isMac1Valid(message: Uint8Array): boolean {
    const at = message.length - 2 * MAC_BYTES;
    const mac = this.#crypto.blake2sMac16(this.#mac1Key, message.subarray(0, at));
    return isEqualConstantTime(mac, message.subarray(at, at + MAC_BYTES));
  }

  /** True when the sender got a cookie of ours at this very source during the last two minutes. */
  isMac2Valid(message: Uint8Array, source: Uint8Array, nowMs: number): boolean {
    if (nowMs >= this.#secretUntilMs) return false;
    const at = message.length - MAC_BYTES;
    const mac = this.#crypto.blake2sMac16(this.#makeCookie(source), message.subarray(0, at));
    return isEqualConstantTime(mac, message.subarray(at));
  }

  /** Writes the 64-byte cookie reply to a message from `source`. `reply` may not overlap `message`. */
  writeReply(reply: Uint8Array, message: Uint8Array, source: Uint8Array, nowMs: number): void {
    if (nowMs >= this.#secretUntilMs) {
      this.#rng.fill(this.#secret);
      this.#secretUntilMs = nowMs + COOKIE_LIFETIME_MS;
    }
    const mac1At = message.length - 2 * MAC_BYTES;
    const mac1 = message.subarray(mac1At, mac1At + MAC_BYTES);
    const nonce = new Uint8Array(24);
    this.#rng.fill(nonce);
    writeHeader(reply, 0, TYPE_COOKIE_REPLY, readIndex(message, INDEX_OFFSET));
    reply.set(nonce, 8);
    reply.set(this.#crypto.xchachaSeal(this.#cookieKey, nonce, this.#makeCookie(source), mac1), 32);
  }

  #makeCookie(source: Uint8Array): Uint8Array {
    return this.#crypto.blake2sMac16(this.#secret, source);
  }
}
