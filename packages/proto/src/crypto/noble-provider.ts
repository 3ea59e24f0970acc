import { chacha20poly1305, xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { blake2s } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';
import { deriveBoxKey } from './box-key.ts';
import { PACKET_TAG_BYTES, requirePacketInside, requirePacketKey, wipedCipherError } from './packet-checks.ts';
import type { CryptoProvider, PacketCipher } from './provider.ts';

const NO_BYTES = new Uint8Array(0);

/**
 * The reference ciphers: every primitive in audited TypeScript, slow and the same everywhere. Tests of all rooms use
 * it, and the shell's fast provider is checked against it.
 */
export const nobleProvider: CryptoProvider = {
  x25519: sharedSecret,
  x25519PublicKey: (privateKey) => x25519.getPublicKey(privateKey),
  blake2s: (message) => blake2s(message),
  blake2sMac16: (key, message) => blake2s(message, { key, dkLen: 16 }),
  hmacBlake2s: (key, message) => hmac(blake2s, key, message),
  chachaSeal: (key, nonce, plaintext, aad) => chacha20poly1305(key, nonce, aad).encrypt(plaintext),
  chachaOpen: (key, nonce, ciphertext, aad) => openOrUndefined(chacha20poly1305(key, nonce, aad), ciphertext),
  xchachaSeal: (key, nonce, plaintext, aad) => xchacha20poly1305(key, nonce, aad).encrypt(plaintext),
  xchachaOpen: (key, nonce, ciphertext, aad) => openOrUndefined(xchacha20poly1305(key, nonce, aad), ciphertext),
  boxPrecompute,
  secretboxSeal: (key, nonce, plaintext) => xsalsa20poly1305(key, nonce).encrypt(plaintext),
  secretboxOpen: (key, nonce, box) => openOrUndefined(xsalsa20poly1305(key, nonce), box),
  createPacketCipher: (key) => new NoblePacketCipher(key),
};

/** The readable twin of the shell's in-place cipher: it works on copies, and `open` leaves the bytes alone on failure. */
class NoblePacketCipher implements PacketCipher {
  #key: Uint8Array | undefined;
  readonly #nonce = new Uint8Array(12);
  readonly #nonceView = new DataView(this.#nonce.buffer);

  constructor(key: Uint8Array) {
    requirePacketKey(key);
    this.#key = key.slice();
  }

  seal(memory: Uint8Array, offset: number, length: number, counter: number): void {
    requirePacketInside(memory, offset, length + PACKET_TAG_BYTES);
    const plaintext = memory.slice(offset, offset + length);
    memory.set(nobleProvider.chachaSeal(this.#requireKey(), this.#nonceOf(counter), plaintext, NO_BYTES), offset);
  }

  open(memory: Uint8Array, offset: number, length: number, counter: number): boolean {
    requirePacketInside(memory, offset, length);
    const ciphertext = memory.slice(offset, offset + length);
    const plaintext = nobleProvider.chachaOpen(this.#requireKey(), this.#nonceOf(counter), ciphertext, NO_BYTES);
    if (plaintext === undefined) return false;
    memory.set(plaintext, offset);
    return true;
  }

  wipe(): void {
    this.#key?.fill(0);
    this.#key = undefined;
  }

  #requireKey(): Uint8Array {
    if (this.#key === undefined) throw wipedCipherError();
    return this.#key;
  }

  #nonceOf(counter: number): Uint8Array {
    this.#nonceView.setUint32(4, counter >>> 0, true);
    this.#nonceView.setUint32(8, Math.floor(counter / 0x1_0000_0000), true);
    return this.#nonce;
  }
}

function sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
  requireLength('private key', privateKey, 32);
  requireLength('public key', publicKey, 32);
  try {
    return x25519.getSharedSecret(privateKey, publicKey);
  } catch {
    // The lengths are right, so the point has low order.
    return undefined;
  }
}

function boxPrecompute(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
  const secret = sharedSecret(privateKey, publicKey);
  return secret && deriveBoxKey(secret);
}

function openOrUndefined(
  cipher: { decrypt(ciphertext: Uint8Array): Uint8Array },
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  if (ciphertext.length < PACKET_TAG_BYTES) return undefined;
  try {
    return cipher.decrypt(ciphertext);
  } catch {
    // Key and nonce were checked when the cipher was made: what is left is the tag.
    return undefined;
  }
}

function requireLength(what: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new RangeError(`${what} of ${bytes.length} bytes, expected ${length}`);
}
