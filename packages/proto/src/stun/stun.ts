/**
 * STUN binding requests and responses as relays speak them (RFC 8489; docs/spec/stun.md). Integers are big-endian.
 *
 * ```
 *  0             2              4              8                    20
 *  | type u16    | length u16   | 21 12 a4 42  | transaction id 12  | attributes …
 *  | 0001 request, 0101 response; length counts the attributes
 *
 *  attribute: type u16 | length u16 | value | zeros to a multiple of 4
 *    0020 XOR-MAPPED-ADDRESS (also 8020)   0 | family 1 or 2 | port ^ 2112 | address ^ (cookie, transaction id)
 *    0001 MAPPED-ADDRESS                   0 | family 1 or 2 | port | address
 *    8022 SOFTWARE                         "tailnode" in requests
 *    8028 FINGERPRINT, always last         CRC-32 of everything before it, ^ 5354554e
 * ```
 */
import { isEqualBytes } from '../bytes/equal.ts';
import { encodeUtf8 } from '../bytes/utf8.ts';
import { decodeAddress } from '../ip/address.ts';
import { createEndpoint, type Endpoint } from '../ip/endpoint.ts';
import { crc32 } from './crc32.ts';

/** Bytes of the random number that ties a response to its request. */
export const STUN_TX_ID_BYTES = 12;

const HEADER_BYTES = 20;
const TX_ID_OFFSET = 8;
const COOKIE = 0x2112a442;
const TYPE_REQUEST = 0x0001;
const TYPE_RESPONSE = 0x0101;
const ATTRIBUTE_MAPPED_ADDRESS = 0x0001;
const ATTRIBUTE_XOR_MAPPED_ADDRESS = 0x0020;
const ATTRIBUTE_XOR_MAPPED_ADDRESS_OLD = 0x8020;
const ATTRIBUTE_SOFTWARE = 0x8022;
const ATTRIBUTE_FINGERPRINT = 0x8028;
const FINGERPRINT_XOR = 0x5354554e;
const FAMILY_IPV4 = 1;
const FAMILY_IPV6 = 2;
/** Relays answer only requests that carry this name (docs/spec/stun.md). */
const SOFTWARE = encodeUtf8('tailnode');

/** `not-stun`: wrong cookie or too short. `not-request`, `not-response`: another STUN message. */
export type StunRequestError = 'not-stun' | 'not-request' | 'malformed' | 'other-software' | 'bad-fingerprint';
export type StunResponseError = 'not-stun' | 'not-response' | 'malformed';

/** What the server saw. */
export interface StunResponse {
  /** {@link STUN_TX_ID_BYTES} bytes, a copy. */
  readonly txId: Uint8Array;
  /** Our address and port as the server saw them; IPv4-mapped IPv6 becomes IPv4. */
  readonly mapped: Endpoint;
}

/** Encodes a request of 40 bytes with SOFTWARE and FINGERPRINT. @throws {RangeError} when `txId` is not 12 bytes. */
export function encodeBindingRequest(txId: Uint8Array): Uint8Array {
  const out = createMessage(TYPE_REQUEST, txId, 4 + SOFTWARE.length + 8);
  const view = viewOf(out);
  view.setUint16(20, ATTRIBUTE_SOFTWARE);
  view.setUint16(22, SOFTWARE.length);
  out.set(SOFTWARE, 24);
  view.setUint16(32, ATTRIBUTE_FINGERPRINT);
  view.setUint16(34, 4);
  view.setUint32(36, fingerprint(out, 32));
  return out;
}

/** Returns a copy of the transaction id, or why a relay would not answer. */
export function decodeBindingRequest(bytes: Uint8Array): Uint8Array | StunRequestError {
  if (!isStun(bytes)) return 'not-stun';
  const view = viewOf(bytes);
  if (view.getUint16(0) !== TYPE_REQUEST) return 'not-request';
  let isTailnode = false;
  let fingerprintAt = -1;
  const isWellFormed = walkAttributes(bytes, (type, at, length) => {
    if (type === ATTRIBUTE_SOFTWARE) isTailnode = isEqualBytes(bytes.subarray(at, at + length), SOFTWARE);
    if (type === ATTRIBUTE_FINGERPRINT && length === 4) fingerprintAt = at;
  });
  if (!isWellFormed) return 'malformed';
  if (!isTailnode) return 'other-software';
  const isLast = fingerprintAt + 4 === attributesEnd(bytes);
  if (!isLast || view.getUint32(fingerprintAt) !== fingerprint(bytes, fingerprintAt - 4)) return 'bad-fingerprint';
  return bytes.slice(TX_ID_OFFSET, HEADER_BYTES);
}

