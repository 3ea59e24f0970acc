import { describe, expect, test } from 'vitest';
import { concatBytes } from '../src/bytes/equal.ts';
import { formatHex, parseHex } from '../src/bytes/hex.ts';
import { encodeUtf8 } from '../src/bytes/utf8.ts';
import type { CryptoProvider } from '../src/crypto/provider.ts';
import { seededRng } from './seeded-rng.ts';
import vectors from './vectors/crypto/published.json' with { type: 'json' };

/** The tests that every {@link CryptoProvider} must pass, against published vectors and recorded packets. */
export function describeCryptoProvider(name: string, crypto: CryptoProvider): void {
  describe(name, () => {
    describeCurve(crypto);
    describeHashes(crypto);
    describeAeads(crypto);
    describeBoxes(crypto);
    describePacketCipher(crypto);
    test('results are plain arrays that own their bytes', () => {
      const key = randomBytes(1, 32);
      const results = [
        crypto.x25519PublicKey(key),
        crypto.blake2s(key),
        crypto.blake2sMac16(key, key),
        crypto.hmacBlake2s(key, key),
        crypto.chachaSeal(key, new Uint8Array(12), key, key),
        crypto.chachaOpen(key, new Uint8Array(12), crypto.chachaSeal(key, new Uint8Array(12), key, key), key),
      ];
      for (const result of results) {
        expect(Object.getPrototypeOf(result)).toBe(Uint8Array.prototype);
        expect(result?.buffer.byteLength).toBe(result?.length);
      }
    });
  });
}

function describeCurve(crypto: CryptoProvider): void {
  for (const vector of vectors.x25519) {
    test(`x25519: ${vector.from}`, () => {
      const shared = crypto.x25519(hex(vector.private), hex(vector.public));
      expect(formatHex(shared as Uint8Array)).toBe(vector.shared);
    });
  }
  test('x25519 agrees from both sides', () => {
    for (let seed = 0; seed < 8; seed++) {
      const [a, b] = [randomBytes(seed, 32), randomBytes(seed + 100, 32)];
      expect(crypto.x25519(a, crypto.x25519PublicKey(b))).toEqual(crypto.x25519(b, crypto.x25519PublicKey(a)));
    }
  });
  test('x25519 with a low-order point is undefined', () => {
    const key = randomBytes(1, 32);
    for (const point of LOW_ORDER_POINTS) {
      expect(crypto.x25519(key, hex(point))).toBeUndefined();
      expect(crypto.boxPrecompute(key, hex(point))).toBeUndefined();
    }
  });
  test('x25519 does not remember what an array held before', () => {
    const key = randomBytes(1, 32);
    const first = crypto.x25519PublicKey(key);
    key.set(randomBytes(2, 32));
    expect(crypto.x25519PublicKey(key)).toEqual(crypto.x25519PublicKey(randomBytes(2, 32)));
    expect(crypto.x25519PublicKey(key)).not.toEqual(first);
  });
  test('x25519 of a key of another length is a RangeError', () => {
    expect(() => crypto.x25519(new Uint8Array(31), new Uint8Array(32))).toThrow(RangeError);
    expect(() => crypto.x25519(new Uint8Array(32), new Uint8Array(33))).toThrow(RangeError);
  });
  for (const vector of vectors.x25519PublicKey) {
    test(`x25519PublicKey: ${vector.from}`, () => {
      expect(formatHex(crypto.x25519PublicKey(hex(vector.private)))).toBe(vector.public);
    });
  }
}

/** Zero, one, the two points of order 8, p-1, p and p+1 (RFC 7748 §6.1 and the curve's page). */
const LOW_ORDER_POINTS = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
];

