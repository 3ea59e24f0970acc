import { describe, expect, it } from 'vitest';
import { LEFT_IPV4, LEFT_IPV6, RIGHT_IPV4 } from '../../../test/netstack-world.ts';
import { readPacket } from '../../../test/raw-tcp.ts';
import { seededRng } from '../../../test/seeded-rng.ts';
import connect from '../../../test/vectors/netstack/linux-connect.json' with { type: 'json' };
import listen from '../../../test/vectors/netstack/linux-listen.json' with { type: 'json' };
import { formatHex, parseHex } from '../../bytes/hex.ts';
import { PacketArena } from '../../bytes/packet-arena.ts';
import { addToChecksum, finishChecksum } from '../../ip/checksum.ts';
import { Netstack, type NetstackEvent } from '../netstack.ts';

const DATA = Uint8Array.from({ length: 12_000 }, (_, i) => i & 255);

interface Session {
  readonly seed: number;
  readonly startedAtMs: number;
  /** Our SYN or SYN-ACK of the recorded run, with the numbers that the kernel's packets refer to. */
  readonly firstSent: string;
  readonly received: (string | number)[][];
}

/** Plays the kernel's packets at their times to a stack whose application answers events with `onEvent`. */
function replay(session: Session, onEvent: (event: NetstackEvent, stack: Netstack, nowMs: number) => void) {
  const arena = new PacketArena(new Uint8Array(2048 * 256));
  const stack = new Netstack({ arena, rng: seededRng(session.seed), mtuBytes: 1280 });
  const sent: Uint8Array[] = [];
  const recorded = numbersOf(parseHex(session.firstSent) as Uint8Array);
  stack.setAddresses([LEFT_IPV4, LEFT_IPV6], 0);
  const drain = (nowMs: number): void => {
    stack.handleTimeout(nowMs);
    for (let event = stack.pollEvent(); event !== undefined; event = stack.pollEvent()) onEvent(event, stack, nowMs);
    for (let slot = stack.pollPacket(nowMs); slot >= 0; slot = stack.pollPacket(nowMs)) {
      sent.push(arena.packet(slot).slice());
      arena.free(slot);
    }
  };
  const play = (): void => {
    for (const [atMs, hex] of session.received) {
      const packet = parseHex(hex as string) as Uint8Array;
      if (sent[0] !== undefined) renumber(packet, recorded, numbersOf(sent[0]));
      stack.handlePacket(arena.copyIn(packet), atMs as number);
      drain(atMs as number);
    }
  };
  return { stack, sent, drain, play };
}

describe('a recorded session with a Linux kernel', () => {
  it('in which we connect, send 12,000 bytes and get them back', () => {
    const echoed = new Uint8Array(DATA.length);
    let length = 0;
    let reason = '';
    const { stack, sent, drain, play } = replay(connect, (event, _, nowMs) => {
      if (event.kind === 'tcp-connected') {
        expect(event.connection.write(DATA, nowMs)).toBe(DATA.length);
        event.connection.shutdown(nowMs);
      }
      if (event.kind === 'tcp-readable') length += event.connection.read(echoed.subarray(length), nowMs);
      if (event.kind === 'tcp-closed') reason = event.reason;
    });
    stack.connectTcp({ local: undefined, remote: RIGHT_IPV4, port: 7 }, connect.startedAtMs);
    drain(connect.startedAtMs);
    expect(sent.map(withoutNumbers)).toEqual([withoutNumbers(parseHex(connect.firstSent) as Uint8Array)]);
    play();
    expect([length, reason]).toEqual([DATA.length, 'finished']);
    expect(echoed).toEqual(DATA);
    expect(stack.counters.snapshot()).toEqual({});
    expect(payloadBytes(sent)).toBe(DATA.length);
  });

  it('in which the kernel connects over IPv6 and gets back what it sends', () => {
    const received = new Uint8Array(DATA.length);
    let length = 0;
    let reason = '';
    const { stack, sent, play } = replay(listen, (event, _, nowMs) => {
      if (event.kind === 'tcp-readable') {
        const from = length;
        length += event.connection.read(received.subarray(length), nowMs);
        event.connection.write(received.subarray(from, length), nowMs);
      }
      if (event.kind === 'tcp-remote-end') event.connection.shutdown(nowMs);
      if (event.kind === 'tcp-closed') reason = event.reason;
    });
    stack.listenTcp(7, { isDeferred: false });
    play();
    expect(withoutNumbers(sent[0] as Uint8Array)).toEqual(withoutNumbers(parseHex(listen.firstSent) as Uint8Array));
    expect([length, reason]).toEqual([DATA.length, 'finished']);
    expect(received).toEqual(DATA);
    expect(stack.counters.snapshot()).toEqual({});
    expect(payloadBytes(sent)).toBe(DATA.length);
  });
});