/** Encodes the answer to a request seen from `source`. @throws {RangeError} when `txId` is not 12 bytes. */
export function encodeBindingResponse(txId: Uint8Array, source: Endpoint): Uint8Array {
  const address = source.address.bytes;
  const out = createMessage(TYPE_RESPONSE, txId, 8 + address.length);
  const view = viewOf(out);
  view.setUint16(20, ATTRIBUTE_XOR_MAPPED_ADDRESS);
  view.setUint16(22, 4 + address.length);
  out[25] = source.address.family === 4 ? FAMILY_IPV4 : FAMILY_IPV6;
  view.setUint16(26, source.port ^ (COOKIE >>> 16));
  for (let i = 0; i < address.length; i++) out[28 + i] = (address[i] as number) ^ (out[4 + i] as number);
  return out;
}

/** Decodes a binding success response; unknown attributes are skipped. */
export function decodeBindingResponse(bytes: Uint8Array): StunResponse | StunResponseError {
  if (!isStun(bytes)) return 'not-stun';
  if (viewOf(bytes).getUint16(0) !== TYPE_RESPONSE) return 'not-response';
  let mapped: Endpoint | undefined;
  let fallback: Endpoint | undefined;
  const isWellFormed = walkAttributes(bytes, (type, at, length) => {
    if (type === ATTRIBUTE_XOR_MAPPED_ADDRESS || type === ATTRIBUTE_XOR_MAPPED_ADDRESS_OLD) {
      mapped ??= decodeMapped(bytes, at, length, true);
    } else if (type === ATTRIBUTE_MAPPED_ADDRESS) {
      fallback ??= decodeMapped(bytes, at, length, false);
    }
  });
  const found = mapped ?? fallback;
  if (!isWellFormed || found === undefined) return 'malformed';
  return { txId: bytes.slice(TX_ID_OFFSET, HEADER_BYTES), mapped: found };
}

function createMessage(type: number, txId: Uint8Array, attributeBytes: number): Uint8Array {
  if (txId.length !== STUN_TX_ID_BYTES) throw new RangeError(`transaction id of ${txId.length} bytes, expected 12`);
  const out = new Uint8Array(HEADER_BYTES + attributeBytes);
  const view = viewOf(out);
  view.setUint16(0, type);
  view.setUint16(2, attributeBytes);
  view.setUint32(4, COOKIE);
  out.set(txId, TX_ID_OFFSET);
  return out;
}

function isStun(bytes: Uint8Array): boolean {
  return bytes.length >= HEADER_BYTES && (bytes[0] as number) < 0x40 && viewOf(bytes).getUint32(4) === COOKIE;
}

function attributesEnd(bytes: Uint8Array): number {
  return HEADER_BYTES + viewOf(bytes).getUint16(2);
}

/** Calls `visit` with the place of each value. False when the header promises more bytes than there are. */
function walkAttributes(bytes: Uint8Array, visit: (type: number, at: number, length: number) => void): boolean {
  const end = attributesEnd(bytes);
  if (end > bytes.length) return false;
  const view = viewOf(bytes);
  for (let at = HEADER_BYTES; at + 4 <= end; ) {
    const length = view.getUint16(at + 2);
    if (at + 4 + length > end) return false;
    visit(view.getUint16(at), at + 4, length);
    at += 4 + ((length + 3) & ~3);
  }
  return true;
}

function decodeMapped(bytes: Uint8Array, at: number, length: number, isXored: boolean): Endpoint | undefined {
  const addressBytes = bytes[at + 1] === FAMILY_IPV4 ? 4 : 16;
  if (length < 4 + addressBytes || (addressBytes === 16 && bytes[at + 1] !== FAMILY_IPV6)) return undefined;
  const value = bytes.slice(at + 2, at + 4 + addressBytes);
  if (isXored) {
    // The mask is the cookie for the port, and the cookie followed by the transaction id for the address.
    for (let i = 0; i < 2; i++) value[i] = (value[i] as number) ^ (bytes[4 + i] as number);
    for (let i = 0; i < addressBytes; i++) value[2 + i] = (value[2 + i] as number) ^ (bytes[4 + i] as number);
  }
  const port = ((value[0] as number) << 8) | (value[1] as number);
  return createEndpoint(decodeAddress(value, 2, addressBytes), port);
}

function fingerprint(bytes: Uint8Array, length: number): number {
  return (crc32(bytes, length) ^ FINGERPRINT_XOR) >>> 0;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
