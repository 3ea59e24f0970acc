import { PacketArena } from '../src/bytes/packet-arena.ts';
import { addToChecksum, finishChecksum } from '../src/ip/checksum.ts';
import { Netstack, type NetstackEvent, type TcpConnection } from '../src/netstack/netstack.ts';
import { LEFT_IPV4, RIGHT_IPV4 } from './netstack-world.ts';
import { seededRng } from './seeded-rng.ts';

/** A TCP segment in a test's words; sequences are unsigned. */
export interface RawSegment {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgment: number;
  /** In the order of the flag bits, low first: F S R P A. */
  readonly flags: string;
  readonly window: number;
  /** Option bytes, a multiple of 4. */
  readonly options: readonly number[];
  readonly payload: Uint8Array;
}

const FLAGS = 'FSRPA';

/** Builds an IPv4 packet from 100.64.0.1 to 100.64.0.2, by the byte and with the slow checksum. */
export function buildPacket(segment: RawSegment): Uint8Array {
  const headerLength = 20 + segment.options.length;
  const length = headerLength + segment.payload.length;
  const packet = new Uint8Array(20 + length);
  const view = new DataView(packet.buffer);
  packet.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, ...LEFT_IPV4.bytes, ...RIGHT_IPV4.bytes]);
  view.setUint16(2, packet.length);
  view.setUint16(10, finishChecksum(addToChecksum(0, packet, 0, 20)));
  view.setUint16(20, segment.sourcePort);
  view.setUint16(22, segment.destinationPort);
  view.setUint32(24, segment.sequence);
  view.setUint32(28, segment.acknowledgment);
  view.setUint8(32, (headerLength / 4) << 4);
  view.setUint8(
    33,
    [...segment.flags].reduce((bits, flag) => bits | (1 << FLAGS.indexOf(flag)), 0),
  );
  view.setUint16(34, segment.window);
  packet.set(segment.options, 40);
  packet.set(segment.payload, 20 + headerLength);
  const pseudo = addToChecksum(6 + length, packet, 12, 8);
  view.setUint16(36, finishChecksum(addToChecksum(pseudo, packet, 20, length)));
  return packet;
}

/** Reads a TCP packet of either family, whose checksum must be right. */
export function readPacket(packet: Uint8Array): RawSegment {
  const tcp = (packet[0] as number) >> 4 === 4 ? 20 : 40;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const addresses = tcp === 20 ? 12 : 8;
  const pseudo = addToChecksum(6 + packet.length - tcp, packet, addresses, tcp - addresses);
  if (finishChecksum(addToChecksum(pseudo, packet, tcp, packet.length - tcp)) !== 0) throw new Error('TCP checksum');
  const headerLength = (view.getUint8(tcp + 12) >> 4) * 4;
  return {
    sourcePort: view.getUint16(tcp),
    destinationPort: view.getUint16(tcp + 2),
    sequence: view.getUint32(tcp + 4),
    acknowledgment: view.getUint32(tcp + 8),
    flags: [...FLAGS].filter((_, bit) => view.getUint8(tcp + 13) & (1 << bit)).join(''),
    window: view.getUint16(tcp + 14),
    options: [...packet.subarray(tcp + 20, tcp + headerLength)],
    payload: packet.slice(tcp + headerLength),
  };
}

/** The bytes of a timestamps option, padded. */
export function timestamps(value: number, echo: number): number[] {
  return [1, 1, 8, 10, ...word(value), ...word(echo)];
}

/** The bytes of a SACK option, padded. */
export function sack(...edges: number[]): number[] {
  return [1, 1, 5, 2 + 4 * edges.length, ...edges.flatMap(word)];
}

/** SACK blocks of a segment as pairs relative to `base`. */
export function sackBlocks(segment: RawSegment, base: number): [number, number][] {
  const { options } = segment;
  for (let at = 0; at < options.length; ) {
    const kind = options[at];
    if (kind === 1) {
      at++;
      continue;
    }
    const size = options[at + 1] as number;
    if (kind === 5) {
      const view = new DataView(Uint8Array.from(options.slice(at + 2, at + size)).buffer);
      return Array.from({ length: (size - 2) / 8 }, (_, i) => [
        (view.getUint32(8 * i) - base) >>> 0,
        (view.getUint32(8 * i + 4) - base) >>> 0,
      ]);
    }
    at += size;
  }
  return [];
}

/**
 * A stack at 100.64.0.2 and a peer at 100.64.0.1 whose every segment the test writes itself.
 * Sequences are given relative to the initial ones: 1 is the first data byte of either side.
 */
export class RawPeer {
  readonly arena: PacketArena = new PacketArena(new Uint8Array(2048 * 256));
  readonly stack: Netstack;
  readonly events: NetstackEvent[] = [];
  readonly #port = 50_000;
  readonly #isTimed: boolean;
  readonly #isn: number;
  /** What the peer echoes: the last timestamp it saw. */
  #echo = 0;
  /** The stack's initial sequence, once its SYN has been seen. */
  remoteIsn = 0;
  nowMs = 1000;
  connection: TcpConnection | undefined;

