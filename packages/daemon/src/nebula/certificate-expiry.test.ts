import { describe, expect, it } from 'vitest';
import type { NebulaCertificate } from './certificate.ts';
import { expiryOf } from './certificate-expiry.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * DAY_MS;
const START = Date.UTC(2026, 0, 1);

function made(fields: Partial<NebulaCertificate>): NebulaCertificate {
  return {
    version: 2,
    name: 'x',
    networks: ['10.77.0.2/24'],
    unsafeNetworks: [],
    groups: [],
    isCa: false,
    notBeforeUnixMs: START,
    notAfterUnixMs: START + YEAR_MS,
    issuer: 'ca1',
    fingerprint: 'own',
    ...fields,
  };
}

const CA = made({ isCa: true, issuer: undefined, fingerprint: 'ca1', notAfterUnixMs: START + 10 * YEAR_MS });
const END = START + YEAR_MS;

describe('the end of a certificate', () => {
  it('is told in steps: a tenth of the lifetime, 30, 7 and 1 days', () => {
    const noticeAt = (leftMs: number) => {
      const expiry = expiryOf([made({})], [CA], END - leftMs);
      return expiry.kind === 'expiring' ? expiry.noticeMs / DAY_MS : expiry.kind;
    };
    expect([40, 36.6, 36.5, 30.1, 30, 7.1, 7, 1.1, 1, 0].map((days) => noticeAt(days * DAY_MS))).toEqual([
      'valid',
      'valid',
      36.5,
      36.5,
      30,
      30,
      7,
      7,
      1,
      1,
    ]);
    expect(expiryOf([made({})], [CA], END)).toMatchObject({ kind: 'expiring' });
    expect(expiryOf([made({})], [CA], END + 1)).toEqual({ kind: 'expired', which: 'own', notAfterUnixMs: END });
  });

  it('of a day is not announced the whole day', () => {
    const short = made({ notAfterUnixMs: START + DAY_MS });
    expect(expiryOf([short], [CA], START + 20 * HOUR_MS).kind).toBe('valid');
    expect(expiryOf([short], [CA], START + 22 * HOUR_MS)).toMatchObject({ kind: 'expiring', noticeMs: 2.4 * HOUR_MS });
  });

  it('is that of the first of several', () => {
    const second = made({ version: 1, notAfterUnixMs: START + 2 * YEAR_MS });
    expect(expiryOf([second, made({})], [CA], START)).toEqual({ kind: 'valid', notAfterUnixMs: END });
    expect(expiryOf([second, made({})], [CA], END + 1).kind).toBe('expired');
  });

  it('may be that of its authority', () => {
    const ca = made({ ...CA, notAfterUnixMs: END - 100 * DAY_MS });
    expect(expiryOf([made({})], [ca], END - 107 * DAY_MS)).toMatchObject({ kind: 'expiring', which: 'ca' });
    expect(expiryOf([made({})], [ca], END - 99 * DAY_MS)).toMatchObject({ kind: 'expired', which: 'ca' });
  });

  it('is not that of an authority of others', () => {
    const other = made({ ...CA, fingerprint: 'ca2', notAfterUnixMs: START + DAY_MS });
    expect(expiryOf([made({})], [CA, other], START + 2 * DAY_MS).kind).toBe('valid');
    expect(expiryOf([made({ issuer: 'gone' })], [CA, other], START + 2 * DAY_MS).kind).toBe('valid');
    expect(expiryOf([made({ issuer: 'gone' })], [other], START + 2 * DAY_MS)).toMatchObject({ which: 'ca' });
    expect(expiryOf([made({})], [], START).kind).toBe('valid');
  });

  it('is not confused with a clock that is behind', () => {
    expect(expiryOf([made({})], [CA], START - 1)).toEqual({
      kind: 'not-yet-valid',
      which: 'own',
      notBeforeUnixMs: START,
    });
  });

  it('needs a certificate', () => {
    expect(() => expiryOf([], [], START)).toThrow(RangeError);
  });
});
