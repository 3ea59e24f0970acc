import { decodeUtf8 } from '../bytes/utf8.ts';
import { decodePublicKey, type NodePublicKey } from '../keys/public-key.ts';

/*
 * The frames of DERP protocol version 2 (docs/spec/derp.md#frames).
 *
 *   offset  size  field
 *   0       1     type
 *   1       4     payload length n, big-endian
 *   5       n     payload; bytes behind the known fields are a future extension and ignored
 */
export const FRAME_HEADER_BYTES = 5;
/** A longer frame ends the connection: the stream is then not DERP. */
export const FRAME_PAYLOAD_BYTES_MAX = 0x100000;
/** The largest packet a relay forwards. */
export const RELAY_PACKET_BYTES_MAX = 0x10000;
export const KEY_BYTES = 32;
/** What a ping carries and its pong echoes. */
export const PING_BYTES = 8;

/** The first payload byte of every frame, by name; S is the server, C the client. */
export const FrameType = {
  /** S: magic 8, server public key 32. */
  serverKey: 0x01,
  /** C: node public key 32, nonce 24, box of JSON. */
  clientInfo: 0x02,
  /** S: nonce 24, box of JSON. */
  serverInfo: 0x03,
  /** C: destination key 32, packet. */
  sendPacket: 0x04,
  /** S: source key 32, packet. */
  recvPacket: 0x05,
  /** S: empty. */
  keepAlive: 0x06,
  /** C: 1 byte, 0x01 when this relay is the client's home. */
  notePreferred: 0x07,
  /** S: peer key 32, optional reason. */
  peerGone: 0x08,
  /** S to mesh members only. */
  peerPresent: 0x09,
  /** Mesh members only; a server closes a regular client that sends it. */
  forwardPacket: 0x0a,
  watchConns: 0x10,
  closePeer: 0x11,
  /** Both: 8 bytes. */
  ping: 0x12,
  /** Both: the 8 bytes of the ping. */
  pong: 0x13,
  /** S: UTF-8 text, empty when the problem is over. */
  health: 0x14,
  /** S: reconnect in, try for: milliseconds, u32 big-endian each. */
  restarting: 0x15,
} as const;

/** `DERP` and the key emoji in UTF-8: the first bytes of a ServerKey payload. */
export const SERVER_KEY_MAGIC: readonly number[] = [0x44, 0x45, 0x52, 0x50, 0xf0, 0x9f, 0x94, 0x91];

const HEALTH_CHARACTERS_MAX = 512;

export type PeerGoneReason = 'disconnected' | 'not-here' | 'other';

/** The peer has left the relay, or was not there when something was sent to it. */
export interface PeerGone {
  readonly kind: 'peer-gone';
  readonly peer: NodePublicKey;
  readonly reason: PeerGoneReason;
}

/** An empty text ends the problem told before. */
export interface Health {
  readonly kind: 'health';
  readonly problem: string;
}

/** The relay will restart: when to come back, and for how long to try, in milliseconds. */
export interface Restarting {
  readonly kind: 'restarting';
  readonly reconnectInMs: number;
  readonly tryForMs: number;
}

const PEER_GONE_DISCONNECTED = 0x00;
const PEER_GONE_NOT_HERE = 0x01;

/** Writes type and length at `offset`; the payload goes behind. */
export function encodeFrameHeader(out: Uint8Array, offset: number, type: number, payloadLength: number): void {
  out[offset] = type;
  out[offset + 1] = payloadLength >>> 24;
  out[offset + 2] = payloadLength >>> 16;
  out[offset + 3] = payloadLength >>> 8;
  out[offset + 4] = payloadLength;
}

/** True for the types of {@link FrameType}; a receiver skips others by their length. */
export function isKnownFrameType(type: number): boolean {
  return (type >= FrameType.serverKey && type <= FrameType.forwardPacket) || (type >= 0x10 && type <= 0x15);
}

/** The server's key; `undefined` when the magic is wrong or the payload is shorter than 40 bytes. */
export function decodeServerKey(payload: Uint8Array): Uint8Array | undefined {
  if (payload.length < SERVER_KEY_MAGIC.length + KEY_BYTES) return undefined;
  if (!SERVER_KEY_MAGIC.every((byte, i) => payload[i] === byte)) return undefined;
  return payload.slice(SERVER_KEY_MAGIC.length, SERVER_KEY_MAGIC.length + KEY_BYTES);
}

/** `undefined` when the key is cut short. Servers before the reason byte meant `disconnected`. */
export function decodePeerGone(payload: Uint8Array): PeerGone | undefined {
  if (payload.length < KEY_BYTES) return undefined;
  const peer = decodePublicKey('node', payload.subarray(0, KEY_BYTES));
  return { kind: 'peer-gone', peer, reason: peerGoneReason(payload[KEY_BYTES] ?? PEER_GONE_DISCONNECTED) };
}

function peerGoneReason(byte: number): PeerGoneReason {
  if (byte === PEER_GONE_DISCONNECTED) return 'disconnected';
  return byte === PEER_GONE_NOT_HERE ? 'not-here' : 'other';
}

/** Writes the 33 payload bytes at `offset`. */
export function encodePeerGone(out: Uint8Array, offset: number, peer: Uint8Array, reason: PeerGoneReason): void {
  out.set(peer, offset);
  out[offset + KEY_BYTES] = reason === 'not-here' ? PEER_GONE_NOT_HERE : PEER_GONE_DISCONNECTED;
}

/** The text is cut to 512 characters; `undefined` for malformed UTF-8. */
export function decodeHealth(payload: Uint8Array): Health | undefined {
  const text = decodeUtf8(payload);
  return text === undefined ? undefined : { kind: 'health', problem: text.slice(0, HEALTH_CHARACTERS_MAX) };
}

/** `undefined` when cut short. */
export function decodeRestarting(payload: Uint8Array): Restarting | undefined {
  if (payload.length < 8) return undefined;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return { kind: 'restarting', reconnectInMs: view.getUint32(0), tryForMs: view.getUint32(4) };
}
