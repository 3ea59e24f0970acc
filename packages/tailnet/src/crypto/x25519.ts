import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';
import { isEqualConstantTime } from '@heddle/proto/bytes/equal';
import { KeyObjectCache } from './key-object-cache.ts';

const PUBLIC_KEY_COUNT_MAX = 256;
/** PKCS #8 (RFC 8410 §7) up to the key: SEQUENCE, version 0, id-X25519, OCTET STRING in OCTET STRING. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');

const publicKeys = new KeyObjectCache(PUBLIC_KEY_COUNT_MAX, importPublicKey);

/**
 * Imported private keys by the array that holds them, so that an ephemeral key is forgotten with its handshake. The
 * copy tells when a caller has put another key into the same array.
 */
const privateKeys = new WeakMap<Uint8Array, { readonly bytes: Uint8Array; readonly object: KeyObject }>();

/** X25519 by OpenSSL; `undefined` when the result is all zero. @throws {RangeError} when a key is not 32 bytes. */
export function x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
  requireKeyLength(privateKey);
  requireKeyLength(publicKey);
  const options = { privateKey: privateKeyObject(privateKey), publicKey: publicKeys.get(publicKey) };
  try {
    return toPlainBytes(diffieHellman(options));
  } catch {
    // OpenSSL fails the derivation exactly for points of low order.
    return undefined;
  }
}

export function x25519PublicKey(privateKey: Uint8Array): Uint8Array {
  requireKeyLength(privateKey);
  const { x } = createPublicKey(privateKeyObject(privateKey)).export({ format: 'jwk' });
  return toPlainBytes(Buffer.from(x as string, 'base64url'));
}

function privateKeyObject(privateKey: Uint8Array): KeyObject {
  const known = privateKeys.get(privateKey);
  if (known !== undefined && isEqualConstantTime(known.bytes, privateKey)) return known.object;
  known?.bytes.fill(0);
  const object = importPrivateKey(privateKey);
  privateKeys.set(privateKey, { bytes: privateKey.slice(), object });
  return object;
}

function importPublicKey(bytes: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: toBase64Url(bytes) }, format: 'jwk' });
}

let isJwkAccepted = true;

/**
 * Node 20 takes 300 µs for a private key in DER and 20 µs in JWK, whose public half it does not read; Node 26 insists
 * on a right public half, and is as fast with DER.
 */
function importPrivateKey(bytes: Uint8Array): KeyObject {
  if (isJwkAccepted) {
    try {
      const key = { kty: 'OKP', crv: 'X25519', d: toBase64Url(bytes), x: '' };
      return createPrivateKey({ key, format: 'jwk' });
    } catch {
      isJwkAccepted = false;
    }
  }
  const der = Buffer.concat([PKCS8_PREFIX, bytes]);
  const object = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  return object;
}

function toBase64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
}

/** Results are plain arrays: `slice` of a Buffer would share its memory. */
function toPlainBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer);
}

function requireKeyLength(key: Uint8Array): void {
  if (key.length !== 32) throw new RangeError(`X25519 key of ${key.length} bytes, expected 32`);
}
