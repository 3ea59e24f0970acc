import { formatHex, parseHex } from '../src/bytes/hex.ts';
import { PACKET_SLOT_BYTES, PacketArena } from '../src/bytes/packet-arena.ts';
import { nobleProvider } from '../src/crypto/noble-provider.ts';
import type { Rng } from '../src/crypto/provider.ts';
import { type NodePrivateKey, PrivateKey } from '../src/keys/private-key.ts';
import type { NodePublicKey } from '../src/keys/public-key.ts';
import { WireGuard, type WireGuardEvent } from '../src/wireguard/wireguard.ts';
import { seededRng } from './seeded-rng.ts';

/** The wall clock at virtual time 0 of every {@link WireGuardEnd}. */
export const START_UNIX_MS = 1_700_000_000_000;

/** One WireGuard with an arena of its own, spoken to in copied bytes instead of slots. */
export class WireGuardEnd {
  readonly wireGuard: WireGuard;
  readonly arena: PacketArena;
  readonly privateKey: NodePrivateKey;
  /** Public key by handle; a test may add, remove or expire. */
  readonly listed = new Map<number, NodePublicKey>();
  readonly presharedKeys = new Map<number, Uint8Array>();
  persistentKeepaliveMs = 0;
  unixMs = START_UNIX_MS;
  readonly #datagrams: Uint8Array[] = [];
  readonly #packets: Uint8Array[] = [];
  readonly #events: WireGuardEvent[] = [];

  constructor(o: { privateKey: Uint8Array; rng: Rng; mtuBytes?: number; slotCount?: number }) {
    this.arena = new PacketArena(new Uint8Array((o.slotCount ?? 512) * PACKET_SLOT_BYTES));
    this.privateKey = new PrivateKey<'node'>(o.privateKey, nobleProvider);
    this.wireGuard = new WireGuard({
      arena: this.arena,
      crypto: nobleProvider,
      rng: o.rng,
      unixMs: () => this.unixMs,
      privateKey: this.privateKey,
      directory: {
        lookup: (bytes, offset) => this.#lookup(bytes, offset),
        publicKey: (handle) => this.listed.get(handle),
        presharedKey: (handle) => this.presharedKeys.get(handle),
        persistentKeepaliveMs: () => this.persistentKeepaliveMs,
      },
      mtuBytes: o.mtuBytes ?? 1280,
    });
  }

  send(peer: number, packet: Uint8Array, nowMs: number): void {
    this.wireGuard.sendPacket(peer, this.#copyIn(packet), nowMs);
  }

  receive(datagram: Uint8Array, nowMs: number, source: Uint8Array = Uint8Array.of(192, 0, 2, 1, 0x6c, 0xca)): void {
    this.wireGuard.receive(this.#copyIn(datagram), source, nowMs);
  }

  /** Drains the machine into this end, where the three takers find it: a machine must be drained before it goes on. */
  collect(): void {
    this.#drain(() => this.wireGuard.pollDatagram(), this.#datagrams);
    this.#drain(() => this.wireGuard.pollPacket(), this.#packets);
    for (let event = this.wireGuard.pollEvent(); event; event = this.wireGuard.pollEvent()) this.#events.push(event);
  }

  takeDatagrams(): Uint8Array[] {
    this.collect();
    return this.#datagrams.splice(0);
  }

  takePackets(): Uint8Array[] {
    this.collect();
    return this.#packets.splice(0);
  }

  takeEvents(): WireGuardEvent[] {
    this.collect();
    return this.#events.splice(0);
  }

  eventKinds(): string[] {
    return this.takeEvents().map(({ kind }) => kind);
  }

  #drain(poll: () => number, into: Uint8Array[]): void {
    for (let slot = poll(); slot >= 0; slot = poll()) {
      into.push(this.arena.packet(slot).slice());
      this.arena.free(slot);
    }
  }

  #copyIn(bytes: Uint8Array): number {
    const slot = this.arena.copyIn(bytes);
    if (slot < 0) throw new Error('test arena is full');
    return slot;
  }

  #lookup(bytes: Uint8Array, offset: number): number {
    const wanted = formatHex(bytes.subarray(offset, offset + 32));
    for (const [handle, key] of this.listed) if (formatHex(key) === wanted) return handle;
    return -1;
  }
}

