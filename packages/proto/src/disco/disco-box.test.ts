import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { seededRng } from '../../test/seeded-rng.ts';
import vectors from '../../test/vectors/disco/messages.json' with { type: 'json' };
import recorded from '../../test/vectors/path/tailscaled-direct.json' with { type: 'json' };
import { formatHex, parseHex } from '../bytes/hex.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import type { Rng } from '../crypto/provider.ts';
import { type DiscoPrivateKey, generatePrivateKey, PrivateKey } from '../keys/private-key.ts';
import { type DiscoPublicKey, decodePublicKey } from '../keys/public-key.ts';
import { DiscoBox, hasDiscoMagic } from './disco-box.ts';

function hex(text: string): Uint8Array {
  return parseHex(text) as Uint8Array;
}

function privateKey(text: string): DiscoPrivateKey {
  return new PrivateKey<'disco'>(hex(text), nobleProvider);
}

function publicKey(text: string): DiscoPublicKey {
  return decodePublicKey('disco', hex(text));
}

function boxOf(key: DiscoPrivateKey, rng: Rng = seededRng(1)): DiscoBox {
  return new DiscoBox({ privateKey: key, crypto: nobleProvider, rng });
}

describe('recorded envelopes', () => {
  const { a, b } = vectors.keys;

  test.each(vectors.messages)('opens $name, sealed by tailscale', ({ wire, plaintext }) => {
    const opened = boxOf(privateKey(b.private)).open(publicKey(a.public), hex(wire));
    expect(formatHex(opened as Uint8Array)).toBe(plaintext);
  });

  test.each(vectors.messages)('seals $name to the same bytes with the same nonce', ({ wire, plaintext, nonce }) => {
    const rng: Rng = { fill: (bytes) => bytes.set(hex(nonce)) };
    const sealed = boxOf(privateKey(a.private), rng).seal(publicKey(b.public), hex(plaintext));
    expect(formatHex(sealed as Uint8Array)).toBe(wire);
  });

  const disco = recorded.packets.filter((packet) => packet.class === 'disco');

  test.each(disco)('opens what $from sent to $dst after $us µs', ({ from, hex: bytes, plaintext }) => {
    const { alpha, beta } = recorded.nodes;
    const [sender, receiver] = from === 'alpha' ? [alpha, beta] : [beta, alpha];
    const opened = boxOf(privateKey(receiver.discoPrivate)).open(publicKey(sender.discoPublic), hex(bytes));
    expect(formatHex(opened as Uint8Array)).toBe(plaintext);
  });
});

describe('DiscoBox', () => {
  const alice = generatePrivateKey('disco', nobleProvider, seededRng(10));
  const bob = generatePrivateKey('disco', nobleProvider, seededRng(11));
  const sealed = boxOf(alice).seal(bob.publicKey, Uint8Array.of(1, 2, 3)) as Uint8Array;

  it('opens only what is whole', () => {
    const box = boxOf(bob);
    expect(box.open(alice.publicKey, sealed)).toEqual(Uint8Array.of(1, 2, 3));
    for (let length = 0; length < sealed.length; length++) {
      expect(box.open(alice.publicKey, sealed.subarray(0, length))).toBe(length < 78 ? 'short' : 'bad-box');
    }
    for (let at = 38; at < sealed.length; at++) {
      const damaged = sealed.slice();
      damaged[at] = (damaged[at] as number) ^ 1;
      expect(box.open(alice.publicKey, damaged)).toBe('bad-box');
    }
  });

  it('uses a new nonce for every message', () => {
    const box = boxOf(alice);
    const texts = [1, 2, 3].map(() =>
      formatHex((box.seal(bob.publicKey, new Uint8Array(2)) as Uint8Array).subarray(38, 62)),
    );
    expect(new Set(texts).size).toBe(3);
  });

  it('computes the shared secret once per peer until it is forgotten', () => {
    let count = 0;
    const crypto = {
      ...nobleProvider,
      boxPrecompute: (own: Uint8Array, theirs: Uint8Array) => {
        count++;
        return nobleProvider.boxPrecompute(own, theirs);
      },
    };
    const box = new DiscoBox({ privateKey: bob, crypto, rng: seededRng(1) });
    box.open(alice.publicKey, sealed);
    box.open(alice.publicKey, sealed);
    box.seal(alice.publicKey, sealed);
    expect(count).toBe(1);
    box.forget(alice.publicKey);
    expect(box.open(alice.publicKey, sealed)).toEqual(Uint8Array.of(1, 2, 3));
    expect(count).toBe(2);
  });

  it('refuses a key that is a low-order point', () => {
    const zero = decodePublicKey('disco', new Uint8Array(32));
    expect(boxOf(alice).seal(zero, new Uint8Array(2))).toBeUndefined();
    expect(boxOf(alice).open(zero, sealed)).toBe('bad-box');
  });

  it('never throws for random bytes', () => {
    const box = boxOf(alice);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(['short', 'bad-box']).toContain(box.open(bob.publicKey, bytes));
        expect(hasDiscoMagic(bytes, 0, bytes.length)).toBe(false);
      }),
    );
  });
});
