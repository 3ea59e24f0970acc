import { PACKET_SLOT_BYTES, type PacketArena } from '../bytes/packet-arena.ts';
import type { CryptoProvider, Rng, UnixClock } from '../crypto/provider.ts';
import type { NodePrivateKey } from '../keys/private-key.ts';
import type { Counters } from '../time/counters.ts';
import type { Wake } from '../time/machine.ts';
import type { WireGuardDrop } from './drops.ts';
import { type HandshakeResult, Handshakes } from './handshakes.ts';
import { classifyMessage, INDEX_OFFSET, readIndex, TAG_BYTES, TRANSPORT_HEADER_BYTES } from './messages.ts';
import { Outbox, type WireGuardEvent } from './outbox.ts';
import type { PeerDirectory } from './peer-directory.ts';
import { SessionDriver } from './session-driver.ts';
import { openPacket, paddedLength } from './transport.ts';

export type { WireGuardDrop } from './drops.ts';
export type { WireGuardEvent } from './outbox.ts';

export interface WireGuardOptions {
  readonly arena: PacketArena;
  readonly crypto: CryptoProvider;
  readonly rng: Rng;
  readonly unixMs: UnixClock;
  readonly privateKey: NodePrivateKey;
  readonly directory: PeerDirectory;
  /** Largest inner packet of the tunnel: padding stops there. */
  readonly mtuBytes: number;
}

/**
 * WireGuard towards all peers of a node (docs/spec/wireguard.md).
 *
 * A peer, made on demand, is in one of these states:
 *
 *     idle ──packet──▶ handshaking ──response──▶ established ──180 s──▶ idle
 *      │                │  ▲  │ every 5 s                │ 120 s: handshaking besides
 *      │                │  └──┘                          │
 *      │                └──90 s──▶ idle, gave up         └─540 s without a new session──▶ keys destroyed
 *      └──initiation──▶ responded ──first packet──▶ established
 *
 * - A waiting handshake always has a timer, so that no message, lost or forged, can leave it stuck.
 * - Who initiates and who responds are independent: both sides may do both at once, and both sessions then work.
 * - Nothing is sent with a session that the peer has not proven to have.
 * - Every slot has one owner: the argument of `sendPacket` and `receive` is taken; a polled slot is the caller's.
 *
 * Bad input is counted in {@link WireGuard.counters} and dropped. Only a slot without room for the header throws.
 */
export class WireGuard {
  readonly counters: Counters<WireGuardDrop>;
  readonly #arena: PacketArena;
  readonly #mtuBytes: number;
  readonly #outbox: Outbox;
  readonly #handshakes: Handshakes;
  readonly #sessions: SessionDriver;
  #nowMs = 0;

  constructor(o: WireGuardOptions) {
    this.#arena = o.arena;
    this.#mtuBytes = o.mtuBytes;
    this.#outbox = new Outbox(o.arena);
    this.counters = this.#outbox.counters;
    this.#handshakes = new Handshakes(o);
    this.#sessions = new SessionDriver(this.#handshakes, this.#outbox, o);
  }

