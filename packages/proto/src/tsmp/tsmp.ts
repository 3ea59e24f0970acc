/**
 * TSMP: messages between two nodes inside the tunnel, IP protocol 99, directly behind the IPv4 or IPv6 header.
 * docs/spec/tsmp.md. All numbers are big-endian.
 *
 * | type     | offset: bytes behind the IP header                                                         |
 * |----------|--------------------------------------------------------------------------------------------|
 * | 0x70 `p` | ping: 1: 8 bytes of the sender's choice                                                    |
 * | 0x6f `o` | pong: 1: the 8 bytes of the ping; 9: u16 port of the peerAPI, 0 or missing for none        |
 * | 0x21 `!` | rejected: 1: IP protocol; 2: reason; 3: u16 source port; 5: u16 destination port; 7: flags  |
 * | 0x61 `a` | disco key: 1: 32 bytes                                                                     |
 *
 * The first bit of the flags, which may be missing, says that the reason may be a mistake of the sender.
 */
import type { PacketArena } from '../bytes/packet-arena.ts';
import { decodeAddress } from '../ip/address.ts';
import { addToChecksum, finishChecksum } from '../ip/checksum.ts';
import { createEndpoint, type Endpoint } from '../ip/endpoint.ts';
import { type DiscoPublicKey, decodePublicKey } from '../keys/public-key.ts';

/** The IP protocol number of TSMP. */
export const TSMP_PROTOCOL = 99;

const TYPE_PING = 0x70;
const TYPE_PONG = 0x6f;
const TYPE_REJECTED = 0x21;
const TYPE_DISCO_KEY = 0x61;
const DATA_BYTES = 8;
const HOP_LIMIT = 64;

/** `other` stands for letters that newer programs may add. */
export type TsmpRejectReason =
  | 'policy'
  | 'shields-up'
  | 'forwarding-disabled'
  | 'host-firewall'
  | 'unknown-transit-address'
  | 'other';

const REASONS: Readonly<Record<string, TsmpRejectReason>> = {
  A: 'policy',
  S: 'shields-up',
  F: 'forwarding-disabled',
  W: 'host-firewall',
  T: 'unknown-transit-address',
};

export type TsmpMessage =
  | { readonly kind: 'ping'; readonly data: Uint8Array }
  | { readonly kind: 'pong'; readonly data: Uint8Array; readonly peerApiPort: number }
  | {
      /** The sender refused a flow of ours. */
      readonly kind: 'rejected';
      readonly protocol: number;
      readonly reason: TsmpRejectReason;
      /** Our end of the flow. */
      readonly source: Endpoint;
      readonly destination: Endpoint;
      readonly isMaybeBroken: boolean;
    }
  | { readonly kind: 'disco-key'; readonly discoKey: DiscoPublicKey };

/** Why bytes are no TSMP message. */
export type TsmpError = 'not-tsmp' | 'short' | 'unknown-type';

/** Decodes one whole IP packet. What the message keeps is copied. */
export function decodeTsmp(bytes: Uint8Array, offset: number, length: number): TsmpMessage | TsmpError {
  const headerLength = tsmpHeaderLength(bytes, offset, length);
  if (headerLength === 0) return 'not-tsmp';
  const at = offset + headerLength;
  const left = length - headerLength;
  switch (bytes[at]) {
    case TYPE_PING:
      return left < 1 + DATA_BYTES ? 'short' : { kind: 'ping', data: bytes.slice(at + 1, at + 1 + DATA_BYTES) };
    case TYPE_PONG:
      return left < 1 + DATA_BYTES ? 'short' : decodePong(bytes, at, left);
    case TYPE_REJECTED:
      return left < 7 ? 'short' : decodeRejected(bytes, offset, at, left);
    case TYPE_DISCO_KEY:
      if (left < 33) return 'short';
      return { kind: 'disco-key', discoKey: decodePublicKey('disco', bytes.subarray(at + 1, at + 33)) };
    default:
      return 'unknown-type';
  }
}

/** True for a TSMP packet with at least a type: to be answered or swallowed, never given to a TCP/IP stack. */
export function isTsmp(bytes: Uint8Array, offset: number, length: number): boolean {
  return tsmpHeaderLength(bytes, offset, length) > 0;
}

