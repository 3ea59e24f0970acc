/**
 * The envelope of every disco message (docs/spec/disco.md#envelope).
 *
 * ```
 *  0                   6                38         62            78
 *  | 54 53 f0 9f 92 ac | sender key 32  | nonce 24 | Poly1305 16 | ciphertext
 * ```
 */
import type { CryptoProvider, Rng } from '../crypto/provider.ts';
import { KeyMap } from '../keys/key-map.ts';
import type { DiscoPrivateKey } from '../keys/private-key.ts';
import type { DiscoPublicKey } from '../keys/public-key.ts';

/** "TS" and a speech balloon in UTF-8. */
export const DISCO_MAGIC: Uint8Array = Uint8Array.of(0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac);
/** Where the sender's 32-byte disco key begins. */
export const DISCO_SENDER_OFFSET = 6;
/** Magic, sender key and nonce: anything shorter cannot be opened. */
export const DISCO_HEADER_BYTES = 62;

const NONCE_OFFSET = 38;
const NONCE_BYTES = 24;
const TAG_BYTES = 16;
/** Shared secrets kept, 32 bytes each. A full cache starts over: a lost entry costs one X25519. */
const SECRET_COUNT_MAX = 4096;

/** True when `bytes[offset..]` begins with the magic; reads at most `length` bytes. */
export function hasDiscoMagic(bytes: Uint8Array, offset: number, length: number): boolean {
  if (length < DISCO_MAGIC.length) return false;
  for (let i = 0; i < DISCO_MAGIC.length; i++) if (bytes[offset + i] !== DISCO_MAGIC[i]) return false;
  return true;
}

/**
 * Seals and opens disco messages with one private key, remembering the shared secret of each peer.
 *
 * Opening costs an X25519 for a new sender: the caller looks the sender up among its peers first
 * ({@link DISCO_SENDER_OFFSET}) and calls {@link DiscoBox.forget} when a peer's key is gone.
 */
export class DiscoBox {
  readonly #privateKey: DiscoPrivateKey;
  readonly #crypto: CryptoProvider;
  readonly #rng: Rng;
  #secrets = new KeyMap<'disco', Uint8Array>();

  constructor(o: { privateKey: DiscoPrivateKey; crypto: CryptoProvider; rng: Rng }) {
    this.#privateKey = o.privateKey;
    this.#crypto = o.crypto;
    this.#rng = o.rng;
  }

  /** Returns the whole datagram; `undefined` when the peer's key is a low-order point, so that nothing can be sent. */
  seal(to: DiscoPublicKey, plaintext: Uint8Array): Uint8Array | undefined {
    const secret = this.#secret(to);
    if (secret === undefined) return undefined;
    const out = new Uint8Array(DISCO_HEADER_BYTES + TAG_BYTES + plaintext.length);
    out.set(DISCO_MAGIC);
    out.set(this.#privateKey.publicKey, DISCO_SENDER_OFFSET);
    const nonce = out.subarray(NONCE_OFFSET, NONCE_OFFSET + NONCE_BYTES);
    this.#rng.fill(nonce);
    out.set(this.#crypto.secretboxSeal(secret, nonce, plaintext), DISCO_HEADER_BYTES);
    return out;
  }

  /** Opens a datagram of at least {@link DISCO_HEADER_BYTES} that names `from` as its sender. */
  open(from: DiscoPublicKey, bytes: Uint8Array): Uint8Array | 'short' | 'bad-box' {
    if (bytes.length < DISCO_HEADER_BYTES + TAG_BYTES) return 'short';
    const secret = this.#secret(from);
    if (secret === undefined) return 'bad-box';
    const nonce = bytes.subarray(NONCE_OFFSET, NONCE_OFFSET + NONCE_BYTES);
    return this.#crypto.secretboxOpen(secret, nonce, bytes.subarray(DISCO_HEADER_BYTES)) ?? 'bad-box';
  }

  /** Overwrites and drops the secret shared with `key`. */
  forget(key: DiscoPublicKey): void {
    this.#secrets.get(key)?.fill(0);
    this.#secrets.delete(key);
  }

  #secret(key: DiscoPublicKey): Uint8Array | undefined {
    const cached = this.#secrets.get(key);
    if (cached !== undefined) return cached;
    const secret = this.#crypto.boxPrecompute(this.#privateKey.exposeBytes(), key);
    if (secret === undefined) return undefined;
    if (this.#secrets.size >= SECRET_COUNT_MAX) this.#dropSecrets();
    this.#secrets.set(key, secret);
    return secret;
  }

  #dropSecrets(): void {
    for (const secret of this.#secrets.values()) secret.fill(0);
    this.#secrets = new KeyMap();
  }
}
