import { describe, expect, it } from 'vitest';
import { LEFT_IPV4, LEFT_IPV6, RIGHT_IPV4 } from '../../../test/netstack-world.ts';
import { readPacket } from '../../../test/raw-tcp.ts';
import { seededRng } from '../../../test/seeded-rng.ts';
import connect from '../../../test/vectors/netstack/linux-connect.json' with { type: 'json' };
import listen from '../../../test/vectors/netstack/linux-listen.json' with { type: 'json' };
import { formatHex, parseHex } from '../../bytes/hex.ts';
import { PacketArena } from '../../bytes/packet-arena.ts';
import { nobleProvider } from '../../crypto/noble-provider.ts';
import { Netstack, type NetstackEvent } from '../netstack.ts';

const DATA = Uint8Array.from({ length: 12_000 }, (_, i) => i & 255);

interface Session {
  readonly seed: number;
  readonly startedAtMs: number;
  /** Our SYN or SYN-ACK of the recorded run: the same seed must give the same, or the kernel's answers do not fit. */
  readonly firstSent: string;
  readonly received: (string | number)[][];
}

/** Plays the kernel's packets at their times to a stack whose application answers events with `onEvent`. */
function replay(session: Session, onEvent: (event: NetstackEvent, stack: Netstack, nowMs: number) => void) {
  const arena = new PacketArena(new Uint8Array(2048 * 256));
  const stack = new Netstack({ arena, rng: seededRng(session.seed), crypto: nobleProvider, mtuBytes: 1280 });
  const sent: Uint8Array[] = [];
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
      stack.handlePacket(arena.copyIn(parseHex(hex as string) as Uint8Array), atMs as number);
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
    expect(sent.map(formatHex)).toEqual([connect.firstSent]);
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
    expect(formatHex(sent[0] as Uint8Array)).toBe(listen.firstSent);
    expect([length, reason]).toEqual([DATA.length, 'finished']);
    expect(received).toEqual(DATA);
    expect(stack.counters.snapshot()).toEqual({});
    expect(payloadBytes(sent)).toBe(DATA.length);
  });
});

/** Payload in all packets, whose checksums are verified on the way. */
function payloadBytes(packets: readonly Uint8Array[]): number {
  return packets.reduce((sum, packet) => sum + readPacket(packet).payload.length, 0);
}
