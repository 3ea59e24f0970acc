import { PACKET_HEADROOM_BYTES, PACKET_SLOT_BYTES, type PacketArena } from '../bytes/packet-arena.ts';
import { SlotQueue } from '../bytes/slot-queue.ts';
import { Counters } from '../time/counters.ts';
import type { WireGuardDrop } from './drops.ts';
import type { Peer } from './peer.ts';

/** Events not yet polled; beyond it new ones are dropped and counted. */
export const EVENTS_MAX = 1024;

/**
 * - `handshake-completed`: a session can send.
 * - `handshake-gave-up`: 90 s without an answer; packets that waited are dropped.
 * - `received`: an authentic message came; at most once a second and peer.
 */
export interface WireGuardEvent {
  readonly kind: 'handshake-completed' | 'handshake-gave-up' | 'received';
  readonly peer: number;
}

/** Where everything of `WireGuard` comes out: datagrams, packets, events, and the count of what was dropped. */
export class Outbox {
  readonly counters: Counters<WireGuardDrop> = new Counters();
  readonly #arena: PacketArena;
  // A slot is in one place only, so neither queue can overflow.
  readonly #datagrams: SlotQueue;
  readonly #packets: SlotQueue;
  readonly #events: WireGuardEvent[] = [];

  constructor(arena: PacketArena) {
    this.#arena = arena;
    this.#datagrams = new SlotQueue(arena.slotCount);
    this.#packets = new SlotQueue(arena.slotCount);
  }

  get isEmpty(): boolean {
    return this.#datagrams.length === 0 && this.#packets.length === 0 && this.#events.length === 0;
  }

  pollDatagram(): number {
    return this.#datagrams.shift();
  }

  pollPacket(): number {
    return this.#packets.shift();
  }

  pollEvent(): WireGuardEvent | undefined {
    return this.#events.shift();
  }

  /** Takes a slot that holds a finished datagram. */
  send(peer: Peer, slot: number): void {
    this.#arena.peer[slot] = peer.handle;
    peer.txBytes += this.#arena.length[slot] as number;
    this.#datagrams.push(slot);
  }

  /** Takes a slot and sends `message` in it, with the whole headroom before it. */
  sendMessage(peer: Peer, slot: number, message: Uint8Array): void {
    this.#write(slot, message);
    this.send(peer, slot);
  }

  /** As {@link Outbox.sendMessage}, to wherever the datagram came from that the slot held: its peer is not known. */
  sendReply(slot: number, message: Uint8Array): void {
    this.#write(slot, message);
    this.#arena.peer[slot] = -1;
    this.#datagrams.push(slot);
  }

  /** Takes a slot that holds a decrypted IP packet. */
  deliver(peer: Peer, slot: number): void {
    this.#arena.peer[slot] = peer.handle;
    this.#packets.push(slot);
  }

  emit(kind: WireGuardEvent['kind'], peer: Peer): void {
    if (this.#events.length < EVENTS_MAX) this.#events.push({ kind, peer: peer.handle });
    else this.counters.add('event-queue-full');
  }

  drop(slot: number, reason: WireGuardDrop): void {
    this.counters.add(reason);
    this.#arena.free(slot);
  }

  #write(slot: number, message: Uint8Array): void {
    const start = slot * PACKET_SLOT_BYTES + PACKET_HEADROOM_BYTES;
    this.#arena.bytes.set(message, start);
    this.#arena.offset[slot] = start;
    this.#arena.length[slot] = message.length;
  }
}
