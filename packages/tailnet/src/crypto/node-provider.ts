import { createCipheriv, createDecipheriv, createHmac, hash, randomFillSync } from 'node:crypto';
import { deriveBoxKey } from '@heddle/proto/crypto/box-key';
import { nobleProvider } from '@heddle/proto/crypto/noble-provider';
import type { CryptoProvider, Rng } from '@heddle/proto/crypto/provider';
import { packetCipherBackend } from './packet-cipher-backend.ts';
import { x25519, x25519PublicKey } from './x25519.ts';

const AEAD = 'chacha20-poly1305';
const AEAD_OPTIONS = { authTagLength: 16 } as const;
const TAG_BYTES = 16;

/** The operating system's random bytes. */
export const nodeRng: Rng = {
  fill(bytes) {
    randomFillSync(bytes);
  },
};

/**
 * The fast ciphers: OpenSSL through node:crypto, the packet cipher in WebAssembly, and the reference for what OpenSSL
 * lacks (keyed BLAKE2s, XChaCha20, NaCl boxes), all of them for small messages.
 */
export function createNodeCryptoProvider(): CryptoProvider {
  const { createCipher } = packetCipherBackend();
  return {
    x25519,
    x25519PublicKey,
    blake2s: (message) => new Uint8Array(hash('blake2s256', message, 'buffer')),
    blake2sMac16: nobleProvider.blake2sMac16,
    hmacBlake2s: (key, message) => new Uint8Array(createHmac('blake2s256', key).update(message).digest()),
    chachaSeal,
    chachaOpen,
    xchachaSeal: nobleProvider.xchachaSeal,
    xchachaOpen: nobleProvider.xchachaOpen,
    boxPrecompute(privateKey, publicKey) {
      const secret = x25519(privateKey, publicKey);
      return secret && deriveBoxKey(secret);
    },
    secretboxSeal: nobleProvider.secretboxSeal,
    secretboxOpen: nobleProvider.secretboxOpen,
    createPacketCipher: createCipher,
  };
}

function chachaSeal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array {
  const cipher = createCipheriv(AEAD, key, nonce, AEAD_OPTIONS);
  cipher.setAAD(aad, { plaintextLength: plaintext.length });
  const sealed = new Uint8Array(plaintext.length + TAG_BYTES);
  sealed.set(cipher.update(plaintext));
  cipher.final();
  sealed.set(cipher.getAuthTag(), plaintext.length);
  return sealed;
}

function chachaOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  ciphertext: Uint8Array,
  aad: Uint8Array,
): Uint8Array | undefined {
  const length = ciphertext.length - TAG_BYTES;
  const decipher = createDecipheriv(AEAD, key, nonce, AEAD_OPTIONS);
  if (length < 0) return undefined;
  decipher.setAAD(aad, { plaintextLength: length });
  decipher.setAuthTag(ciphertext.subarray(length));
  const plaintext = new Uint8Array(decipher.update(ciphertext.subarray(0, length)));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return plaintext;
}
