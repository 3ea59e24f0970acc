/**
 * The plaintext inside a disco box (docs/spec/disco.md#messages). Integers are big-endian.
 *
 * ```
 *  0      1         2
 *  | type | version | body
 *
 *  01 Ping         | transaction id 12 | [node key 32] | [zero padding]
 *  02 Pong         | transaction id 12 | observed source 18
 *  03 CallMeMaybe  | n × endpoint 18
 *  04…09           peer-relay messages, see relay-message.ts
 * ```
 */
import type { Endpoint } from '../ip/endpoint.ts';
import { decodePublicKey, isZeroKey, type NodePublicKey } from '../keys/public-key.ts';
import {
  decodeEndpointList,
  decodeEndpointRecord,
  ENDPOINT_RECORD_BYTES,
  encodeEndpointList,
  encodeEndpointRecord,
} from './endpoint-record.ts';
import { decodeRelayMessage, encodeRelayMessage, type RelayMessage } from './relay-message.ts';

/** Bytes of the random number that ties a pong to its ping. */
export const TX_ID_BYTES = 12;

const HEADER_BYTES = 2;
const TYPE_PING = 0x01;
const TYPE_PONG = 0x02;
const TYPE_CALL_ME_MAYBE = 0x03;
const KEY_BYTES = 32;

/** Asks for a pong. Very old clients send no node key; zero padding makes a probe of the path MTU. */
export interface Ping {
  readonly kind: 'ping';
  /** {@link TX_ID_BYTES} bytes. */
  readonly txId: Uint8Array;
  /** What the sender claims to be: believed only when that node's disco key sealed the message. */
  readonly nodeKey: NodePublicKey | undefined;
  readonly paddingBytes: number;
}

/** Answers a ping on the path it came by. */
export interface Pong {
  readonly kind: 'pong';
  readonly txId: Uint8Array;
  /** Where the ping came from, as its receiver saw it. */
  readonly source: Endpoint;
}

/** Asks the receiver to ping these endpoints of the sender now. Travels by relay only. */
export interface CallMeMaybe {
  readonly kind: 'call-me-maybe';
  readonly endpoints: readonly Endpoint[];
}

export type DiscoMessage = Ping | Pong | CallMeMaybe | RelayMessage;
/** Why a plaintext is no message; `bad-version` only where a version other than 0 changes the layout (types 7 to 9). */
export type DiscoMessageError = 'short' | 'unknown-type' | 'bad-version';

/** Encodes the plaintext of a message into a new array. */
export function encodeDiscoMessage(message: DiscoMessage): Uint8Array {
  switch (message.kind) {
    case 'ping':
      return encodePing(message);
    case 'pong': {
      const out = createMessage(TYPE_PONG, TX_ID_BYTES + ENDPOINT_RECORD_BYTES);
      out.set(message.txId, HEADER_BYTES);
      encodeEndpointRecord(message.source, out, HEADER_BYTES + TX_ID_BYTES);
      return out;
    }
    case 'call-me-maybe': {
      const out = createMessage(TYPE_CALL_ME_MAYBE, message.endpoints.length * ENDPOINT_RECORD_BYTES);
      encodeEndpointList(message.endpoints, out, HEADER_BYTES);
      return out;
    }
    default:
      return encodeRelayMessage(message);
  }
}

/** Decodes a plaintext; everything in the result is a copy. Trailing bytes are ignored. */
export function decodeDiscoMessage(bytes: Uint8Array): DiscoMessage | DiscoMessageError {
  if (bytes.length < HEADER_BYTES) return 'short';
  switch (bytes[0]) {
    case TYPE_PING:
      return decodePing(bytes);
    case TYPE_PONG:
      return decodePong(bytes);
    case TYPE_CALL_ME_MAYBE:
      return decodeCallMeMaybe(bytes);
    default:
      return decodeRelayMessage(bytes);
  }
}

function createMessage(type: number, bodyBytes: number): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES + bodyBytes);
  out[0] = type;
  return out;
}

function encodePing(ping: Ping): Uint8Array {
  const keyBytes = ping.nodeKey === undefined ? 0 : KEY_BYTES;
  const out = createMessage(TYPE_PING, TX_ID_BYTES + keyBytes + ping.paddingBytes);
  out.set(ping.txId, HEADER_BYTES);
  if (ping.nodeKey !== undefined) out.set(ping.nodeKey, HEADER_BYTES + TX_ID_BYTES);
  return out;
}

function decodePing(bytes: Uint8Array): Ping | 'short' {
  const keyAt = HEADER_BYTES + TX_ID_BYTES;
  if (bytes.length < keyAt) return 'short';
  const key = bytes.subarray(keyAt, keyAt + KEY_BYTES);
  const hasKey = key.length === KEY_BYTES;
  return {
    kind: 'ping',
    txId: bytes.slice(HEADER_BYTES, keyAt),
    nodeKey: hasKey && !isZeroKey(key) ? decodePublicKey('node', key) : undefined,
    paddingBytes: bytes.length - keyAt - (hasKey ? KEY_BYTES : 0),
  };
}

function decodePong(bytes: Uint8Array): Pong | 'short' {
  const sourceAt = HEADER_BYTES + TX_ID_BYTES;
  if (bytes.length < sourceAt + ENDPOINT_RECORD_BYTES) return 'short';
  return { kind: 'pong', txId: bytes.slice(HEADER_BYTES, sourceAt), source: decodeEndpointRecord(bytes, sourceAt) };
}

/** A list that is cut off, or of a later version, counts as empty: the call itself still means "ping me". */
function decodeCallMeMaybe(bytes: Uint8Array): CallMeMaybe {
  const endpoints = bytes[1] === 0 ? decodeEndpointList(bytes, HEADER_BYTES) : undefined;
  return { kind: 'call-me-maybe', endpoints: endpoints ?? [] };
}
