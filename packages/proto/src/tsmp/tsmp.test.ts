import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import vectors from '../../test/vectors/tsmp/packets.json' with { type: 'json' };
import { formatHex, parseHex } from '../bytes/hex.ts';
import { PACKET_SLOT_BYTES, PacketArena } from '../bytes/packet-arena.ts';
import { formatPublicKey } from '../keys/public-key.ts';
import { answerTsmpPing, decodeTsmp, isTsmp, type TsmpMessage } from './tsmp.ts';

const REASON_LETTERS = {
  policy: 'A',
  'shields-up': 'S',
  'forwarding-disabled': 'F',
  'host-firewall': 'W',
  'unknown-transit-address': 'T',
  other: '?',
};

/** The message in the words of the vectors. */
function describeMessage(message: TsmpMessage): Record<string, unknown> {
  switch (message.kind) {
    case 'ping':
      return { kind: 'ping', data: formatHex(message.data) };
    case 'pong':
      return { kind: 'pong', data: formatHex(message.data), peerApiPort: message.peerApiPort };
    case 'disco-key':
      return { kind: 'disco key advertisement', discoKey: formatPublicKey('disco', message.discoKey) };
    case 'rejected':
      return {
        kind: 'rejected',
        proto: message.protocol,
        reason: REASON_LETTERS[message.reason],
        flowSrc: message.source.text,
        flowDst: message.destination.text,
        maybeBroken: message.isMaybeBroken,
      };
  }
}

function bytesOf(hex: string): Uint8Array {
  return parseHex(hex)!;
}

/** The packet behind other bytes, as in the arena. */
function decode(packet: Uint8Array): ReturnType<typeof decodeTsmp> {
  const memory = new Uint8Array(packet.length + 20).fill(0xff);
  memory.set(packet, 9);
  return decodeTsmp(memory, 9, packet.length);
}

function answer(packet: Uint8Array, peerApiPort?: number): { isAnswered: boolean; bytes: Uint8Array } {
  const arena = new PacketArena(new Uint8Array(2 * PACKET_SLOT_BYTES));
  const slot = arena.copyIn(packet);
  const isAnswered = answerTsmpPing(arena, slot, peerApiPort);
  return { isAnswered, bytes: arena.packet(slot).slice() };
}

/** Both addresses exchanged; an IPv4 header checksum stays right. */
function turned(packet: Uint8Array): Uint8Array {
  const isIpv4 = packet[0]! >> 4 === 4;
  const [from, middle, to] = isIpv4 ? [12, 16, 20] : [8, 24, 40];
  const copy = packet.slice();
  copy.set(packet.subarray(middle, to), from);
  copy.set(packet.subarray(from, middle), from! + (middle! - from!));
  return copy;
}

describe('packets of the reference implementation', () => {
  test.each(vectors.packets)('$kind $packet', (vector) => {
    const packet = bytesOf(vector.packet);
    expect(isTsmp(packet, 0, packet.length)).toBe(true);
    const message = decode(packet);
    if (typeof message === 'string') throw new Error(message);
    expect(vector).toMatchObject(describeMessage(message));
  });

  test('cut at every length they are refused, until the optional end', () => {
    for (const vector of vectors.packets) {
      const packet = bytesOf(vector.packet);
      const optional = vector.kind === 'pong' ? 2 : vector.maybeBroken === true ? 1 : 0;
      for (let length = 0; length < packet.length - optional; length++) {
        expect(typeof decode(packet.subarray(0, length))).toBe('string');
      }
    }
  });

  test('a ping is answered with the very pong, addresses exchanged', () => {
    const pings = vectors.packets.filter(({ kind }) => kind === 'ping');
    const pongs = vectors.packets.filter(({ kind }) => kind === 'pong');
    expect(pings).toHaveLength(2);
    for (const [i, ping] of pings.entries()) {
      const { isAnswered, bytes } = answer(bytesOf(ping.packet), 43210);
      expect(isAnswered).toBe(true);
      expect(formatHex(turned(bytes))).toBe(pongs[i]!.packet);
    }
  });
});

describe('answerTsmpPing', () => {
  const ping = bytesOf(vectors.packets[0]!.packet);

  test('says port 0 without a peerAPI', () => {
    expect(decode(answer(ping).bytes)).toMatchObject({ kind: 'pong', peerApiPort: 0 });
  });

  test('leaves everything else unchanged', () => {
    for (const { kind, packet } of vectors.packets) {
      if (kind === 'ping') continue;
      const { isAnswered, bytes } = answer(bytesOf(packet));
      expect(isAnswered).toBe(false);
      expect(formatHex(bytes)).toBe(packet);
    }
    expect(answer(ping.subarray(0, ping.length - 1)).isAnswered).toBe(false);
    expect(answer(new Uint8Array(0)).isAnswered).toBe(false);
  });

  test('answers a ping with trailing bytes without them', () => {
    const longer = new Uint8Array(ping.length + 30);
    longer.set(ping);
    expect(answer(longer).bytes).toHaveLength(ping.length + 2);
  });
});

test('random bytes never throw, in decoding and in answering', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 90 }), fc.constantFrom(0x45, 0x40, 0x4f, 0x60), (bytes, head) => {
      if (bytes.length > 9) bytes.set([head, 0, 0, 0, 0, 0, 99, 0, 0, 99]);
      decode(bytes);
      const { isAnswered, bytes: result } = answer(bytes);
      if (!isAnswered) expect(result).toEqual(bytes);
    }),
  );
});
