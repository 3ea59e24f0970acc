import { readFileSync } from 'node:fs';
import { formatBase64, parseBase64 } from '@heddle/proto/bytes/base64';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isKeyFileText, type NebulaCertificate, parseCertificates } from './certificate.ts';
import { decodeCertificateV1 } from './certificate-v1.ts';
import { decodeCertificateV2 } from './certificate-v2.ts';

interface Printed {
  readonly version: number;
  readonly fingerprint: string;
  readonly details: {
    readonly name: string;
    readonly networks: string[] | null;
    readonly unsafeNetworks: string[] | null;
    readonly groups: string[] | null;
    readonly isCa: boolean;
    readonly notBefore: string;
    readonly notAfter: string;
    readonly issuer: string;
  };
}

interface Vector {
  readonly name: string;
  readonly pem: string;
  readonly print: Printed[];
  readonly printOf161?: string;
}

const VECTORS = JSON.parse(
  readFileSync(new URL('../../test/vectors/nebula/certificates.json', import.meta.url), 'utf8'),
) as Vector[];

function fromPrinted({ version, fingerprint, details }: Printed): NebulaCertificate {
  return {
    version: version as 1 | 2,
    name: details.name,
    networks: details.networks ?? [],
    unsafeNetworks: details.unsafeNetworks ?? [],
    groups: details.groups ?? [],
    isCa: details.isCa,
    notBeforeUnixMs: Date.parse(details.notBefore),
    notAfterUnixMs: Date.parse(details.notAfter),
    issuer: details.issuer === '' ? undefined : details.issuer,
    fingerprint,
  };
}

function parseOk(pem: string): readonly NebulaCertificate[] {
  const result = parseCertificates(pem);
  if (result.kind === 'bad') throw new Error(result.reason);
  return result.certificates;
}

function bytesOf(name: string): Uint8Array {
  const pem = VECTORS.find((vector) => vector.name === name)?.pem ?? '';
  return parseBase64(pem.replace(/-----[^-]+-----/g, '').replace(/\s/g, '')) as Uint8Array;
}

const KEY = `-----BEGIN NEBULA X25519 PRIVATE KEY-----\n${formatBase64(new Uint8Array(32).fill(7))}\n-----END NEBULA X25519 PRIVATE KEY-----\n`;

describe('a certificate', () => {
  it.each(VECTORS.map((vector) => [vector.name, vector] as const))('%s reads as nebula-cert prints it', (_, vector) => {
    expect(parseOk(vector.pem)).toEqual(vector.print.map(fromPrinted));
  });

  it.each(VECTORS.filter((vector) => vector.printOf161 && !vector.name.match(/^(cap|p1)$/)))(
    '$name reads as the old nebula-cert prints it',
    ({ pem, printOf161 }) => {
      const printed = printOf161
        ?.trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(parseOk(pem)).toEqual(
        printed?.map(({ fingerprint, details: { ips, subnets, ...details } }) =>
          fromPrinted({ version: 1, fingerprint, details: { ...details, networks: ips, unsafeNetworks: subnets } }),
        ),
      );
    },
  );

  it('may stand between comments and have the line ends of Windows', () => {
    const pem = VECTORS.find(({ name }) => name === 'laptop')?.pem ?? '';
    expect(parseOk(`# ours\n${pem.replaceAll('\n', '\r\n')}\n`)).toEqual(parseOk(pem));
  });
});

describe('what is no certificate', () => {
  it.each([
    ['', 'no-certificate'],
    ['hello', 'no-certificate'],
    ['x'.repeat((1 << 20) + 1), 'too-large'],
    [KEY, 'private-key'],
    [`${VECTORS[0]?.pem}${KEY}`, 'private-key'],
    ['-----BEGIN RSA PRIVATE KEY-----\nAAAA', 'private-key'],
    [KEY.replaceAll('PRIVATE', 'PUBLIC'), 'not-a-certificate'],
    ['-----BEGIN NEBULA CERTIFICATE-----\n-----END NEBULA CERTIFICATE-----', 'bad-certificate'],
    ['-----BEGIN NEBULA CERTIFICATE-----\nAAA\n-----END NEBULA CERTIFICATE-----', 'bad-pem'],
    ['-----BEGIN NEBULA CERTIFICATE-----\nAAAA\n-----END NEBULA CERTIFICATE V2-----', 'bad-pem'],
    [`${VECTORS[0]?.pem}-----BEG`, 'bad-pem'],
    [VECTORS[0]?.pem.repeat(200) ?? '', 'too-many'],
  ])('has a reason (%#)', (pem, reason) => {
    expect(parseCertificates(pem)).toEqual({ kind: 'bad', reason });
  });

  it('a key file is recognised, a certificate is not one', () => {
    expect(isKeyFileText(`comment\n${KEY}`)).toBe(true);
    for (const { pem } of VECTORS) expect(isKeyFileText(pem)).toBe(false);
  });

  it.each(VECTORS)('$name cut anywhere is bad or holds fewer', ({ pem, print }) => {
    for (let length = 0; length < pem.trimEnd().length; length++) {
      const result = parseCertificates(pem.slice(0, length));
      if (result.kind === 'ok') expect(result.certificates.length).toBeLessThan(print.length);
    }
  });

  it('bytes cut at any length are bad', () => {
    for (const name of ['laptop', 'oldca', 'p1']) {
      const bytes = bytesOf(name);
      for (let length = 0; length < bytes.length; length++) {
        expect(decodeCertificateV1(bytes.subarray(0, length))).toBeUndefined();
      }
    }
    for (const name of ['v2full', 'ca2b', 'p2', 'big']) {
      const bytes = bytesOf(name);
      for (let length = 0; length < bytes.length; length++) {
        expect(decodeCertificateV2(bytes.subarray(0, length))).toBeUndefined();
      }
    }
  });

  it('flipped and random bytes never throw', () => {
    const samples = ['laptop', 'v2full', 'p2'].map(bytesOf);
    fc.assert(
      fc.property(fc.constantFrom(...samples), fc.nat(), fc.nat(255), fc.uint8Array(), (bytes, at, value, random) => {
        const flipped = bytes.slice();
        flipped[at % flipped.length] = value;
        for (const input of [flipped, random]) {
          for (const decode of [decodeCertificateV1, decodeCertificateV2]) {
            const certificate = decode(input);
            if (certificate) expect(() => new Date(certificate.notAfterUnixMs).toISOString()).not.toThrow();
          }
        }
        parseCertificates(
          `-----BEGIN NEBULA CERTIFICATE-----\n${formatBase64(random)}\n-----END NEBULA CERTIFICATE-----`,
        );
      }),
      { numRuns: 2000 },
    );
  });
});
