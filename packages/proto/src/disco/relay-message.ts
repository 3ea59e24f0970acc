/**
 * Disco messages of peer relays (UDP relay servers). This client parses them so that they can be told from garbage,
 * and ignores them: peers fall back to direct paths or DERP (docs/spec/disco.md#peer-relays). Integers are big-endian.
 *
 * ```
 *  04 BindUdpRelayEndpoint      | VNI u32 | generation u32 | remote disco key 32 | challenge 32
 *  05 …Challenge, 06 …Answer      the same 72 bytes
 *  07 CallMeMaybeVia            | record
 *  08 AllocateRequest           | client disco keys 2 × 32 | generation u32
 *  09 AllocateResponse          | generation u32 | record
 *
 *  record: server disco 32 | client disco 2 × 32 | lamport id u64 | VNI u32 | bind lifetime i64 ns
 *          | steady lifetime i64 ns | n ≥ 1 × endpoint 18
 * ```
 */
import type { Endpoint } from '../ip/endpoint.ts';
import { type DiscoPublicKey, decodePublicKey } from '../keys/public-key.ts';
import { decodeEndpointList, ENDPOINT_RECORD_BYTES, encodeEndpointList } from './endpoint-record.ts';

const HEADER_BYTES = 2;
const KEY_BYTES = 32;
const BIND_BYTES = 72;
const ALLOCATE_REQUEST_BYTES = 68;
const RECORD_FIXED_BYTES = 124;

/** Three-step proof to a relay server that we own our source address. */
export interface BindMessage {
  readonly kind: 'bind-relay' | 'bind-relay-challenge' | 'bind-relay-answer';
  /** Virtual network identifier, 24 bits used. */
  readonly vni: number;
  readonly generation: number;
  readonly remoteKey: DiscoPublicKey;
  /** 32 bytes. */
  readonly challenge: Uint8Array;
}

/** An allocation on a relay server that two clients may use. */
export interface RelayRecord {
  readonly serverKey: DiscoPublicKey;
  readonly clientKeys: readonly [DiscoPublicKey, DiscoPublicKey];
  readonly lamportId: bigint;
  readonly vni: number;
  readonly bindLifetimeNs: bigint;
  readonly steadyLifetimeNs: bigint;
  readonly endpoints: readonly Endpoint[];
}

/** Tells the peer of an allocation. */
export interface CallMeMaybeVia {
  readonly kind: 'call-me-maybe-via';
  readonly record: RelayRecord;
}

export interface AllocateRelayRequest {
  readonly kind: 'allocate-relay-request';
  readonly clientKeys: readonly [DiscoPublicKey, DiscoPublicKey];
  readonly generation: number;
}

export interface AllocateRelayResponse {
  readonly kind: 'allocate-relay-response';
  readonly generation: number;
  readonly record: RelayRecord;
}

export type RelayMessage = BindMessage | CallMeMaybeVia | AllocateRelayRequest | AllocateRelayResponse;

const TYPE_OF_KIND = {
  'bind-relay': 0x04,
  'bind-relay-challenge': 0x05,
  'bind-relay-answer': 0x06,
  'call-me-maybe-via': 0x07,
  'allocate-relay-request': 0x08,
  'allocate-relay-response': 0x09,
} as const satisfies Record<RelayMessage['kind'], number>;

/** Encodes the plaintext of a message of type 4 to 9 into a new array. */
export function encodeRelayMessage(message: RelayMessage): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES + bodyBytes(message));
  const view = new DataView(out.buffer);
  out[0] = TYPE_OF_KIND[message.kind];
  switch (message.kind) {
    case 'call-me-maybe-via':
      encodeRecord(message.record, out, HEADER_BYTES);
      break;
    case 'allocate-relay-request':
      out.set(message.clientKeys[0], HEADER_BYTES);
      out.set(message.clientKeys[1], HEADER_BYTES + KEY_BYTES);
      view.setUint32(HEADER_BYTES + 2 * KEY_BYTES, message.generation);
      break;
    case 'allocate-relay-response':
      view.setUint32(HEADER_BYTES, message.generation);
      encodeRecord(message.record, out, HEADER_BYTES + 4);
      break;
    default:
      view.setUint32(HEADER_BYTES, message.vni);
      view.setUint32(HEADER_BYTES + 4, message.generation);
      out.set(message.remoteKey, HEADER_BYTES + 8);
      out.set(message.challenge, HEADER_BYTES + 8 + KEY_BYTES);
  }
  return out;
}

