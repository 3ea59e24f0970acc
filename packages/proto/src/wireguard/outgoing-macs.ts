import { concatBytes } from '../bytes/equal.ts';
import { encodeUtf8 } from '../bytes/utf8.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { MAC_BYTES } from './messages.ts';

export const MAC1_LABEL: Uint8Array = encodeUtf8('mac1----');
export const COOKIE_LABEL: Uint8Array = encodeUtf8('cookie--');
/** How long a cookie is good, for whoever made it and whoever uses it. */
export const COOKIE_LIFETIME_MS = 120_000;

/**
 * The two MACs that close handshake messages to one peer, and the cookie that peer asked for
 * (docs/spec/wireguard.md#macs-and-cookies).
 */
export class OutgoingMacs {
  readonly #crypto: CryptoProvider;
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  #lastMac1: Uint8Array | undefined;
  #cookie: Uint8Array | undefined;
  #cookieAtMs = 0;

  constructor(crypto: CryptoProvider, remoteStatic: Uint8Array) {
    this.#crypto = crypto;
    this.#mac1Key = crypto.blake2s(concatBytes(MAC1_LABEL, remoteStatic));
    this.#cookieKey = crypto.blake2s(concatBytes(COOKIE_LABEL, remoteStatic));
  }

  /** Writes the last 32 bytes of a message whose rest is complete. mac2 is zero without a fresh cookie. */
  stamp(message: Uint8Array, nowMs: number): void {
    const mac1At = message.length - 2 * MAC_BYTES;
    const mac2At = message.length - MAC_BYTES;
    this.#lastMac1 = this.#crypto.blake2sMac16(this.#mac1Key, message.subarray(0, mac1At));
    message.set(this.#lastMac1, mac1At);
    if (this.#cookie !== undefined && nowMs - this.#cookieAtMs < COOKIE_LIFETIME_MS) {
      message.set(this.#crypto.blake2sMac16(this.#cookie, message.subarray(0, mac2At)), mac2At);
    } else {
      message.fill(0, mac2At);
    }
  }

  /**
   * Keeps the cookie of a reply for the next message; nothing is sent again for it. False when the reply does not
   * answer the last message: its AEAD binds that message's mac1.
   */
  acceptReply(reply: Uint8Array, nowMs: number): boolean {
    if (this.#lastMac1 === undefined) return false;
    const nonce = reply.subarray(8, 32);
    const cookie = this.#crypto.xchachaOpen(this.#cookieKey, nonce, reply.subarray(32, 64), this.#lastMac1);
    if (cookie === undefined) return false;
    this.#cookie = cookie;
    this.#cookieAtMs = nowMs;
    return true;
  }
}
