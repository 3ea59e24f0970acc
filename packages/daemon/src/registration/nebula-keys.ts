/**
 * Keys of Nebula nodes as PEM: 32 raw bytes of X25519 between banners of their own. A certificate holds the public key
 * raw, in version 1 (protobuf) and version 2 (DER) alike, which is how a pair is told without reading either.
 */

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';

/** A key pair as `nebula-cert keygen` writes it. */
export interface NebulaKeyPair {
  /** Secret. */
  readonly privateKeyPem: string;
  readonly publicKeyPem: string;
}

const PRIVATE_BANNER = 'NEBULA X25519 PRIVATE KEY';
const PUBLIC_BANNER = 'NEBULA X25519 PUBLIC KEY';
const KEY_BYTES = 32;

/** RFC 8410 §7: what stands before the 32 bytes of an X25519 private key in PKCS #8. */
const PKCS8_PREFIX: Uint8Array = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** Draws a new pair from the system's random source. */
export function generateNebulaKeyPair(): NebulaKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return {
    privateKeyPem: formatPem(PRIVATE_BANNER, rawKey(privateKey, 'd')),
    publicKeyPem: formatPem(PUBLIC_BANNER, rawKey(publicKey, 'x')),
  };
}

/** The public key of an X25519 key in PEM, also PEM; undefined when it is none. */
export function publicKeyOf(privateKeyPem: string): string | undefined {
  const raw = parsePem(PRIVATE_BANNER, privateKeyPem);
  return raw?.length === KEY_BYTES ? formatPem(PUBLIC_BANNER, derivePublicKey(raw)) : undefined;
}

/**
 * Whether a certificate was made for a key. `unknown` where one of them is of another kind (P256, a banner of later
 * versions): that is for Nebula itself to judge.
 */
export function matchKeyPair(privateKeyPem: string, certificatePem: string): 'pair' | 'mismatch' | 'unknown' {
  const raw = parsePem(PRIVATE_BANNER, privateKeyPem);
  const certificate =
    parsePem('NEBULA CERTIFICATE', certificatePem) ?? parsePem('NEBULA CERTIFICATE V2', certificatePem);
  if (raw?.length !== KEY_BYTES || certificate === undefined) return 'unknown';
  return certificate.includes(derivePublicKey(raw)) ? 'pair' : 'mismatch';
}

/** The bytes of the first block with this banner. */
function parsePem(banner: string, pem: string): Buffer | undefined {
  const match = new RegExp(`-----BEGIN ${banner}-----([A-Za-z0-9+/=\\s]*)-----END ${banner}-----`).exec(pem);
  return match === null ? undefined : Buffer.from(match[1] as string, 'base64');
}

function formatPem(banner: string, bytes: Uint8Array): string {
  return `-----BEGIN ${banner}-----\n${Buffer.from(bytes).toString('base64')}\n-----END ${banner}-----\n`;
}

function derivePublicKey(privateKey: Uint8Array): Buffer {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, privateKey]), format: 'der', type: 'pkcs8' });
  return rawKey(createPublicKey(key), 'x');
}

function rawKey(key: KeyObject, part: 'd' | 'x'): Buffer {
  return Buffer.from(key.export({ format: 'jwk' })[part] as string, 'base64url');
}
