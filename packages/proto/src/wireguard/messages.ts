/**
 * WireGuard messages (docs/spec/wireguard.md#messages). All integers little-endian.
 *
 *     01 handshake initiation, 148 bytes     02 handshake response, 92 bytes
 *       0  1  type 01, then 3 zero bytes       0  1  type 02, then 3 zero bytes
 *       4  4  sender index                     4  4  sender index
 *       8 32  ephemeral key                    8  4  receiver index
 *      40 48  static key, sealed              12 32  ephemeral key
 *      88 28  TAI64N, sealed                  44 16  nothing, sealed
 *     116 16  mac1                            60 16  mac1
 *     132 16  mac2                            76 16  mac2
 *
 *     03 cookie reply, 64 bytes              04 transport data, at least 32 bytes
 *       0  1  type 03, then 3 zero bytes       0  1  type 04, then 3 zero bytes
 *       4  4  receiver index                   4  4  receiver index
 *       8 24  nonce                            8  8  counter
 *      32 32  cookie, sealed                  16  n  packet, sealed (n >= 16; 16 is a keepalive)
 */
export const INITIATION_BYTES = 148;
export const RESPONSE_BYTES = 92;
export const COOKIE_REPLY_BYTES = 64;
export const TRANSPORT_HEADER_BYTES = 16;
export const TAG_BYTES = 16;
/** The shortest message: a keepalive. */
export const MESSAGE_BYTES_MIN = 32;

export const TYPE_INITIATION = 0x01;
export const TYPE_RESPONSE = 0x02;
export const TYPE_COOKIE_REPLY = 0x03;
export const TYPE_TRANSPORT = 0x04;

/** Offset of the sender index in types 1 and 2, and of the receiver index in types 3 and 4. */
export const INDEX_OFFSET = 4;
export const RESPONSE_RECEIVER_OFFSET = 8;
export const TRANSPORT_COUNTER_OFFSET = 8;
/** mac1 and mac2 are the last 32 bytes of types 1 and 2. */
export const MAC_BYTES = 16;

export type MessageKind = 'initiation' | 'response' | 'cookie-reply' | 'transport';
export type MessageError = 'too-short' | 'unknown-type' | 'bad-length';

/** Names the message in `bytes[offset .. offset + length)` by its first four bytes and its length; nothing else is checked. */
export function classifyMessage(bytes: Uint8Array, offset: number, length: number): MessageKind | MessageError {
  if (length < MESSAGE_BYTES_MIN) return 'too-short';
  if (bytes[offset + 1] !== 0 || bytes[offset + 2] !== 0 || bytes[offset + 3] !== 0) return 'unknown-type';
  switch (bytes[offset]) {
    case TYPE_TRANSPORT:
      return 'transport';
    case TYPE_INITIATION:
      return length === INITIATION_BYTES ? 'initiation' : 'bad-length';
    case TYPE_RESPONSE:
      return length === RESPONSE_BYTES ? 'response' : 'bad-length';
    case TYPE_COOKIE_REPLY:
      return length === COOKIE_REPLY_BYTES ? 'cookie-reply' : 'bad-length';
    default:
      return 'unknown-type';
  }
}

/** Reads an index as a signed 32-bit number: V8 keeps those unboxed, and an index is compared, never ordered. */
export function readIndex(bytes: Uint8Array, offset: number): number {
  return (
    (bytes[offset] as number) |
    ((bytes[offset + 1] as number) << 8) |
    ((bytes[offset + 2] as number) << 16) |
    ((bytes[offset + 3] as number) << 24)
  );
}

/** Writes the type with its three zero bytes, and the index behind it. */
export function writeHeader(bytes: Uint8Array, offset: number, type: number, index: number): void {
  bytes[offset] = type;
  bytes[offset + 1] = 0;
  bytes[offset + 2] = 0;
  bytes[offset + 3] = 0;
  writeIndex(bytes, offset + INDEX_OFFSET, index);
}

export function writeIndex(bytes: Uint8Array, offset: number, index: number): void {
  bytes[offset] = index & 0xff;
  bytes[offset + 1] = (index >>> 8) & 0xff;
  bytes[offset + 2] = (index >>> 16) & 0xff;
  bytes[offset + 3] = index >>> 24;
}

/** Reads the 64-bit counter of a transport message; -1 when it is 2^53 or more, which no honest peer reaches. */
export function readCounter(bytes: Uint8Array, offset: number): number {
  const low = readIndex(bytes, offset) >>> 0;
  const high = readIndex(bytes, offset + 4) >>> 0;
  return high > 0x1fffff ? -1 : high * 0x1_0000_0000 + low;
}

export function writeCounter(bytes: Uint8Array, offset: number, counter: number): void {
  writeIndex(bytes, offset, counter | 0);
  writeIndex(bytes, offset + 4, Math.floor(counter / 0x1_0000_0000));
}