/**
 * Turns the ping in the slot into the pong that answers it, in place, addresses swapped; `peerApiPort` 0 says that we
 * have none. False, with the slot unchanged, when it holds no ping. The caller owns the slot in both cases.
 */
export function answerTsmpPing(arena: PacketArena, slot: number, peerApiPort = 0): boolean {
  const { bytes, view } = arena;
  const offset = arena.offset[slot] as number;
  const length = arena.length[slot] as number;
  const headerLength = tsmpHeaderLength(bytes, offset, length);
  if (headerLength === 0) return false;
  const at = offset + headerLength;
  const isPing = bytes[at] === TYPE_PING && length >= headerLength + 1 + DATA_BYTES;
  const pongLength = headerLength + 1 + DATA_BYTES + 2;
  if (!isPing || pongLength - length > arena.tailroom(slot)) return false;
  bytes[at] = TYPE_PONG;
  view.setUint16(at + 1 + DATA_BYTES, peerApiPort);
  arena.length[slot] = pongLength;
  if ((bytes[offset] as number) >> 4 === 4) turnIpv4(bytes, view, offset, pongLength);
  else turnIpv6(bytes, view, offset, pongLength);
  return true;
}

/** Length of the IP header of a TSMP packet that has a type byte, else 0. */
function tsmpHeaderLength(bytes: Uint8Array, offset: number, length: number): number {
  if (length < 1) return 0;
  const first = bytes[offset] as number;
  const isIpv4 = first >> 4 === 4;
  if (!isIpv4 && first >> 4 !== 6) return 0;
  const headerLength = isIpv4 ? Math.max(20, (first & 0x0f) * 4) : 40;
  if (length <= headerLength) return 0;
  return bytes[offset + (isIpv4 ? 9 : 6)] === TSMP_PROTOCOL ? headerLength : 0;
}

function decodePong(bytes: Uint8Array, at: number, left: number): TsmpMessage {
  const data = bytes.slice(at + 1, at + 1 + DATA_BYTES);
  return { kind: 'pong', data, peerApiPort: left < 11 ? 0 : readUint16(bytes, at + 9) };
}

function decodeRejected(bytes: Uint8Array, offset: number, at: number, left: number): TsmpMessage {
  const isIpv4 = (bytes[offset] as number) >> 4 === 4;
  const sender = isIpv4 ? decodeAddress(bytes, offset + 12, 4) : decodeAddress(bytes, offset + 8, 16);
  const receiver = isIpv4 ? decodeAddress(bytes, offset + 16, 4) : decodeAddress(bytes, offset + 24, 16);
  return {
    kind: 'rejected',
    protocol: bytes[at + 1] as number,
    reason: REASONS[String.fromCharCode(bytes[at + 2] as number)] ?? 'other',
    source: createEndpoint(receiver, readUint16(bytes, at + 3)),
    destination: createEndpoint(sender, readUint16(bytes, at + 5)),
    isMaybeBroken: left > 7 && ((bytes[at + 7] as number) & 1) === 1,
  };
}

function turnIpv4(bytes: Uint8Array, view: DataView, offset: number, length: number): void {
  swap(bytes, offset + 12, offset + 16, 4);
  view.setUint16(offset + 2, length);
  bytes[offset + 8] = HOP_LIMIT;
  view.setUint16(offset + 10, 0);
  const headerLength = ((bytes[offset] as number) & 0x0f) * 4;
  view.setUint16(offset + 10, finishChecksum(addToChecksum(0, bytes, offset, headerLength)));
}

function turnIpv6(bytes: Uint8Array, view: DataView, offset: number, length: number): void {
  swap(bytes, offset + 8, offset + 24, 16);
  view.setUint16(offset + 4, length - 40);
  bytes[offset + 7] = HOP_LIMIT;
}

function swap(bytes: Uint8Array, a: number, b: number, length: number): void {
  for (let i = 0; i < length; i++) {
    const byte = bytes[a + i] as number;
    bytes[a + i] = bytes[b + i] as number;
    bytes[b + i] = byte;
  }
}

function readUint16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] as number) << 8) | (bytes[offset + 1] as number);
}
