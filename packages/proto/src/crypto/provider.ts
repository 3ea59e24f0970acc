/** Draws cryptographically secure random bytes; tests pass a seeded one so that a failure replays. */
export interface Rng {
  /** Fills the whole array. */
  fill(bytes: Uint8Array): void;
}

/** Wall clock in Unix milliseconds: only for what a peer compares with real time (TAI64N, key expiry). */
export type UnixClock = () => number;

/**
 * The ciphers of every protocol here. `noble-provider.ts` is the readable reference; the shell supplies a fast one
 * and checks it against the reference by known answers before use.
 * Inputs are never kept; results are new arrays. Keys are 32 bytes.
 */
export interface CryptoProvider {
  /** X25519 (RFC 7748); `undefined` when the result is all zero (low-order point): the caller drops the message. */
  x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined;
  x25519PublicKey(privateKey: Uint8Array): Uint8Array;
  /** BLAKE2s (RFC 7693), unkeyed, 32 bytes. */
  blake2s(message: Uint8Array): Uint8Array;
  /** BLAKE2s keyed (key ≤ 32 bytes), 16 bytes: WireGuard's MAC. */
  blake2sMac16(key: Uint8Array, message: Uint8Array): Uint8Array;
  /** HMAC over BLAKE2s-256 (block 64 bytes), 32 bytes. */
  hmacBlake2s(key: Uint8Array, message: Uint8Array): Uint8Array;
  /** ChaCha20-Poly1305 (RFC 8439), nonce 12 bytes; returns ciphertext followed by the 16-byte tag. */
  chachaSeal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array;
  /** `undefined` when the tag does not match. */
  chachaOpen(key: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array, aad: Uint8Array): Uint8Array | undefined;
  /** XChaCha20-Poly1305, nonce 24 bytes. */
  xchachaSeal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array;
  xchachaOpen(key: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array, aad: Uint8Array): Uint8Array | undefined;
  /** NaCl box precomputation: HSalsa20(X25519(sk, pk), 0¹⁶); `undefined` for a low-order point. */
  boxPrecompute(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined;
  /** NaCl secretbox: returns tag (16) followed by XSalsa20 ciphertext; nonce 24 bytes. */
  secretboxSeal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array;
  secretboxOpen(key: Uint8Array, nonce: Uint8Array, box: Uint8Array): Uint8Array | undefined;
  /** The in-place cipher of the data path. The key is copied. */
  createPacketCipher(key: Uint8Array): PacketCipher;
}

/**
 * ChaCha20-Poly1305 in place over packet memory with WireGuard's nonce: 4 zero bytes, then the counter as u64
 * little-endian. No associated data. Nothing is allocated per call.
 */
export interface PacketCipher {
  /** Encrypts `memory[offset .. offset+length)` and writes the 16-byte tag behind it. Counter < 2^53. */
  seal(memory: Uint8Array, offset: number, length: number, counter: number): void;
  /**
   * Opens `memory[offset .. offset+length)`, the last 16 bytes being the tag. False when the tag does not match;
   * the bytes are then unspecified and must not be used.
   */
  open(memory: Uint8Array, offset: number, length: number, counter: number): boolean;
  /** Overwrites the key; the cipher must not be used again. */
  wipe(): void;
}
