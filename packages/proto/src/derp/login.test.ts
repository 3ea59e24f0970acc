import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRng } from '../../test/seeded-rng.ts';
import crafted from '../../test/vectors/derp/crafted-frames.json' with { type: 'json' };
import session from '../../test/vectors/derp/derper-session.json' with { type: 'json' };
import { formatHex, parseHex } from '../bytes/hex.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { FrameType } from './frames.ts';
import { decodeClientInfo, decodeServerInfo, encodeClientInfo, encodeServerInfo } from './login.ts';

const tools = { crypto: nobleProvider, rng: seededRng(1) };

function boxKey(privateHex: string, publicHex: string): Uint8Array {
  return nobleProvider.boxPrecompute(parseHex(privateHex)!, parseHex(publicHex)!)!;
}

describe.each(session.connections)('recorded login: $role', (connection) => {
  const client = session.clients[connection.client as 'alpha' | 'beta'];
  const payloadOf = (direction: 'c2s' | 's2c', type: number) =>
    parseHex(connection.frames[direction].find((f) => f.type === type)!.bytes)!.subarray(5);

  test('ClientInfo opens with either private key', () => {
    const payload = payloadOf('c2s', FrameType.clientInfo);
    expect(formatHex(payload.subarray(0, 32))).toBe(client.nodePublic);
    const expected = { version: 2, CanAckPings: true };
    const ofServer = boxKey(session.serverPrivate, client.nodePublic);
    const ofClient = boxKey(client.nodePrivate, session.serverPublic);
    expect(decodeClientInfo(payload, ofServer, nobleProvider)).toEqual(expected);
    expect(decodeClientInfo(payload, ofClient, nobleProvider)).toEqual(expected);
  });

  test('ServerInfo opens with the client key', () => {
    const payload = payloadOf('s2c', FrameType.serverInfo);
    const key = boxKey(client.nodePrivate, session.serverPublic);
    expect(decodeServerInfo(payload, key, nobleProvider)).toEqual({ bytesPerSecond: 0, burstBytes: 0 });
  });

  test('a box cut at any length or damaged does not open', () => {
    const payload = payloadOf('s2c', FrameType.serverInfo);
    const key = boxKey(client.nodePrivate, session.serverPublic);
    for (let length = 0; length < payload.length; length++) {
      expect(decodeServerInfo(payload.subarray(0, length), key, nobleProvider)).toBeUndefined();
    }
    const damaged = payload.slice();
    damaged[40] = damaged[40]! ^ 1;
    expect(decodeServerInfo(damaged, key, nobleProvider)).toBeUndefined();
  });
});

test('our ClientInfo, sealed with the nonce of the reference client, is its frame byte for byte', () => {
  const expected = parseHex(crafted.clientInfoFrame)!.subarray(5);
  const nonce = expected.subarray(32, 56);
  const key = boxKey(crafted.clientNodePrivate, crafted.serverPublic);
  const payload = encodeClientInfo(parseHex(crafted.clientNodePublic)!, key, {
    crypto: nobleProvider,
    rng: { fill: (bytes) => bytes.set(nonce) },
  });
  expect(formatHex(payload)).toBe(formatHex(expected));
});

test('the announced allowance is read', () => {
  const frame = crafted.frames.find((f) => f.name === 'server info with token bucket')!;
  const key = boxKey(crafted.clientNodePrivate, crafted.serverPublic);
  const info = decodeServerInfo(parseHex(frame.bytes)!.subarray(5), key, nobleProvider);
  expect(info).toEqual({
    bytesPerSecond: frame.value.tokenBucketBytesPerSecond,
    burstBytes: frame.value.tokenBucketBytesBurst,
  });
});

test('our ServerInfo opens with the client key', () => {
  const payload = encodeServerInfo(boxKey(crafted.serverPrivate, crafted.clientNodePublic), tools);
  const key = boxKey(crafted.clientNodePrivate, crafted.serverPublic);
  expect(decodeServerInfo(payload, key, nobleProvider)).toEqual({ bytesPerSecond: 0, burstBytes: 0 });
});

test('random bytes never throw', () => {
  const key = new Uint8Array(32);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(decodeServerInfo(bytes, key, nobleProvider)).toBeUndefined();
      expect(decodeClientInfo(bytes, key, nobleProvider)).toBeUndefined();
    }),
  );
});

test('a sealed text that is no JSON object is refused, and absurd allowances read as none', () => {
  const key = new Uint8Array(32).fill(5);
  const nonce = new Uint8Array(24);
  const seal = (text: string) => {
    const box = nobleProvider.secretboxSeal(key, nonce, new TextEncoder().encode(text));
    return Uint8Array.of(...nonce, ...box);
  };
  for (const text of ['', 'null', '"x"', '3', '{', '{"a":']) {
    expect(decodeServerInfo(seal(text), key, nobleProvider)).toBeUndefined();
  }
  const absurd = seal('{"TokenBucketBytesPerSecond":-1,"TokenBucketBytesBurst":"x"}');
  expect(decodeServerInfo(absurd, key, nobleProvider)).toEqual({ bytesPerSecond: 0, burstBytes: 0 });
});
