import { formatHex, parseHex } from '../bytes/hex.ts';
import type { CryptoProvider, Rng } from '../crypto/provider.ts';
import type { KeyKind, PublicKey } from './public-key.ts';

/**
 * A clamped X25519 private key whose bytes leave it only by {@link PrivateKey.exposeBytes}: printing, logging or
 * serialising it to JSON shows `[private key]`.
 */
export class PrivateKey<K extends KeyKind> {
  readonly #bytes: Uint8Array;
  readonly publicKey: PublicKey<K>;

  /** @throws {RangeError} when there are not exactly 32 bytes. They are copied and clamped (RFC 7748 §5). */
  constructor(bytes: Uint8Array, crypto: Pick<CryptoProvider, 'x25519PublicKey'>) {
    if (bytes.length !== 32) throw new RangeError(`private key of ${bytes.length} bytes, expected 32`);
    this.#bytes = bytes.slice();
    this.#bytes[0] = (this.#bytes[0] as number) & 0xf8;
    this.#bytes[31] = ((this.#bytes[31] as number) & 0x7f) | 0x40;
    this.publicKey = crypto.x25519PublicKey(this.#bytes) as PublicKey<K>;
  }

  /** The 32 secret bytes, not a copy: for ciphers and the state file only. */
  exposeBytes(): Uint8Array {
    return this.#bytes;
  }

  /** `privkey:<64 hex>`, for the state file only. */
  exposeText(): string {
    return `privkey:${formatHex(this.#bytes)}`;
  }

  toString(): string {
    return '[private key]';
  }

  toJSON(): string {
    return '[private key]';
  }
}

export type NodePrivateKey = PrivateKey<'node'>;
export type DiscoPrivateKey = PrivateKey<'disco'>;
export type MachinePrivateKey = PrivateKey<'machine'>;

export function generatePrivateKey<K extends KeyKind>(
  _keyKind: K,
  crypto: Pick<CryptoProvider, 'x25519PublicKey'>,
  rng: Rng,
): PrivateKey<K> {
  const bytes = new Uint8Array(32);
  rng.fill(bytes);
  return new PrivateKey<K>(bytes, crypto);
}

/** Parses `privkey:<64 hex>`; `undefined` for any other text. */
export function parsePrivateKey<K extends KeyKind>(
  _keyKind: K,
  text: string,
  crypto: Pick<CryptoProvider, 'x25519PublicKey'>,
): PrivateKey<K> | undefined {
  const bytes = text.startsWith('privkey:') && text.length === 72 ? parseHex(text.slice(8)) : undefined;
  return bytes && new PrivateKey<K>(bytes, crypto);
}
