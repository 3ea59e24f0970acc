import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import complete from '../../test/vectors/wireguard/complete.json' with { type: 'json' };
import tailscaled from '../../test/vectors/wireguard/tailscaled-direct.json' with { type: 'json' };
import noPsk from '../../test/vectors/wireguard/wireguard-go-nopsk.json' with { type: 'json' };
import psk from '../../test/vectors/wireguard/wireguard-go-psk.json' with { type: 'json' };
import { bytesOf } from '../../test/wireguard-end.ts';
import { formatHex } from '../bytes/hex.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { PrivateKey } from '../keys/private-key.ts';
import { readIndex } from './messages.ts';
import { Noise, type SentInitiation, type SessionKeys } from './noise.ts';

const NO_PSK = new Uint8Array(32);

function createNoise(privateHex: string): Noise {
  return new Noise(nobleProvider, new PrivateKey<'node'>(bytesOf(privateHex), nobleProvider));
}

const initiator = createNoise(complete.initiatorPrivate);
const responder = createNoise(complete.responderPrivate);

function writeInitiation(message: Uint8Array): SentInitiation {
  const remoteStatic = bytesOf(complete.responderPublic);
  const sent = initiator.writeInitiation(message, {
    localIndex: readIndex(bytesOf(complete.initiatorIndexBytes), 0),
    ephemeralKey: bytesOf(complete.initiatorEphemeral),
    remoteStatic,
    staticShared: initiator.shareWith(remoteStatic)!,
    timestamp: bytesOf(complete.timestamp),
  });
  return sent!;
}

function respond(initiation: Uint8Array, message: Uint8Array): SessionKeys {
  const opened = responder.openInitiation(initiation)!;
  const timestamp = responder.openTimestamp(opened, initiation, responder.shareWith(opened.remoteStatic)!)!;
  expect(formatHex(opened.remoteStatic)).toBe(complete.initiatorPublic);
  expect(formatHex(timestamp)).toBe(complete.timestamp);
  return responder.writeResponse(message, opened, {
    localIndex: readIndex(bytesOf(complete.responderIndexBytes), 0),
    ephemeralKey: bytesOf(complete.responderEphemeral),
    presharedKey: NO_PSK,
  })!;
}

describe('the complete vector', () => {
  test('the initiation, its hash and chaining key', () => {
    const message = new Uint8Array(148);
    const sent = writeInitiation(message);
    expect(formatHex(message.subarray(0, 116))).toBe(complete.initiation.slice(0, 2 * 116));
    expect(formatHex(sent.state.hash)).toBe(complete.hashAfterInitiation);
    expect(formatHex(sent.state.chainingKey)).toBe(complete.chainingKeyAfterInitiation);
  });

  test("the response and the responder's keys", () => {
    const message = new Uint8Array(92);
    const keys = respond(bytesOf(complete.initiation), message);
    expect(formatHex(message.subarray(0, 60))).toBe(complete.response.slice(0, 2 * 60));
    expect(formatHex(keys.receiveKey)).toBe(complete.initiatorSendKey);
    expect(formatHex(keys.sendKey)).toBe(complete.initiatorReceiveKey);
    expect(keys.remoteIndex).toBe(0x01020304);
  });

  test("the initiator's keys", () => {
    const keys = initiator.openResponse(writeInitiation(new Uint8Array(148)), bytesOf(complete.response), NO_PSK)!;
    expect(formatHex(keys.sendKey)).toBe(complete.initiatorSendKey);
    expect(formatHex(keys.receiveKey)).toBe(complete.initiatorReceiveKey);
    expect(keys.remoteIndex).toBe(0x0a0b0c0d);
  });
});

test('a response with any bit changed does not open, and leaves the initiation able to open the true one', () => {
  const sent = writeInitiation(new Uint8Array(148));
  const response = bytesOf(complete.response);
  for (let at = 12; at < 60; at++) {
    const forged = response.slice();
    forged[at]! ^= 1 << (at & 6);
    expect(initiator.openResponse(sent, forged, NO_PSK)).toBeUndefined();
  }
  expect(initiator.openResponse(sent, response, new Uint8Array(32).fill(1))).toBeUndefined();
  expect(initiator.openResponse(sent, response, NO_PSK)).toBeDefined();
});

test('a low-order ephemeral key in either message is refused', () => {
  const initiation = bytesOf(complete.initiation);
  initiation.fill(0, 8, 40);
  expect(responder.openInitiation(initiation)).toBeUndefined();
  const response = bytesOf(complete.response);
  response.fill(0, 12, 44);
  expect(initiator.openResponse(writeInitiation(new Uint8Array(148)), response, NO_PSK)).toBeUndefined();
});

test.each([
  ['without', noPsk],
  ['with', psk],
])('an initiation of wireguard-go %s a pre-shared key opens to its static key and timestamp', (_name, vector) => {
  const noise = createNoise(vector.b.private);
  for (const packet of vector.packets) {
    if (packet.kind !== 'initiation' || !('opened' in packet)) continue;
    const message = bytesOf(packet.hex);
    const opened = noise.openInitiation(message)!;
    expect(formatHex(opened.remoteStatic)).toBe(packet.opened!.initiatorStatic);
    const timestamp = noise.openTimestamp(opened, message, noise.shareWith(opened.remoteStatic)!)!;
    expect(formatHex(timestamp)).toBe(packet.opened!.tai64n);
    expect(formatHex(opened.state.hash)).toBe(packet.opened!.hashAfter);
    expect(formatHex(opened.state.chainingKey)).toBe(packet.opened!.chainingKeyAfter);
  }
});

test('an initiation of tailscaled opens to its node key', () => {
  const packet = tailscaled.packets[0]!;
  const noise = createNoise(tailscaled.nodes.beta.nodePrivate);
  const opened = noise.openInitiation(bytesOf(packet.hex))!;
  expect(formatHex(opened.remoteStatic)).toBe(tailscaled.nodes.alpha.nodePublic);
  const timestamp = noise.openTimestamp(opened, bytesOf(packet.hex), noise.shareWith(opened.remoteStatic)!)!;
  expect(formatHex(timestamp)).toBe(packet.tai64n);
});

test('random bytes never open as an initiation', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 148, maxLength: 148 }), (message) => {
      expect(responder.openInitiation(message)).toBeUndefined();
    }),
    { numRuns: 30 },
  );
});