function describeHashes(crypto: CryptoProvider): void {
  for (const vector of vectors.blake2s) {
    test(`blake2s: ${vector.from}`, () => {
      expect(formatHex(crypto.blake2s(hex(vector.message)))).toBe(vector.digest);
    });
  }
  test(`blake2sMac16: ${vectors.wireguardMac1.from}`, () => {
    const initiation = hex(vectors.wireguardMac1.initiation);
    const key = crypto.blake2s(concatBytes(encodeUtf8('mac1----'), hex(vectors.wireguardMac1.responderPublic)));
    expect(crypto.blake2sMac16(key, initiation.subarray(0, 116))).toEqual(initiation.slice(116, 132));
  });
  test('hmacBlake2s is the construction of RFC 2104 with blocks of 64 bytes', () => {
    for (const keyLength of [0, 1, 32, 64]) {
      const [key, message] = [randomBytes(1, keyLength), randomBytes(2, 100)];
      const block = new Uint8Array(64);
      block.set(key);
      const inner = crypto.blake2s(
        concatBytes(
          block.map((byte) => byte ^ 0x36),
          message,
        ),
      );
      const outer = crypto.blake2s(
        concatBytes(
          block.map((byte) => byte ^ 0x5c),
          inner,
        ),
      );
      expect(crypto.hmacBlake2s(key, message)).toEqual(outer);
    }
  });
}

function describeAeads(crypto: CryptoProvider): void {
  const kinds = [
    { kind: 'chacha', seal: crypto.chachaSeal, open: crypto.chachaOpen, nonceBytes: 12, list: vectors.chacha },
    { kind: 'xchacha', seal: crypto.xchachaSeal, open: crypto.xchachaOpen, nonceBytes: 24, list: vectors.xchacha },
  ];
  for (const { kind, seal, open, nonceBytes, list } of kinds) {
    for (const vector of list) {
      test(`${kind}: ${vector.from}`, () => {
        const [key, nonce, aad] = [hex(vector.key), hex(vector.nonce), hex(vector.aad)];
        expect(formatHex(seal(key, nonce, hex(vector.plaintext), aad))).toBe(vector.sealed);
        expect(formatHex(open(key, nonce, hex(vector.sealed), aad) as Uint8Array)).toBe(vector.plaintext);
      });
    }
    test(`${kind}: any changed byte, other data or short input does not open`, () => {
      const [key, nonce, aad] = [randomBytes(1, 32), randomBytes(2, nonceBytes), randomBytes(3, 5)];
      const sealed = seal(key, nonce, randomBytes(4, 20), aad);
      for (let at = 0; at < sealed.length; at++) expect(open(key, nonce, flipped(sealed, at), aad)).toBeUndefined();
      for (let end = 0; end < sealed.length; end++) {
        expect(open(key, nonce, sealed.subarray(0, end), aad)).toBeUndefined();
      }
      expect(open(key, nonce, sealed, flipped(aad, 0))).toBeUndefined();
      expect(open(key, flipped(nonce, 0), sealed, aad)).toBeUndefined();
    });
    test(`${kind}: empty plaintext and empty data`, () => {
      const [key, nonce, none] = [randomBytes(1, 32), randomBytes(2, nonceBytes), new Uint8Array(0)];
      const sealed = seal(key, nonce, none, none);
      expect(sealed.length).toBe(16);
      expect(open(key, nonce, sealed, none)).toEqual(none);
    });
  }
}

function describeBoxes(crypto: CryptoProvider): void {
  for (const vector of vectors.box) {
    test(`box: ${vector.from}, ${vector.plaintext.length / 2} bytes`, () => {
      const key = crypto.boxPrecompute(hex(vector.private), hex(vector.public)) as Uint8Array;
      if (vector.key !== null) expect(formatHex(key)).toBe(vector.key);
      expect(formatHex(crypto.secretboxSeal(key, hex(vector.nonce), hex(vector.plaintext)))).toBe(vector.box);
      const opened = crypto.secretboxOpen(key, hex(vector.nonce), hex(vector.box)) as Uint8Array;
      expect(formatHex(opened)).toBe(vector.plaintext);
    });
  }
  test('box: any changed byte or short input does not open', () => {
    const [key, nonce] = [randomBytes(1, 32), randomBytes(2, 24)];
    const box = crypto.secretboxSeal(key, nonce, randomBytes(3, 20));
    for (let at = 0; at < box.length; at++) expect(crypto.secretboxOpen(key, nonce, flipped(box, at))).toBeUndefined();
    for (let end = 0; end < box.length; end++) {
      expect(crypto.secretboxOpen(key, nonce, box.subarray(0, end))).toBeUndefined();
    }
  });
}

