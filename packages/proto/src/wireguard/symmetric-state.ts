import { concatBytes } from '../bytes/equal.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { deriveKeys } from './kdf.ts';

/** Every handshake AEAD uses counter 0: each key seals exactly one field. */
const ZERO_NONCE = new Uint8Array(12);
const EMPTY = new Uint8Array(0);

/**
 * The running secret of one handshake: chaining key and transcript hash, 32 bytes each
 * (docs/spec/wireguard.md#handshake).
 *
 * A failed open leaves the state useless. Whoever may still need it works on a {@link SymmetricState.copy}.
 */
export class SymmetricState {
  readonly #crypto: CryptoProvider;
  #chainingKey: Uint8Array;
  #hash: Uint8Array;

  constructor(crypto: CryptoProvider, chainingKey: Uint8Array, hash: Uint8Array) {
    this.#crypto = crypto;
    this.#chainingKey = chainingKey.slice();
    this.#hash = hash.slice();
  }

  get chainingKey(): Uint8Array {
    return this.#chainingKey;
  }

  get hash(): Uint8Array {
    return this.#hash;
  }

  copy(): SymmetricState {
    return new SymmetricState(this.#crypto, this.#chainingKey, this.#hash);
  }

  mixHash(data: Uint8Array): void {
    this.#hash = this.#crypto.blake2s(concatBytes(this.#hash, data));
  }

  mixKey(input: Uint8Array): void {
    this.#chain(deriveKeys(this.#crypto, this.#chainingKey, input, 1)[0]);
  }

  /** Mixes the pre-shared key into chaining key and hash, and returns the AEAD key of the field that follows. */
  mixPresharedKey(presharedKey: Uint8Array): Uint8Array {
    const [chainingKey, mixed, key] = deriveKeys(this.#crypto, this.#chainingKey, presharedKey, 3);
    this.#chain(chainingKey);
    this.mixHash(mixed);
    return key;
  }

  /** Mixes a shared secret into the chaining key, and returns the AEAD key of the field that follows. */
  mixSecret(secret: Uint8Array): Uint8Array {
    const [chainingKey, key] = deriveKeys(this.#crypto, this.#chainingKey, secret, 2);
    this.#chain(chainingKey);
    return key;
  }

  seal(key: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const sealed = this.#crypto.chachaSeal(key, ZERO_NONCE, plaintext, this.#hash);
    this.mixHash(sealed);
    return sealed;
  }

  /** `undefined` when the field is not authentic. */
  open(key: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    const plaintext = this.#crypto.chachaOpen(key, ZERO_NONCE, sealed, this.#hash);
    if (plaintext !== undefined) this.mixHash(sealed);
    return plaintext;
  }

  /** Ends the handshake: the two transport keys, the initiator's sending key first. */
  split(): [Uint8Array, Uint8Array] {
    const [first, second] = deriveKeys(this.#crypto, this.#chainingKey, EMPTY, 2);
    this.wipe();
    return [first, second];
  }

  wipe(): void {
    this.#chainingKey.fill(0);
    this.#hash.fill(0);
  }

  #chain(next: Uint8Array): void {
    this.#chainingKey.fill(0);
    this.#chainingKey = next;
  }
}
