import type { PacketArena } from '../bytes/packet-arena.ts';
import type { Rng, UnixClock } from '../crypto/provider.ts';
import { DeadlineHeap } from './deadline-heap.ts';
import type { WireGuardDrop } from './drops.ts';
import type { Handshakes } from './handshakes.ts';
import { Jitter } from './jitter.ts';
import type { Keypair } from './keypair.ts';
import type { Outbox } from './outbox.ts';
import type { Peer } from './peer.ts';
import { type PeerTimer, REKEY_ATTEMPT_MS, REKEY_TIMEOUT_MS } from './peer-timers.ts';
import { Staging } from './staging.ts';
import { sealPacket } from './transport.ts';

/** Least time between two `received` events of one peer. */
export const RECEIVED_EVENT_GAP_MS = 1000;

/**
 * What is done for a peer, and when: sends by its session or keeps packets until there is one, begins and repeats
 * handshakes, acts on its timers. Owns the waiting packets and the deadlines of all peers.
 *
 * Whoever calls something that takes a peer calls {@link SessionDriver.reschedule} afterwards, except after `removePeer`.
 */
export class SessionDriver {
  readonly #arena: PacketArena;
  readonly #handshakes: Handshakes;
  readonly #outbox: Outbox;
  readonly #unixMs: UnixClock;
  readonly #mtuBytes: number;
  readonly #jitter: Jitter;
  readonly #staging: Staging;
  readonly #wakes = new DeadlineHeap<Peer>();

  constructor(
    handshakes: Handshakes,
    outbox: Outbox,
    o: { readonly arena: PacketArena; readonly rng: Rng; readonly unixMs: UnixClock; readonly mtuBytes: number },
  ) {
    this.#arena = o.arena;
    this.#handshakes = handshakes;
    this.#outbox = outbox;
    this.#unixMs = o.unixMs;
    this.#mtuBytes = o.mtuBytes;
    this.#jitter = new Jitter(o.rng);
    this.#staging = new Staging(o.arena.slotCount);
  }

  /** The earliest deadline, or undefined. */
  get nextAtMs(): number | undefined {
    return this.#wakes.earliest?.wakeAtMs;
  }

  reschedule(peer: Peer): void {
    this.#wakes.setNoLater(peer, peer.timers.nextAtMs());
  }

  handleTimeout(nowMs: number): void {
    for (;;) {
      const peer = this.#wakes.earliest;
      if (peer === undefined || peer.wakeAtMs > nowMs) return;
      for (let timer = peer.timers.takeDue(nowMs); timer !== undefined; timer = peer.timers.takeDue(nowMs)) {
        this.#fire(peer, timer, nowMs);
      }
      this.#wakes.set(peer, peer.timers.nextAtMs());
    }
  }

  /** Takes a slot with an IP packet that fits its slot when sealed. */
  sendPacket(peer: Peer, slot: number, nowMs: number): void {
    const keypair = peer.keypairs.current;
    if (keypair?.canSend(nowMs)) {
      this.#transmit(peer, keypair, slot, nowMs);
      return;
    }
    const dropped = this.#staging.push(peer.staged, slot);
    if (dropped >= 0) this.#outbox.drop(dropped, 'staging-full');
    this.#requestHandshake(peer, nowMs);
  }

  /** Takes a slot that may be overwritten with the response to an initiation. */
  sendResponse(peer: Peer, slot: number, message: Uint8Array, nowMs: number): void {
    this.#outbox.sendMessage(peer, slot, message);
    peer.handshakeSentAtMs = nowMs;
    peer.timers.authenticSent(nowMs);
    peer.timers.sessionDerived(nowMs);
  }

  /** This side's initiation was answered. */
  sessionInitiated(peer: Peer, nowMs: number): void {
    peer.timers.sessionDerived(nowMs);
    // The first packet proves the session to the responder, which may not use it before.
    if (peer.staged.length === 0) this.#sendKeepalive(peer, nowMs);
    this.#completeHandshake(peer, nowMs);
  }

  noteAuthentic(peer: Peer, lengthBytes: number, nowMs: number): void {
    peer.rxBytes += lengthBytes;
    peer.timers.authenticReceived(nowMs);
    if (nowMs - peer.receivedEventAtMs < RECEIVED_EVENT_GAP_MS) return;
    peer.receivedEventAtMs = nowMs;
    this.#outbox.emit('received', peer);
  }

  /** An authentic transport message came by `keypair`; {@link SessionDriver.noteAuthentic} was called. */
  noteTransport(peer: Peer, keypair: Keypair, isData: boolean, nowMs: number): void {
    if (peer.keypairs.confirm(keypair)) this.#completeHandshake(peer, nowMs);
    if (isData) peer.timers.dataReceived(nowMs);
    if (peer.keypairs.current?.takeRekeyAfterReceive(nowMs)) this.#requestHandshake(peer, nowMs);
  }