/** What the stack chooses by its secret: a recording of one secret is played to another by exchanging them. */
interface ChosenNumbers {
  readonly port: number;
  readonly sequence: number;
  readonly timestamp: number;
}

/** Those of a SYN or SYN-ACK that the stack sent. */
function numbersOf(packet: Uint8Array): ChosenNumbers {
  const { view, tcp } = tcpOf(packet);
  return {
    port: view.getUint16(tcp),
    sequence: view.getInt32(tcp + 4),
    timestamp: view.getInt32(timestampsAt(packet) as number),
  };
}

/** Makes a packet of the kernel refer to the numbers of this run instead of the recorded ones. */
function renumber(packet: Uint8Array, recorded: ChosenNumbers, chosen: ChosenNumbers): void {
  const { view, tcp } = tcpOf(packet);
  const echoAt = timestampsAt(packet);
  view.setUint16(tcp + 2, chosen.port);
  view.setInt32(tcp + 8, view.getInt32(tcp + 8) + chosen.sequence - recorded.sequence);
  if (echoAt !== undefined) {
    view.setInt32(echoAt + 4, view.getInt32(echoAt + 4) + chosen.timestamp - recorded.timestamp);
  }
  view.setUint16(tcp + 16, 0);
  const pseudo = addToChecksum(6 + packet.length - tcp, packet, tcp === 20 ? 12 : 8, tcp === 20 ? 8 : 32);
  view.setUint16(tcp + 16, finishChecksum(addToChecksum(pseudo, packet, tcp, packet.length - tcp)));
}

/** A SYN with its chosen numbers and checksum blanked: all that is left must be as recorded. */
function withoutNumbers(packet: Uint8Array): string {
  const copy = packet.slice();
  const { tcp } = tcpOf(copy);
  const timestamp = timestampsAt(copy) as number;
  const blanks: readonly [number, number][] = [
    [tcp + 4, 4],
    [tcp + 16, 2],
    [timestamp, 4],
  ];
  for (const [at, length] of blanks) copy.fill(0, at, at + length);
  // The port of a listener is no choice.
  if (copy[tcp + 1] !== 7) copy.fill(0, tcp, tcp + 2);
  return formatHex(copy);
}

function tcpOf(packet: Uint8Array): { view: DataView; tcp: number } {
  const tcp = (packet[0] as number) >> 4 === 4 ? 20 : 40;
  return { view: new DataView(packet.buffer, packet.byteOffset, packet.byteLength), tcp };
}

/** Where the values of the timestamps option are. */
function timestampsAt(packet: Uint8Array): number | undefined {
  const { view, tcp } = tcpOf(packet);
  const end = tcp + (view.getUint8(tcp + 12) >> 4) * 4;
  for (let at = tcp + 20; at < end; at += packet[at] === 1 ? 1 : (packet[at + 1] as number)) {
    if (packet[at] === 8) return at + 2;
  }
  return undefined;
}

/** Payload in all packets, whose checksums are verified on the way. */
function payloadBytes(packets: readonly Uint8Array[]): number {
  return packets.reduce((sum, packet) => sum + readPacket(packet).payload.length, 0);
}