/** Two ends that list each other: `a` knows `b` as handle 1, `b` knows `a` as handle 2. */
export function createEndPair(seed: number, o: { slotCount?: number } = {}): { a: WireGuardEnd; b: WireGuardEnd } {
  const rng = seededRng(seed);
  const drawKey = (): Uint8Array => {
    const key = new Uint8Array(32);
    rng.fill(key);
    return key;
  };
  const a = new WireGuardEnd({ privateKey: drawKey(), rng, ...o });
  const b = new WireGuardEnd({ privateKey: drawKey(), rng, ...o });
  a.listed.set(1, b.privateKey.publicKey);
  b.listed.set(2, a.privateKey.publicKey);
  return { a, b };
}

/** An Rng that gives out prepared bytes by the length asked for, and seeded ones for any other length. */
export function scriptedRng(script: readonly Uint8Array[]): Rng {
  const left = [...script];
  const rest = seededRng(1);
  return {
    fill(bytes) {
      const at = left.findIndex((item) => item.length === bytes.length);
      if (at < 0) rest.fill(bytes);
      else bytes.set(left.splice(at, 1)[0]!);
    },
  };
}

/** An IPv4 packet of `lengthBytes` that carries a number, so that a test can tell it again. */
export function numberedPacket(number: number, lengthBytes = 28): Uint8Array {
  const packet = new Uint8Array(lengthBytes).fill(0xa5, 28);
  const view = new DataView(packet.buffer);
  packet[0] = 0x45;
  view.setUint16(2, lengthBytes);
  view.setUint32(20, number);
  return packet;
}

export function packetNumber(packet: Uint8Array): number {
  return new DataView(packet.buffer, packet.byteOffset).getUint32(20);
}

export function bytesOf(hex: string): Uint8Array {
  const bytes = parseHex(hex);
  if (bytes === undefined) throw new Error(`not hex: ${hex}`);
  return bytes;
}

/** Carries datagrams between the two without delay or loss until both are quiet. Returns how many. */
export function exchange(a: WireGuardEnd, b: WireGuardEnd, nowMs: number): number {
  let count = 0;
  for (;;) {
    const fromA = a.takeDatagrams();
    const fromB = b.takeDatagrams();
    if (fromA.length + fromB.length === 0) return count;
    count += fromA.length + fromB.length;
    if (count > 1000) throw new Error('the two ends never fall quiet');
    for (const datagram of fromA) b.receive(datagram, nowMs);
    for (const datagram of fromB) a.receive(datagram, nowMs);
  }
}

/** Lets due timers fire one after the other until `untilMs`, carrying what they send; checks the machine contract. */
export function runTimers(ends: readonly [WireGuardEnd, WireGuardEnd], untilMs: number): void {
  for (;;) {
    for (const end of ends) end.collect();
    const wakes = ends.map((end) => end.wireGuard.pollTimeout()?.atMs ?? Infinity);
    const atMs = Math.min(...wakes);
    if (atMs > untilMs) return;
    for (const end of ends) end.wireGuard.handleTimeout(atMs);
    exchange(ends[0], ends[1], atMs);
    for (const end of ends) requireProgress(end, atMs);
  }
}

/** As {@link runTimers} for one end whose datagrams nobody answers: when each was sent, and its bytes. */
export function runUnanswered(end: WireGuardEnd, untilMs: number): { atMs: number; bytes: Uint8Array }[] {
  const sent: { atMs: number; bytes: Uint8Array }[] = [];
  for (;;) {
    end.collect();
    const wake = end.wireGuard.pollTimeout();
    if (wake === undefined || wake.atMs > untilMs) return sent;
    end.wireGuard.handleTimeout(wake.atMs);
    for (const bytes of end.takeDatagrams()) sent.push({ atMs: wake.atMs, bytes });
    requireProgress(end, wake.atMs);
  }
}

/** The machine contract: once drained after `handleTimeout(t)`, the next wake is later than t. */
function requireProgress(end: WireGuardEnd, nowMs: number): void {
  end.collect();
  const wake = end.wireGuard.pollTimeout();
  if (wake !== undefined && wake.atMs <= nowMs) throw new Error(`woken at ${nowMs} for ${wake.why} again`);
}

/** A pair with a session that `a` initiated at time 0. */
export function createSession(seed: number): { a: WireGuardEnd; b: WireGuardEnd } {
  const ends = createEndPair(seed);
  ends.a.send(1, numberedPacket(0), 0);
  exchange(ends.a, ends.b, 0);
  ends.b.takePackets();
  ends.a.takeEvents();
  ends.b.takeEvents();
  return ends;
}
