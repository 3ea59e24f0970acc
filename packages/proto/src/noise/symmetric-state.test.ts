import { expect, it } from 'vitest';
import recorded from '../../test/vectors/noise/recorded-connections.json' with { type: 'json' };
import { formatHex, parseHex } from '../bytes/hex.ts';
import { encodeUtf8 } from '../bytes/utf8.ts';
import { nobleProvider as crypto } from '../crypto/noble-provider.ts';
import { SymmetricState } from './symmetric-state.ts';

it.each(recorded.connections)('reaches the hash and chaining key that the client of $server had', (connection) => {
  const bytes = parseHex(connection.initiation)!;
  const controlKey = parseHex(connection.controlPrivate)!;
  const state = new SymmetricState(crypto);
  state.mixHash(encodeUtf8(`Tailscale Control Protocol v${connection.capabilityVersion}`));
  state.mixHash(crypto.x25519PublicKey(controlKey));
  state.mixHash(bytes.slice(5, 37));
  expect(state.mixSharedSecret(controlKey, bytes.slice(5, 37))).toBe(true);
  const machineKey = state.open(bytes.slice(37, 85))!;
  expect(formatHex(machineKey)).toBe(connection.machinePublic);
  expect(state.mixSharedSecret(controlKey, machineKey)).toBe(true);
  expect(state.open(bytes.slice(85))).toEqual(new Uint8Array(0));
  expect(formatHex(state.hash)).toBe(connection.afterInitiation.handshakeHash);
  expect(formatHex(state.chainingKey)).toBe(connection.afterInitiation.chainingKey);
});

it('uses a key once', () => {
  const state = new SymmetricState(crypto);
  expect(() => state.seal(new Uint8Array(0))).toThrow(RangeError);
  state.mixSharedSecret(new Uint8Array(32).fill(3), crypto.x25519PublicKey(new Uint8Array(32).fill(4)));
  state.seal(new Uint8Array(0));
  expect(() => state.seal(new Uint8Array(0))).toThrow(RangeError);
});

it('a low-order point mixes nothing', () => {
  const state = new SymmetricState(crypto);
  const before = formatHex(state.chainingKey);
  expect(state.mixSharedSecret(new Uint8Array(32).fill(3), new Uint8Array(32))).toBe(false);
  expect(formatHex(state.chainingKey)).toBe(before);
});
