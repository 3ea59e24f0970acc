import { describe, expect, it } from 'vitest';
import { seededRng } from '../../test/seeded-rng.ts';
import vector from '../../test/vectors/noise/cacophony-v113.json' with { type: 'json' };
import known from '../../test/vectors/noise/known-ephemerals.json' with { type: 'json' };
import recorded from '../../test/vectors/noise/recorded-connections.json' with { type: 'json' };
import { formatBase64 } from '../bytes/base64.ts';
import { formatHex, parseHex } from '../bytes/hex.ts';
import { nobleProvider as crypto } from '../crypto/noble-provider.ts';
import type { Rng } from '../crypto/provider.ts';
import { generatePrivateKey, type MachinePrivateKey, PrivateKey } from '../keys/private-key.ts';
import { decodePublicKey, type MachinePublicKey } from '../keys/public-key.ts';
import { answerInitiation, INITIATION_BYTES, type NoiseAnswer, NoiseInitiator, RESPONSE_BYTES } from './handshake.ts';

const hex = (text: string): Uint8Array => parseHex(text)!;
const fixedRng = (text: string): Rng => ({ fill: (bytes) => bytes.set(hex(text)) });
const machineKey = (text: string): MachinePrivateKey => new PrivateKey<'machine'>(hex(text), crypto);
const publicKey = (text: string): MachinePublicKey => decodePublicKey('machine', hex(text));

interface Sides {
  readonly capabilityVersion: number;
  readonly machinePrivate: string;
  readonly controlPrivate: string;
  readonly controlPublic: string;
  readonly initiatorEphemeralPrivate?: string;
  readonly responderEphemeralPrivate?: string;
}

const startInitiator = (sides: Sides): NoiseInitiator =>
  new NoiseInitiator({
    machineKey: machineKey(sides.machinePrivate),
    serverKey: publicKey(sides.controlPublic),
    capabilityVersion: sides.capabilityVersion,
    crypto,
    rng: fixedRng(sides.initiatorEphemeralPrivate!),
  });

const answer = (initiation: Uint8Array, sides: Sides): ReturnType<typeof answerInitiation> =>
  answerInitiation(initiation, {
    serverKey: machineKey(sides.controlPrivate),
    crypto,
    rng: fixedRng(sides.responderEphemeralPrivate ?? sides.controlPrivate),
  });

describe('the published vector', () => {
  const initiator = startInitiator(vector);
  const answered = answer(initiator.initiation, vector) as NoiseAnswer;

  it('gives both messages byte for byte', () => {
    expect(formatHex(initiator.initiation)).toBe(vector.initiation);
    expect(formatBase64(initiator.initiation)).toBe(vector.upgradeHeader);
    expect(formatHex(answered.response)).toBe(vector.response);
  });

  it('gives both ends the same hash and mirrored keys', () => {
    const session = initiator.readResponse(answered.response);
    if (typeof session === 'string') throw new Error(session);
    for (const side of [session, answered.session]) expect(formatHex(side.handshakeHash)).toBe(vector.handshakeHash);
    expect(formatHex(session.sendKey)).toBe(vector.clientToServerKey);
    expect(formatHex(session.receiveKey)).toBe(vector.serverToClientKey);
    expect(formatHex(answered.session.sendKey)).toBe(vector.serverToClientKey);
    expect(formatHex(answered.session.remoteKey)).toBe(vector.machinePublic);
    expect(answered.session.capabilityVersion).toBe(113);
  });
});

describe('recorded handshakes', () => {
  it.each(known.handshakes.filter((h) => h.known === 'initiator'))('$name reproduces our side', (h) => {
    const initiator = startInitiator(h);
    expect(formatHex(initiator.initiation)).toBe(h.initiation);
    const session = initiator.readResponse(hex(h.response));
    expect(session).toMatchObject({
      sendKey: hex(h.clientToServerKey),
      receiveKey: hex(h.serverToClientKey),
      handshakeHash: hex(h.handshakeHash),
    });
  });

  it.each(known.handshakes.filter((h) => h.known === 'responder'))('$name is answered byte for byte', (h) => {
    const answered = answer(hex(h.initiation), h) as NoiseAnswer;
    expect(formatHex(answered.response)).toBe(h.response);
    expect(answered.session).toMatchObject({
      sendKey: hex(h.serverToClientKey),
      receiveKey: hex(h.clientToServerKey),
      handshakeHash: hex(h.handshakeHash),
      remoteKey: hex(h.machinePublic),
    });
  });

  it.each(recorded.connections)('the initiation to $server opens to its machine key', (connection) => {
    const answered = answer(hex(connection.initiation), { ...vector, ...connection }) as NoiseAnswer;
    expect(formatHex(answered.session.remoteKey)).toBe(connection.machinePublic);
  });
});

describe('damage', () => {
  const initiation = hex(vector.initiation);
  const response = hex(vector.response);

  it('is refused at every shorter length, by both ends', () => {
    for (let n = 0; n < INITIATION_BYTES; n++) expect(answer(initiation.subarray(0, n), vector)).toBe('short');
    for (let n = 0; n < RESPONSE_BYTES; n++) {
      expect(startInitiator(vector).readResponse(response.subarray(0, n))).toBe('short');
    }
  });

  it('of any single byte is noticed', () => {
    for (let at = 0; at < INITIATION_BYTES; at++) {
      expect(
        answer(
          initiation.map((b, i) => (i === at ? b ^ 1 : b)),
          vector,
        ),
        `byte ${at}`,
      ).toBeTypeOf('string');
    }
    for (let at = 0; at < RESPONSE_BYTES; at++) {
      const damaged = response.map((b, i) => (i === at ? b ^ 1 : b));
      expect(startInitiator(vector).readResponse(damaged), `byte ${at}`).toBeTypeOf('string');
    }
  });

  it('is named by its kind', () => {
    expect(answer(Uint8Array.from([...initiation, 0]), vector)).toBe('bad-length');
    expect(
      answer(
        initiation.map((b, i) => (i < 2 ? 0 : b)),
        vector,
      ),
    ).toBe('bad-version');
    expect(
      answer(
        initiation.map((b, i) => (i === 1 ? b + 1 : b)),
        vector,
      ),
    ).toBe('damaged');
    expect(
      answer(
        initiation.map((b, i) => (i >= 5 && i < 37 ? 0 : b)),
        vector,
      ),
    ).toBe('low-order');
    expect(startInitiator(vector).readResponse(Uint8Array.of(3, 0, 2, 110, 111))).toBe('refused');
    expect(startInitiator(vector).readResponse(response.map((b, i) => (i >= 3 && i < 35 ? 0 : b)))).toBe('low-order');
  });

  it('of random bytes never throws', () => {
    const rng = seededRng(7);
    for (let round = 0; round < 50; round++) {
      const bytes = new Uint8Array(INITIATION_BYTES);
      rng.fill(bytes);
      bytes.set([0, 131, 1, 0, 0x60]);
      expect(answer(bytes, vector)).toBeTypeOf('string');
    }
  });

  it('a server with another key cannot read the initiation', () => {
    const serverKey = generatePrivateKey('machine', crypto, seededRng(1));
    expect(answerInitiation(initiation, { serverKey, crypto, rng: seededRng(2) })).toBe('damaged');
  });
});
