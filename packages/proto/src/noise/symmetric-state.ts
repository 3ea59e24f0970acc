import { concatBytes } from '../bytes/equal.ts';
import { encodeUtf8 } from '../bytes/utf8.ts';
import type { CryptoProvider } from '../crypto/provider.ts';

/** The ciphers that a TS2021 handshake and its records need. */
export type NoiseCrypto = Pick<
  CryptoProvider,
  'x25519' | 'x25519PublicKey' | 'blake2s' | 'hmacBlake2s' | 'chachaSeal' | 'chachaOpen'
>;

const PROTOCOL_NAME = 'Noise_IK_25519_ChaChaPoly_BLAKE2s';
const EMPTY = new Uint8Array(0);
const ZERO_NONCE = new Uint8Array(12);

/**
 * The symmetric state of a Noise handshake (Noise revision 34 §5.2): chaining key, transcript hash and a key that
 * seals one message. Each key is used once, so its nonce is always zero.
 */
export class SymmetricState {
  readonly #crypto: NoiseCrypto;
  #hash: Uint8Array;
  #chainingKey: Uint8Array;
  #key: Uint8Array | undefined;

  constructor(crypto: NoiseCrypto) {
    this.#crypto = crypto;
    // The name has 33 bytes, one more than a hash, hence it is hashed instead of padded (§5.2 InitializeSymmetric).
    this.#hash = crypto.blake2s(encodeUtf8(PROTOCOL_NAME));
    this.#chainingKey = this.#hash;
  }

  /** The transcript hash so far, 32 bytes; must not be changed. */
  get hash(): Uint8Array {
    return this.#hash;
  }

  /** The chaining key so far, 32 secret bytes; must not be changed. For tests against recorded handshakes. */
  get chainingKey(): Uint8Array {
    return this.#chainingKey;
  }

  mixHash(data: Uint8Array): void {
    this.#hash = this.#crypto.blake2s(concatBytes(this.#hash, data));
  }

  /** Mixes X25519 of the two keys in; false for a low-order point, and the handshake must be given up. */
  mixSharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): boolean {
    const shared = this.#crypto.x25519(privateKey, publicKey);
    if (shared === undefined) return false;
    [this.#chainingKey, this.#key] = this.#expand(shared);
    return true;
  }

  /** Seals with the key of the last {@link mixSharedSecret} and the hash as associated data. */
  seal(plaintext: Uint8Array): Uint8Array {
    const sealed = this.#crypto.chachaSeal(this.#takeKey(), ZERO_NONCE, plaintext, this.#hash);
    this.mixHash(sealed);
    return sealed;
  }

  /** `undefined` when the tag does not match; the handshake must then be given up. */
  open(sealed: Uint8Array): Uint8Array | undefined {
    const plaintext = this.#crypto.chachaOpen(this.#takeKey(), ZERO_NONCE, sealed, this.#hash);
    if (plaintext !== undefined) this.mixHash(sealed);
    return plaintext;
  }

  /** The two transport keys: initiator to responder, responder to initiator. */
  split(): readonly [Uint8Array, Uint8Array] {
    return this.#expand(EMPTY);
  }

  /** HKDF with two outputs (§4.3). */
  #expand(input: Uint8Array): readonly [Uint8Array, Uint8Array] {
    const secret = this.#crypto.hmacBlake2s(this.#chainingKey, input);
    const first = this.#crypto.hmacBlake2s(secret, Uint8Array.of(1));
    return [first, this.#crypto.hmacBlake2s(secret, concatBytes(first, Uint8Array.of(2)))];
  }

  #takeKey(): Uint8Array {
    const key = this.#key;
    if (key === undefined) throw new RangeError('a handshake key seals one message only');
    this.#key = undefined;
    return key;
  }
}