  restartSession(peer: Peer, nowMs: number): void {
    peer.keypairs.retireCurrent();
    peer.timers.sessionLost();
    peer.handshakeSentAtMs = Number.NEGATIVE_INFINITY;
    if (peer.staged.length === 0) return;
    peer.attemptStartedAtMs = nowMs;
    peer.timers.scheduleHandshake(nowMs);
  }

  removePeer(peer: Peer): void {
    peer.keypairs.clear();
    peer.replaceInitiation(undefined);
    this.#dropStaged(peer, 'peer-removed');
    this.#wakes.remove(peer);
  }

  #fire(peer: Peer, timer: PeerTimer, nowMs: number): void {
    switch (timer) {
      case 'retransmit':
        this.#retryHandshake(peer, nowMs);
        break;
      case 'new-handshake':
        this.#requestHandshake(peer, nowMs);
        break;
      case 'keepalive':
        // Without a session there is nothing to keep alive: whoever has data renews it.
        this.#sendKeepalive(peer, nowMs);
        break;
      case 'persistent-keepalive':
        if (!this.#sendKeepalive(peer, nowMs)) this.#requestHandshake(peer, nowMs);
        break;
      case 'zero-keys':
        this.#zeroKeys(peer);
    }
  }

  /** Begins a handshake unless one is under way; later, if a handshake message went to the peer within 5 s. */
  #requestHandshake(peer: Peer, nowMs: number): void {
    if (peer.timers.isHandshaking) return;
    peer.attemptStartedAtMs = nowMs;
    this.#initiateWhenAllowed(peer, nowMs);
  }

  #retryHandshake(peer: Peer, nowMs: number): void {
    if (nowMs - peer.attemptStartedAtMs < REKEY_ATTEMPT_MS) {
      this.#initiateWhenAllowed(peer, nowMs);
      return;
    }
    peer.timers.handshakeGaveUp(nowMs);
    peer.replaceInitiation(undefined);
    this.#dropStaged(peer, 'handshake-gave-up');
    this.#outbox.emit('handshake-gave-up', peer);
  }

  #initiateWhenAllowed(peer: Peer, nowMs: number): void {
    const allowedAtMs = peer.handshakeSentAtMs + REKEY_TIMEOUT_MS;
    if (nowMs < allowedAtMs) {
      peer.timers.scheduleHandshake(allowedAtMs + this.#jitter.drawMs());
      return;
    }
    if (!this.#handshakes.peers.isListed(peer)) {
      this.#dropStaged(peer, 'unknown-peer');
      return;
    }
    peer.timers.scheduleHandshake(nowMs + REKEY_TIMEOUT_MS + this.#jitter.drawMs());
    const slot = this.#allocate();
    if (slot < 0) return;
    this.#outbox.sendMessage(peer, slot, this.#handshakes.initiate(peer, nowMs));
    peer.handshakeSentAtMs = nowMs;
    peer.timers.authenticSent(nowMs);
  }

  #completeHandshake(peer: Peer, nowMs: number): void {
    peer.timers.endHandshake();
    peer.lastHandshakeUnixMs = this.#unixMs();
    this.#outbox.emit('handshake-completed', peer);
    const keypair = peer.keypairs.current;
    while (keypair?.canSend(nowMs)) {
      const slot = this.#staging.shift(peer.staged);
      if (slot < 0) return;
      this.#transmit(peer, keypair, slot, nowMs);
    }
  }

  /** False when there is no session that can send. */
  #sendKeepalive(peer: Peer, nowMs: number): boolean {
    const keypair = peer.keypairs.current;
    if (!keypair?.canSend(nowMs)) return false;
    const slot = this.#allocate();
    if (slot >= 0) this.#transmit(peer, keypair, slot, nowMs);
    return true;
  }

  #transmit(peer: Peer, keypair: Keypair, slot: number, nowMs: number): void {
    const isData = this.#arena.length[slot] !== 0;
    sealPacket(this.#arena, slot, keypair, this.#mtuBytes);
    this.#outbox.send(peer, slot);
    peer.timers.authenticSent(nowMs);
    if (isData) peer.timers.dataSent(nowMs, this.#jitter);
    if (keypair.isRekeyDue(nowMs)) this.#requestHandshake(peer, nowMs);
  }

  #zeroKeys(peer: Peer): void {
    peer.keypairs.clear();
    if (peer.timers.isHandshaking) return;
    peer.replaceInitiation(undefined);
    this.#dropStaged(peer, 'session-zeroed');
  }

  #dropStaged(peer: Peer, reason: WireGuardDrop): void {
    for (let slot = this.#staging.shift(peer.staged); slot >= 0; slot = this.#staging.shift(peer.staged)) {
      this.#outbox.drop(slot, reason);
    }
  }

  /** A slot for a message of our own. A waiting packet gives way: without handshakes it would wait for ever. */
  #allocate(): number {
    const slot = this.#arena.allocate();
    if (slot >= 0) return slot;
    const waiting = this.#staging.shiftOldest();
    if (waiting < 0) {
      this.#outbox.counters.add('no-slot');
      return -1;
    }
    this.#outbox.drop(waiting, 'staging-full');
    return this.#arena.allocate();
  }
}
