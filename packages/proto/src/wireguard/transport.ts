import type { PacketArena } from '../bytes/packet-arena.ts';
import { innerPacketLength } from './inner-packet.ts';
import type { Keypair } from './keypair.ts';
import {
  readCounter,
  TAG_BYTES,
  TRANSPORT_COUNTER_OFFSET,
  TRANSPORT_HEADER_BYTES,
  TYPE_TRANSPORT,
  writeCounter,
  writeHeader,
} from './messages.ts';

const PADDING_MULTIPLE = 16;

export type TransportDrop = 'expired-session' | 'replayed' | 'unauthentic-data';
export type OpenedPacket = 'packet' | 'keepalive' | 'bad-inner-packet';

/** Bytes that a packet has after padding: a multiple of 16, but never more than the tunnel's MTU by padding. */
export function paddedLength(length: number, mtuBytes: number): number {
  const padded = Math.ceil(length / PADDING_MULTIPLE) * PADDING_MULTIPLE;
  return Math.max(length, Math.min(padded, mtuBytes));
}

/**
 * Turns the IP packet of a slot (empty: a keepalive) into a transport message, in place: header in the headroom, zero
 * padding and tag behind. The caller has checked that both fit and that the session may send.
 */
export function sealPacket(arena: PacketArena, slot: number, keypair: Keypair, mtuBytes: number): void {
  const start = arena.offset[slot] as number;
  const length = arena.length[slot] as number;
  const padded = paddedLength(length, mtuBytes);
  const counter = keypair.sentCount;
  keypair.sentCount = counter + 1;
  if (padded > length) arena.bytes.fill(0, start + length, start + padded);
  keypair.sendCipher.seal(arena.bytes, start, padded, counter);
  const header = start - TRANSPORT_HEADER_BYTES;
  writeHeader(arena.bytes, header, TYPE_TRANSPORT, keypair.remoteIndex);
  writeCounter(arena.bytes, header + TRANSPORT_COUNTER_OFFSET, counter);
  arena.offset[slot] = header;
  arena.length[slot] = TRANSPORT_HEADER_BYTES + padded + TAG_BYTES;
}

/**
 * Opens the transport message of a slot in place. On `'packet'` the slot is cut to the inner IP packet; any of
 * {@link OpenedPacket} proves the peer, a {@link TransportDrop} proves nothing.
 */
export function openPacket(
  arena: PacketArena,
  slot: number,
  keypair: Keypair,
  nowMs: number,
): OpenedPacket | TransportDrop {
  const start = arena.offset[slot] as number;
  const counter = readCounter(arena.bytes, start + TRANSPORT_COUNTER_OFFSET);
  if (counter < 0 || keypair.isExpired(nowMs)) return 'expired-session';
  if (!keypair.received.isNew(counter)) return 'replayed';
  const body = start + TRANSPORT_HEADER_BYTES;
  const sealedLength = (arena.length[slot] as number) - TRANSPORT_HEADER_BYTES;
  if (!keypair.receiveCipher.open(arena.bytes, body, sealedLength, counter)) return 'unauthentic-data';
  // Only an authentic counter may move the window: a forged one could close it.
  keypair.received.accept(counter);
  const length = sealedLength - TAG_BYTES;
  if (length === 0) return 'keepalive';
  const inner = innerPacketLength(arena.bytes, body, length);
  if (inner < 0) return 'bad-inner-packet';
  arena.offset[slot] = body;
  arena.length[slot] = inner;
  return 'packet';
}