function describePacketCipher(crypto: CryptoProvider): void {
  test('packet cipher: recorded packets of tailscaled', () => {
    for (const packet of vectors.packets) {
      const cipher = crypto.createPacketCipher(hex(packet.key));
      const [plaintext, sealed] = [hex(packet.plaintext), hex(packet.sealed)];
      const memory = new Uint8Array(sealed.length + 2);
      memory.set(plaintext, 1);
      cipher.seal(memory, 1, plaintext.length, packet.counter);
      expect(formatHex(memory.subarray(1, 1 + sealed.length))).toBe(packet.sealed);
      expect(cipher.open(memory, 1, sealed.length, packet.counter)).toBe(true);
      expect(formatHex(memory.subarray(1, 1 + plaintext.length))).toBe(packet.plaintext);
      expect([memory[0], memory[memory.length - 1]]).toEqual([0, 0]);
    }
  });
  test('packet cipher: the counter is a 64-bit little-endian number behind four zero bytes', () => {
    const key = randomBytes(1, 32);
    const cipher = crypto.createPacketCipher(key);
    for (const counter of [
      0,
      1,
      0x7fff_ffff,
      0x8000_0000,
      0xffff_ffff,
      2 ** 32,
      2 ** 40 + 77,
      Number.MAX_SAFE_INTEGER,
    ]) {
      const nonce = new Uint8Array(12);
      new DataView(nonce.buffer).setBigUint64(4, BigInt(counter), true);
      const memory = concatBytes(randomBytes(2, 100), new Uint8Array(16));
      const expected = crypto.chachaSeal(key, nonce, memory.slice(0, 100), new Uint8Array(0));
      cipher.seal(memory, 0, 100, counter);
      expect(memory).toEqual(expected);
      expect(cipher.open(memory, 0, 116, counter)).toBe(true);
    }
  });
  test('packet cipher: a changed byte, another counter and a packet shorter than a tag do not open', () => {
    const cipher = crypto.createPacketCipher(randomBytes(1, 32));
    const sealed = randomBytes(2, 40);
    cipher.seal(sealed, 0, 24, 9);
    for (let at = 0; at < 40; at++) expect(cipher.open(flipped(sealed, at), 0, 40, 9)).toBe(false);
    expect(cipher.open(sealed.slice(), 0, 40, 10)).toBe(false);
    for (let length = 0; length < 40; length++) expect(cipher.open(sealed.slice(), 0, length, 9)).toBe(false);
    expect(cipher.open(sealed.slice(), 0, 40, 9)).toBe(true);
  });
  test('packet cipher: the key is copied', () => {
    const key = randomBytes(1, 32);
    const cipher = crypto.createPacketCipher(key);
    const [first, second] = [new Uint8Array(16), new Uint8Array(16)];
    cipher.seal(first, 0, 0, 1);
    key.fill(0);
    cipher.seal(second, 0, 0, 1);
    expect(second).toEqual(first);
  });
  test('packet cipher: no use after wipe, no key of another length', () => {
    const cipher = crypto.createPacketCipher(randomBytes(1, 32));
    cipher.seal(new Uint8Array(16), 0, 0, 1);
    cipher.wipe();
    expect(() => cipher.seal(new Uint8Array(16), 0, 0, 1)).toThrow(TypeError);
    expect(() => cipher.open(new Uint8Array(16), 0, 16, 1)).toThrow(TypeError);
    expect(() => crypto.createPacketCipher(new Uint8Array(31))).toThrow(RangeError);
  });
  test('packet cipher: a packet outside of its memory is a RangeError', () => {
    const cipher = crypto.createPacketCipher(randomBytes(1, 32));
    const memory = new Uint8Array(64);
    expect(() => cipher.seal(memory, 0, 49, 1)).toThrow(RangeError);
    expect(() => cipher.seal(memory, -1, 20, 1)).toThrow(RangeError);
    expect(() => cipher.open(memory, 40, 25, 1)).toThrow(RangeError);
    expect(() => cipher.open(memory, Number.NaN, 20, 1)).toThrow(RangeError);
    expect(memory).toEqual(new Uint8Array(64));
  });
}

function hex(text: string): Uint8Array {
  return parseHex(text) as Uint8Array;
}

function randomBytes(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  seededRng(seed).fill(bytes);
  return bytes;
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = (copy[at] as number) ^ 0x01;
  return copy;
}
