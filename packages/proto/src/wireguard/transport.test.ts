import { describe, expect, test } from 'vitest';
import complete from '../../test/vectors/wireguard/complete.json' with { type: 'json' };
import tailscaled from '../../test/vectors/wireguard/tailscaled-direct.json' with { type: 'json' };
import { bytesOf, numberedPacket } from '../../test/wireguard-end.ts';
import { formatHex } from '../bytes/hex.ts';
import { PACKET_SLOT_BYTES, PacketArena } from '../bytes/packet-arena.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { innerPacketLength } from './inner-packet.ts';
import { Keypair, REJECT_AFTER_MS, REJECT_AFTER_PACKETS, REKEY_AFTER_PACKETS } from './keypair.ts';
import { readIndex } from './messages.ts';
import { openPacket, paddedLength, sealPacket } from './transport.ts';

function createKeypair(sendKey: string, receiveKey: string, remoteIndex = 0x0a0b0c0d): Keypair {
  const keys = { sendKey: bytesOf(sendKey), receiveKey: bytesOf(receiveKey), remoteIndex };
  return new Keypair(nobleProvider, keys, { localIndex: 1, isInitiator: true, nowMs: 0 });
}

const arena = new PacketArena(new Uint8Array(4 * PACKET_SLOT_BYTES));

function seal(keypair: Keypair, packet: Uint8Array, mtuBytes = 1280): string {
  const slot = arena.copyIn(packet);
  sealPacket(arena, slot, keypair, mtuBytes);
  const sealed = formatHex(arena.packet(slot));
  arena.free(slot);
  return sealed;
}

function open(keypair: Keypair, datagram: Uint8Array, nowMs = 0): { result: string; packet: string } {
  const slot = arena.copyIn(datagram);
  const result = openPacket(arena, slot, keypair, nowMs);
  const packet = result === 'packet' ? formatHex(arena.packet(slot)) : '';
  arena.free(slot);
  return { result, packet };
}

test('a keepalive of the complete vector is sealed and opened', () => {
  const ours = createKeypair(complete.initiatorSendKey, complete.initiatorReceiveKey);
  const theirs = createKeypair(complete.initiatorReceiveKey, complete.initiatorSendKey);
  expect(seal(ours, new Uint8Array(0))).toBe(complete.keepalive);
  expect(open(theirs, bytesOf(complete.keepalive))).toEqual({ result: 'keepalive', packet: '' });
  expect(open(theirs, bytesOf(complete.keepalive)).result).toBe('replayed');
});

test.each(tailscaled.packets.filter(({ key }) => key !== undefined))(
  'the recorded tailscaled packet $hex opens, and seals to the same bytes',
  ({ hex, key, counter, plaintext }) => {
    const keypair = createKeypair(key as string, key as string, readIndex(bytesOf(hex), 4));
    const length = plaintext === '' ? 0 : Number.parseInt((plaintext as string).slice(4, 8), 16);
    const inner = (plaintext as string).slice(0, 2 * length);
    expect(open(keypair, bytesOf(hex))).toEqual({ result: length === 0 ? 'keepalive' : 'packet', packet: inner });
    keypair.sentCount = counter as number;
    expect(seal(keypair, bytesOf(inner))).toBe(hex);
  },
);

describe('padding', () => {
  test.each([
    [0, 1280, 0],
    [1, 1280, 16],
    [16, 1280, 16],
    [17, 1280, 32],
    [1279, 1280, 1280],
    [1280, 1280, 1280],
    [1281, 1285, 1285],
    [1290, 1285, 1290],
  ])('%d bytes with an MTU of %d become %d', (length, mtu, padded) => {
    expect(paddedLength(length, mtu)).toBe(padded);
  });

  test('is zero, whatever lay in the slot before', () => {
    const keypair = createKeypair(complete.initiatorSendKey, complete.initiatorSendKey);
    const slot = arena.copyIn(new Uint8Array(40).fill(0xee));
    arena.bytes.set(numberedPacket(1, 29), arena.offset[slot]);
    arena.length[slot] = 29;
    sealPacket(arena, slot, keypair, 1280);
    const sealed = arena.packet(slot).slice();
    expect(keypair.receiveCipher.open(sealed, 16, 48, 0)).toBe(true);
    expect([...sealed.subarray(16 + 29, 16 + 32)]).toEqual([0, 0, 0]);
    arena.free(slot);
  });
});

test('a transport message truncated at any length, or with any bit changed, is dropped and does not move the window', () => {
  const sender = createKeypair(complete.initiatorSendKey, complete.initiatorReceiveKey);
  const receiver = createKeypair(complete.initiatorReceiveKey, complete.initiatorSendKey);
  const sealed = bytesOf(seal(sender, numberedPacket(5)));
  for (let length = 32; length < sealed.length; length++) {
    expect(open(receiver, sealed.slice(0, length)).result).toBe('unauthentic-data');
  }
  for (let at = 8; at < sealed.length; at++) {
    const forged = sealed.slice();
    forged[at]! ^= 0x80;
    expect(open(receiver, forged).result).toMatch(/unauthentic-data|expired-session/);
  }
  expect(open(receiver, sealed).result).toBe('packet');
});

test('a session of 180 s opens nothing, and a counter from 2^53 is refused', () => {
  const sender = createKeypair(complete.initiatorSendKey, complete.initiatorReceiveKey);
  const receiver = createKeypair(complete.initiatorReceiveKey, complete.initiatorSendKey);
  const sealed = bytesOf(seal(sender, numberedPacket(5)));
  expect(open(receiver, sealed, REJECT_AFTER_MS).result).toBe('expired-session');
  expect(open(receiver, sealed, REJECT_AFTER_MS - 1).result).toBe('packet');
  sealed.fill(0xff, 8, 16);
  expect(open(receiver, sealed).result).toBe('expired-session');
});

test('counters run out after a rekey was due', () => {
  const keypair = createKeypair(complete.initiatorSendKey, complete.initiatorReceiveKey);
  keypair.sentCount = REKEY_AFTER_PACKETS;
  expect(keypair.isRekeyDue(0)).toBe(false);
  keypair.sentCount++;
  expect(keypair.isRekeyDue(0)).toBe(true);
  expect(keypair.canSend(0)).toBe(true);
  keypair.sentCount = REJECT_AFTER_PACKETS;
  expect(keypair.canSend(0)).toBe(false);
});

describe('the inner length', () => {
  const ipv4 = (total: number): Uint8Array => Uint8Array.of(0x45, 0, total >> 8, total & 0xff, ...new Uint8Array(28));
  const ipv6 = (payload: number): Uint8Array => {
    const bytes = new Uint8Array(48);
    bytes[0] = 0x60;
    bytes[5] = payload;
    return bytes;
  };

  test.each([
    ['IPv4, whole', ipv4(32), 32],
    ['IPv4, padded', ipv4(20), 20],
    ['IPv4 shorter than its header', ipv4(19), -1],
    ['IPv4 longer than the message', ipv4(33), -1],
    ['IPv4 of 16 bytes', ipv4(16).subarray(0, 16), -1],
    ['IPv6, whole', ipv6(8), 48],
    ['IPv6, padded', ipv6(0), 40],
    ['IPv6 longer than the message', ipv6(9), -1],
    ['IPv6 of 32 bytes', ipv6(0).subarray(0, 32), -1],
    ['neither', new Uint8Array(32).fill(0x55), -1],
  ])('%s', (_name, bytes, expected) => {
    expect(innerPacketLength(bytes, 0, bytes.length)).toBe(expected);
  });
});