  /**
   * Takes the slot with one IP packet for a peer. Without a usable session it waits for one.
   * @throws {RangeError} when there are fewer than 16 bytes before the packet in its slot.
   */
  sendPacket(peer: number, slot: number, nowMs: number): void {
    if ((this.#arena.offset[slot] as number) % PACKET_SLOT_BYTES < TRANSPORT_HEADER_BYTES) {
      throw new RangeError(`packet slot ${slot} has no room for the header`);
    }
    this.#nowMs = nowMs;
    const state = this.#handshakes.peers.obtain(peer, nowMs);
    if (state === undefined) {
      this.#outbox.drop(slot, 'unknown-peer');
      return;
    }
    if (this.#isSendable(slot)) this.#sessions.sendPacket(state, slot, nowMs);
    else this.#outbox.drop(slot, 'bad-outbound-packet');
    this.#sessions.reschedule(state);
  }

  /**
   * Takes the slot with one datagram of any content.
   *
   * `cookieSource` are the bytes that stand for the sender's address (4 or 16 of IP address, with or without 2 of port; by
   * relay the sender's node key) and is only borrowed.
   */
  receive(slot: number, cookieSource: Uint8Array, nowMs: number): void {
    this.#nowMs = nowMs;
    const { bytes, offset, length } = this.#arena;
    const kind = classifyMessage(bytes, offset[slot] as number, length[slot] as number);
    switch (kind) {
      case 'transport':
        this.#receiveTransport(slot, nowMs);
        break;
      case 'initiation':
        this.#finish(slot, this.#handshakes.handleInitiation(this.#arena.packet(slot), cookieSource, nowMs), nowMs);
        break;
      case 'response':
        this.#finish(slot, this.#handshakes.handleResponse(this.#arena.packet(slot), cookieSource, nowMs), nowMs);
        break;
      case 'cookie-reply':
        this.#finish(slot, this.#handshakes.handleCookieReply(this.#arena.packet(slot), nowMs), nowMs);
        break;
      default:
        this.#outbox.drop(slot, kind);
    }
  }

  /**
   * A slot to send, the caller's from now on, or -1. It goes to the peer `arena.peer[slot]`; when that is -1 it is a cookie
   * reply, which goes where the datagram came from that {@link WireGuard.receive} took in this very slot: nobody knows
   * yet who sent it.
   */
  pollDatagram(): number {
    return this.#outbox.pollDatagram();
  }

  /** A slot with a decrypted IP packet of the peer `arena.peer[slot]`, the caller's from now on, or -1. */
  pollPacket(): number {
    return this.#outbox.pollPacket();
  }

  pollEvent(): WireGuardEvent | undefined {
    return this.#outbox.pollEvent();
  }

  handleTimeout(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#sessions.handleTimeout(nowMs);
  }

  pollTimeout(): Wake | undefined {
    if (!this.#outbox.isEmpty) return { atMs: this.#nowMs, why: 'wireguard output' };
    const atMs = this.#sessions.nextAtMs;
    return atMs === undefined ? undefined : { atMs, why: 'wireguard timer' };
  }

  /**
   * Call when the peer's process was restarted and its sessions are gone: the next send makes a new one at once. What is
   * still under way, or comes by a session that the new process made already, is received as before.
   */
  restartSession(peer: number): void {
    const state = this.#handshakes.peers.get(peer);
    if (state === undefined) return;
    this.#sessions.restartSession(state, this.#nowMs);
    this.#sessions.reschedule(state);
  }

  /** Forgets the peer. Call when it leaves the directory, before its handle means another. */
  removePeer(peer: number): void {
    const state = this.#handshakes.peers.get(peer);
    if (state === undefined) return;
    this.#sessions.removePeer(state);
    this.#handshakes.peers.delete(peer);
  }

  /**
   * Bytes of authentic datagrams received and of datagrams sent, and the wall clock at the last completed handshake (0 for
   * never). Never makes a peer.
   */
  stats(peer: number): { rxBytes: number; txBytes: number; lastHandshakeUnixMs: number } {
    const state = this.#handshakes.peers.get(peer);
    return {
      rxBytes: state?.rxBytes ?? 0,
      txBytes: state?.txBytes ?? 0,
      lastHandshakeUnixMs: state?.lastHandshakeUnixMs ?? 0,
    };
  }

  #receiveTransport(slot: number, nowMs: number): void {
    const index = readIndex(this.#arena.bytes, (this.#arena.offset[slot] as number) + INDEX_OFFSET);
    const owner = this.#handshakes.indices.get(index);
    const keypair = owner?.keypair;
    if (owner === undefined || keypair === undefined) {
      this.#outbox.drop(slot, 'unknown-session');
      return;
    }
    const { peer } = owner;
    const lengthBytes = this.#arena.length[slot] as number;
    const opened = openPacket(this.#arena, slot, keypair, nowMs);
    if (opened !== 'packet' && opened !== 'keepalive' && opened !== 'bad-inner-packet') {
      this.#outbox.drop(slot, opened);
      return;
    }
    this.#sessions.noteAuthentic(peer, lengthBytes, nowMs);
    this.#sessions.noteTransport(peer, keypair, opened !== 'keepalive', nowMs);
    this.#sessions.reschedule(peer);
    if (opened === 'packet') this.#outbox.deliver(peer, slot);
    else if (opened === 'keepalive') this.#arena.free(slot);
    else this.#outbox.drop(slot, opened);
  }

  /** Acts on what became of a received handshake message, whose slot it takes. */
  #finish(slot: number, result: HandshakeResult, nowMs: number): void {
    const lengthBytes = this.#arena.length[slot] as number;
    switch (result.kind) {
      case 'drop':
        this.#outbox.drop(slot, result.reason);
        break;
      case 'cookie-demanded':
        this.#outbox.counters.add('cookie-demanded');
        this.#outbox.sendReply(slot, result.message);
        break;
      case 'cookie-kept':
        this.#arena.free(slot);
        break;
      case 'responded':
        this.#sessions.noteAuthentic(result.peer, lengthBytes, nowMs);
        this.#sessions.sendResponse(result.peer, slot, result.message, nowMs);
        this.#sessions.reschedule(result.peer);
        break;
      case 'completed':
        this.#arena.free(slot);
        this.#sessions.noteAuthentic(result.peer, lengthBytes, nowMs);
        this.#sessions.sessionInitiated(result.peer, nowMs);
        this.#sessions.reschedule(result.peer);
    }
  }

  #isSendable(slot: number): boolean {
    const length = this.#arena.length[slot] as number;
    const behind = paddedLength(length, this.#mtuBytes) - length + TAG_BYTES;
    return length > 0 && this.#arena.tailroom(slot) >= behind;
  }
}
