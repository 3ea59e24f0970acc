// OutgoingMacs and IncomingMacs answer each other; both against recorded bytes.
import { describe, expect, test } from 'vitest';
import complete from '../../test/vectors/wireguard/complete.json' with { type: 'json' };
import recorded from '../../test/vectors/wireguard/cookie-reply.json' with { type: 'json' };
import initiatorPsk from '../../test/vectors/wireguard/own-initiator-psk.json' with { type: 'json' };
import { bytesOf, scriptedRng } from '../../test/wireguard-end.ts';
import { formatHex } from '../bytes/hex.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { IncomingMacs } from './incoming-macs.ts';
import { OutgoingMacs } from './outgoing-macs.ts';

const source = bytesOf(complete.cookieSource);
const initiation = bytesOf(complete.initiation);

function createIncoming(): IncomingMacs {
  const rng = scriptedRng([bytesOf(complete.cookieSecret), bytesOf(complete.cookieNonce)]);
  return new IncomingMacs(nobleProvider, rng, bytesOf(complete.responderPublic));
}

/** A reply of {@link createIncoming} to the message. */
function reply(incoming: IncomingMacs, message: Uint8Array, nowMs: number): Uint8Array {
  const bytes = new Uint8Array(64);
  incoming.writeReply(bytes, message, source, nowMs);
  return bytes;
}

describe('the complete vector', () => {
  test('mac1 of both messages', () => {
    const message = initiation.slice().fill(0xee, 116);
    new OutgoingMacs(nobleProvider, bytesOf(complete.responderPublic)).stamp(message, 0);
    expect(formatHex(message)).toBe(complete.initiation);
    const response = bytesOf(complete.response).fill(0xee, 60);
    new OutgoingMacs(nobleProvider, bytesOf(complete.initiatorPublic)).stamp(response, 0);
    expect(formatHex(response)).toBe(complete.response);
  });

  test('the cookie reply, and mac2 with its cookie', () => {
    const incoming = createIncoming();
    const cookieReply = reply(incoming, initiation, 0);
    expect(formatHex(cookieReply)).toBe(complete.cookieReply);
    const outgoing = new OutgoingMacs(nobleProvider, bytesOf(complete.responderPublic));
    const message = initiation.slice();
    outgoing.stamp(message, 0);
    expect(outgoing.acceptReply(cookieReply, 0)).toBe(true);
    outgoing.stamp(message, 1);
    expect(formatHex(message.subarray(132))).toBe(complete.mac2);
    expect(incoming.isMac2Valid(message, source, 2)).toBe(true);
  });
});

test('a real cookie reply opens with mac1 of the first initiation and validates mac2 of the second', () => {
  const [first, cookieReply, second] = recorded.packets.map(({ hex }) => bytesOf(hex)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const outgoing = new OutgoingMacs(nobleProvider, bytesOf(recorded.b.public));
  const message = first.slice().fill(0, 116);
  outgoing.stamp(message, 0);
  expect(formatHex(message)).toBe(formatHex(first));
  expect(outgoing.acceptReply(cookieReply, 200)).toBe(true);
  const again = second.slice().fill(0, 116);
  outgoing.stamp(again, 5_200);
  expect(formatHex(again)).toBe(formatHex(second));
});

test('mac1 of real messages is valid for their receiver and nobody else', () => {
  const initiator = new IncomingMacs(nobleProvider, scriptedRng([]), bytesOf(initiatorPsk.initiatorPublic));
  const response = bytesOf(initiatorPsk.steps[1]!.hex);
  expect(initiator.isMac1Valid(response)).toBe(true);
  expect(createIncoming().isMac1Valid(response)).toBe(false);
  response[20]! ^= 0x10;
  expect(initiator.isMac1Valid(response)).toBe(false);
});

describe('a cookie', () => {
  const outgoing = new OutgoingMacs(nobleProvider, bytesOf(complete.responderPublic));
  const message = initiation.slice();
  outgoing.stamp(message, 0);
  const incoming = createIncoming();
  expect(outgoing.acceptReply(reply(incoming, message, 0), 0)).toBe(true);

  test('is good for one source address and port only', () => {
    outgoing.stamp(message, 10);
    expect(incoming.isMac2Valid(message, source, 10)).toBe(true);
    expect(incoming.isMac2Valid(message, Uint8Array.of(192, 0, 2, 1, 0x6c, 0xcb), 10)).toBe(false);
    expect(incoming.isMac2Valid(message, new Uint8Array(0), 10)).toBe(false);
  });

  test('is used for two minutes, then mac2 is zero again', () => {
    outgoing.stamp(message, 119_999);
    expect(message.subarray(132).some((byte) => byte !== 0)).toBe(true);
    outgoing.stamp(message, 120_000);
    expect(message.subarray(132).every((byte) => byte === 0)).toBe(true);
  });

  test('is refused two minutes after its secret was drawn', () => {
    outgoing.stamp(message, 100_000);
    expect(incoming.isMac2Valid(message, source, 119_999)).toBe(true);
    expect(incoming.isMac2Valid(message, source, 120_000)).toBe(false);
    reply(incoming, message, 120_000);
    expect(incoming.isMac2Valid(message, source, 120_000)).toBe(false);
  });
});

test('a cookie reply is refused before any message was sent, for another message, and with any byte changed', () => {
  const outgoing = new OutgoingMacs(nobleProvider, bytesOf(complete.responderPublic));
  expect(outgoing.acceptReply(bytesOf(complete.cookieReply), 0)).toBe(false);
  const message = initiation.slice();
  message[4] = 0x99;
  outgoing.stamp(message, 0);
  expect(outgoing.acceptReply(bytesOf(complete.cookieReply), 0)).toBe(false);
  outgoing.stamp(initiation.slice(), 0);
  for (let at = 8; at < 64; at++) {
    const forged = bytesOf(complete.cookieReply);
    forged[at]! ^= 0x40;
    expect(outgoing.acceptReply(forged, 0)).toBe(false);
  }
  expect(outgoing.acceptReply(bytesOf(complete.cookieReply), 0)).toBe(true);
});