/** Decodes a plaintext of at least two bytes whose type is not 1, 2 or 3; everything in the result is a copy. */
export function decodeRelayMessage(bytes: Uint8Array): RelayMessage | 'short' | 'unknown-type' | 'bad-version' {
  switch (bytes[0]) {
    case 0x04:
      return decodeBind('bind-relay', bytes);
    case 0x05:
      return decodeBind('bind-relay-challenge', bytes);
    case 0x06:
      return decodeBind('bind-relay-answer', bytes);
    case 0x07:
    case 0x08:
    case 0x09:
      return bytes[1] === 0 ? decodeAllocation(bytes) : 'bad-version';
    default:
      return 'unknown-type';
  }
}

function bodyBytes(message: RelayMessage): number {
  switch (message.kind) {
    case 'call-me-maybe-via':
      return recordBytes(message.record);
    case 'allocate-relay-request':
      return ALLOCATE_REQUEST_BYTES;
    case 'allocate-relay-response':
      return 4 + recordBytes(message.record);
    default:
      return BIND_BYTES;
  }
}

function recordBytes(record: RelayRecord): number {
  return RECORD_FIXED_BYTES + record.endpoints.length * ENDPOINT_RECORD_BYTES;
}

function decodeBind(kind: BindMessage['kind'], bytes: Uint8Array): BindMessage | 'short' {
  if (bytes.length < HEADER_BYTES + BIND_BYTES) return 'short';
  const view = viewOf(bytes);
  return {
    kind,
    vni: view.getUint32(HEADER_BYTES),
    generation: view.getUint32(HEADER_BYTES + 4),
    remoteKey: keyAt(bytes, HEADER_BYTES + 8),
    challenge: bytes.slice(HEADER_BYTES + 8 + KEY_BYTES, HEADER_BYTES + BIND_BYTES),
  };
}

function decodeAllocation(bytes: Uint8Array): RelayMessage | 'short' {
  if (bytes[0] === 0x07) {
    const record = decodeRecord(bytes, HEADER_BYTES);
    return record === 'short' ? 'short' : { kind: 'call-me-maybe-via', record };
  }
  const view = viewOf(bytes);
  if (bytes[0] === 0x08) {
    if (bytes.length < HEADER_BYTES + ALLOCATE_REQUEST_BYTES) return 'short';
    return {
      kind: 'allocate-relay-request',
      clientKeys: [keyAt(bytes, HEADER_BYTES), keyAt(bytes, HEADER_BYTES + KEY_BYTES)],
      generation: view.getUint32(HEADER_BYTES + 2 * KEY_BYTES),
    };
  }
  if (bytes.length < HEADER_BYTES + 4) return 'short';
  const record = decodeRecord(bytes, HEADER_BYTES + 4);
  if (record === 'short') return 'short';
  return { kind: 'allocate-relay-response', generation: view.getUint32(HEADER_BYTES), record };
}

function encodeRecord(record: RelayRecord, out: Uint8Array, offset: number): void {
  const view = viewOf(out);
  out.set(record.serverKey, offset);
  out.set(record.clientKeys[0], offset + 32);
  out.set(record.clientKeys[1], offset + 64);
  view.setBigUint64(offset + 96, record.lamportId);
  view.setUint32(offset + 104, record.vni);
  view.setBigInt64(offset + 108, record.bindLifetimeNs);
  view.setBigInt64(offset + 116, record.steadyLifetimeNs);
  encodeEndpointList(record.endpoints, out, offset + RECORD_FIXED_BYTES);
}

function decodeRecord(bytes: Uint8Array, offset: number): RelayRecord | 'short' {
  const listAt = offset + RECORD_FIXED_BYTES;
  if (bytes.length <= listAt) return 'short';
  const endpoints = decodeEndpointList(bytes, listAt);
  if (endpoints === undefined) return 'short';
  const view = viewOf(bytes);
  return {
    serverKey: keyAt(bytes, offset),
    clientKeys: [keyAt(bytes, offset + 32), keyAt(bytes, offset + 64)],
    lamportId: view.getBigUint64(offset + 96),
    vni: view.getUint32(offset + 104),
    bindLifetimeNs: view.getBigInt64(offset + 108),
    steadyLifetimeNs: view.getBigInt64(offset + 116),
    endpoints,
  };
}

function keyAt(bytes: Uint8Array, offset: number): DiscoPublicKey {
  return decodePublicKey('disco', bytes.subarray(offset, offset + KEY_BYTES));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
