import { describe, expect, test } from 'vitest';
import { describeCryptoProvider } from '../../../proto/test/crypto-provider-suite.ts';
import { NodePacketCipher } from './node-packet-cipher.ts';
import { createNodeCryptoProvider, nodeRng } from './node-provider.ts';
import { packetCipherBackend } from './packet-cipher-backend.ts';

const provider = createNodeCryptoProvider();
describeCryptoProvider('node provider', provider);
describeCryptoProvider('node provider with the fallback packet cipher', {
  ...provider,
  createPacketCipher: (key) => new NodePacketCipher(key),
});

describe('node provider', () => {
  test.skipIf(process.env['HEDDLE_PACKET_CIPHER'] !== undefined)('uses WebAssembly where it runs', () => {
    expect(packetCipherBackend().kind).toBe('wasm');
  });
  test('nodeRng fills the whole array and nothing else', () => {
    const bytes = new Uint8Array(64);
    nodeRng.fill(bytes.subarray(16, 48));
    expect(bytes.subarray(0, 16).every((byte) => byte === 0)).toBe(true);
    expect(bytes.subarray(48).every((byte) => byte === 0)).toBe(true);
    expect(new Set(bytes.subarray(16, 48)).size).toBeGreaterThan(8);
  });
  test('many public keys pass through the cache of imported ones', () => {
    const privateKey = new Uint8Array(32).fill(5);
    for (let i = 0; i < 600; i++) {
      const peer = new Uint8Array(32).fill(i & 0xff);
      peer[1] = i >> 8;
      const publicKey = provider.x25519PublicKey(peer);
      expect(provider.x25519(privateKey, publicKey)).toEqual(
        provider.x25519(peer, provider.x25519PublicKey(privateKey)),
      );
    }
  });
});