  constructor(options: { isTimed?: boolean; isn?: number } = {}) {
    this.#isTimed = options.isTimed ?? true;
    this.#isn = options.isn ?? 0x10000000;
    this.stack = new Netstack({ arena: this.arena, rng: seededRng(11), mtuBytes: 1280 });
    this.stack.setAddresses([RIGHT_IPV4], this.nowMs);
  }

  /** Sends bytes as they are; returns what the stack answers. */
  inject(packet: Uint8Array): Uint8Array[] {
    this.stack.handlePacket(this.arena.copyIn(packet), this.nowMs);
    return this.drain();
  }

  /** Sends a segment to port 80; returns the answers. */
  send(segment: Partial<RawSegment>): RawSegment[] {
    return this.sendBatch([segment]);
  }

  /** Sends segments that arrive before the stack gets to answer. */
  sendBatch(segments: readonly Partial<RawSegment>[]): RawSegment[] {
    for (const segment of segments) {
      const packet = buildPacket({
        sourcePort: this.#port,
        destinationPort: 80,
        flags: 'A',
        window: 1024,
        payload: new Uint8Array(0),
        options: this.#isTimed ? timestamps(this.nowMs, this.#echo) : [],
        ...segment,
        sequence: (this.#isn + (segment.sequence ?? 1)) >>> 0,
        acknowledgment: (this.remoteIsn + (segment.acknowledgment ?? 0)) >>> 0,
      });
      this.stack.handlePacket(this.arena.copyIn(packet), this.nowMs);
    }
    return this.answers();
  }

  /** Lets time pass, timers included; returns what the stack sends, with the time of each. */
  wait(spanMs: number): { atMs: number; segment: RawSegment }[] {
    const startedAtMs = this.nowMs;
    const endMs = startedAtMs + spanMs;
    const sent: { atMs: number; segment: RawSegment }[] = [];
    for (let step = 0; ; step++) {
      if (step > 100_000) throw new Error(`no progress: ${this.stack.pollTimeout()?.why}`);
      for (const segment of this.answers()) sent.push({ atMs: this.nowMs - startedAtMs, segment });
      const atMs = this.stack.pollTimeout()?.atMs ?? Number.POSITIVE_INFINITY;
      if (atMs > endMs) break;
      this.nowMs = Math.max(this.nowMs, atMs);
      this.stack.handleTimeout(this.nowMs);
    }
    this.nowMs = endMs;
    return sent;
  }

  /** What the stack has to send now, sequences made relative. */
  answers(): RawSegment[] {
    return this.drain().map((packet) => {
      const segment = readPacket(packet);
      if (segment.flags.includes('S')) this.remoteIsn = segment.sequence;
      if (segment.options[2] === 8) this.#echo = new DataView(Uint8Array.from(segment.options).buffer).getUint32(4);
      return {
        ...segment,
        sequence: (segment.sequence - this.remoteIsn) >>> 0,
        acknowledgment: (segment.acknowledgment - this.#isn) >>> 0,
      };
    });
  }

  /** The raw packets the stack has to send now; events are collected. */
  drain(): Uint8Array[] {
    const packets: Uint8Array[] = [];
    for (let slot = this.stack.pollPacket(this.nowMs); slot >= 0; slot = this.stack.pollPacket(this.nowMs)) {
      packets.push(this.arena.packet(slot).slice());
      this.arena.free(slot);
    }
    for (let event = this.stack.pollEvent(); event !== undefined; event = this.stack.pollEvent()) {
      this.events.push(event);
      if ('connection' in event) this.connection = event.connection;
    }
    return packets;
  }

  /** Kinds of the events since the last call. */
  takeEvents(): string[] {
    return this.events.splice(0).map((event) => event.kind);
  }

  /** Opens a connection to the stack's port 80: afterwards both next sequences are 1, RTT 10 ms. */
  establish(synOptions?: readonly number[], window = 65_535): TcpConnection {
    this.stack.listenTcp(80, { isDeferred: false });
    const common = [2, 4, 0x04, 0xd8, 1, 3, 3, 7, 1, 1, 4, 2];
    const options = synOptions ?? (this.#isTimed ? [...common, ...timestamps(this.nowMs, 0)] : common);
    this.send({ flags: 'S', sequence: 0, window, options });
    this.nowMs += 10;
    const isScaled = options.some((byte, i) => byte === 3 && options[i + 1] === 3);
    this.send({ acknowledgment: 1, window: isScaled ? window >> 7 : window });
    this.takeEvents();
    return this.connection as TcpConnection;
  }
}

/** Text as bytes. */
export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function word(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}
