import { describe, expect, it } from 'vitest';
import { NebulaAuthority } from '../../../../tests/support/team-api/nebula-authority.ts';
import { generateNebulaKeyPair, matchKeyPair, publicKeyOf } from './nebula-keys.ts';
import vector from './test-vectors/nebula-keys.json' with { type: 'json' };

describe('a key', () => {
  it('of nebula-cert has the public key that nebula-cert says', () => {
    expect(publicKeyOf(vector.privateKey)).toBe(vector.publicKey);
  });

  it('of ours is a new one each time, with its public key', () => {
    const pair = generateNebulaKeyPair();
    expect(pair.privateKeyPem).toMatch(
      /^-----BEGIN NEBULA X25519 PRIVATE KEY-----\n[A-Za-z0-9+/]{43}=\n-----END NEBULA X25519 PRIVATE KEY-----\n$/,
    );
    expect(publicKeyOf(pair.privateKeyPem)).toBe(pair.publicKeyPem);
    expect(generateNebulaKeyPair().privateKeyPem).not.toBe(pair.privateKeyPem);
  });

  it('that is none has no public key', () => {
    for (const text of ['', vector.publicKey, vector.privateKey.slice(0, 60), vector.privateKey.replace('geSp', '')]) {
      expect(publicKeyOf(text)).toBeUndefined();
    }
  });
});

describe('a certificate', () => {
  it('of version 1 and of version 2 belongs to the key it was signed for', () => {
    expect(matchKeyPair(vector.privateKey, vector.certificate)).toBe('pair');
    expect(matchKeyPair(vector.privateKey, vector.certificateV2)).toBe('pair');
    expect(matchKeyPair(vector.privateKey, vector.authority)).toBe('mismatch');
    expect(matchKeyPair(generateNebulaKeyPair().privateKeyPem, vector.certificateV2)).toBe('mismatch');
  });

  it('or key of another kind is for Nebula to judge', () => {
    expect(matchKeyPair(vector.privateKey.replaceAll('X25519', 'P256'), vector.certificate)).toBe('unknown');
    expect(matchKeyPair(vector.privateKey, '')).toBe('unknown');
  });

  it('of the test server belongs to its key', () => {
    const times = { notBeforeUnixMs: 0, notAfterUnixMs: 1e12 };
    const node = new NebulaAuthority('x', times).issue({
      ...times,
      name: 'n',
      ip: '10.0.0.1',
      prefixLength: 24,
      groups: ['a'],
    });
    expect(matchKeyPair(node.key, node.certificate)).toBe('pair');
  });
});
