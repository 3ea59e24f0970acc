import { concatBytes } from '../bytes/equal.ts';
import { decodeUtf8, encodeUtf8 } from '../bytes/utf8.ts';
import type { CryptoProvider, Rng } from '../crypto/provider.ts';
import { KEY_BYTES } from './frames.ts';

/*
 * The two sealed messages of a login (docs/spec/derp.md#login). Both are NaCl boxes between the node key and the
 * server key: one shared key serves both directions.
 *
 *   ClientInfo:  offset 0  32  node public key, then the box
 *   ServerInfo:  the box
 *   box:         offset 0  24  nonce
 *                      24  16  Poly1305 tag
 *                      40   n  XSalsa20 ciphertext of JSON
 */
const NONCE_BYTES = 24;
const PROTOCOL_VERSION = 2;

/** What a server tells after it accepted the login. */
export interface ServerInfo {
  /** Sends above this allowance must be dropped here; 0 is no limit. */
  readonly bytesPerSecond: number;
  readonly burstBytes: number;
}

/** The payload of a ClientInfo frame. */
export function encodeClientInfo(
  publicKey: Uint8Array,
  boxKey: Uint8Array,
  tools: { readonly crypto: Pick<CryptoProvider, 'secretboxSeal'>; readonly rng: Rng },
): Uint8Array {
  const text = JSON.stringify({ version: PROTOCOL_VERSION, CanAckPings: true });
  return concatBytes(publicKey, seal(encodeUtf8(text), boxKey, tools));
}

/** The JSON of a ClientInfo payload as an object; `undefined` when the box does not open or is no JSON object. */
export function decodeClientInfo(
  payload: Uint8Array,
  boxKey: Uint8Array,
  crypto: Pick<CryptoProvider, 'secretboxOpen'>,
): Readonly<Record<string, unknown>> | undefined {
  return openObject(payload.subarray(KEY_BYTES), boxKey, crypto);
}

/** The payload of a ServerInfo frame. */
export function encodeServerInfo(
  boxKey: Uint8Array,
  tools: { readonly crypto: Pick<CryptoProvider, 'secretboxSeal'>; readonly rng: Rng },
): Uint8Array {
  return seal(encodeUtf8(JSON.stringify({ version: PROTOCOL_VERSION })), boxKey, tools);
}

/** `undefined` when the box does not open or is no JSON object. Missing or absurd numbers read as no limit. */
export function decodeServerInfo(
  payload: Uint8Array,
  boxKey: Uint8Array,
  crypto: Pick<CryptoProvider, 'secretboxOpen'>,
): ServerInfo | undefined {
  const json = openObject(payload, boxKey, crypto);
  return (
    json && {
      bytesPerSecond: toAllowance(json['TokenBucketBytesPerSecond']),
      burstBytes: toAllowance(json['TokenBucketBytesBurst']),
    }
  );
}

function toAllowance(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

function seal(
  plaintext: Uint8Array,
  boxKey: Uint8Array,
  tools: { readonly crypto: Pick<CryptoProvider, 'secretboxSeal'>; readonly rng: Rng },
): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES);
  tools.rng.fill(nonce);
  return concatBytes(nonce, tools.crypto.secretboxSeal(boxKey, nonce, plaintext));
}

function openObject(
  sealed: Uint8Array,
  boxKey: Uint8Array,
  crypto: Pick<CryptoProvider, 'secretboxOpen'>,
): Record<string, unknown> | undefined {
  if (sealed.length < NONCE_BYTES + 16) return undefined;
  const plaintext = crypto.secretboxOpen(boxKey, sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES));
  const text = plaintext && decodeUtf8(plaintext);
  return text === undefined ? undefined : parseObject(text);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
