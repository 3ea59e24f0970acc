/**
 * What the daemon must know of Nebula's certificates before it starts a process with them. Signatures are not checked:
 * Nebula does that, and the answer would change nothing here.
 */

import { decodeCertificateV1 } from './certificate-v1.ts';
import { decodeCertificateV2 } from './certificate-v2.ts';
import { type PemBlock, parsePemBlocks } from './pem-blocks.ts';

export interface NebulaCertificate {
  readonly version: 1 | 2;
  readonly name: string;
  /** CIDR texts with the host's own address, `10.77.0.2/24`; of an authority, what it may sign. */
  readonly networks: readonly string[];
  readonly unsafeNetworks: readonly string[];
  readonly groups: readonly string[];
  readonly isCa: boolean;
  readonly notBeforeUnixMs: number;
  readonly notAfterUnixMs: number;
  /** Fingerprint of the authority that signed it; undefined when it signed itself. */
  readonly issuer: string | undefined;
  /** SHA-256 as lower-case hex, as `nebula-cert print` shows it. */
  readonly fingerprint: string;
}

export type BadCertificate =
  | 'too-large'
  | 'too-many'
  | 'bad-pem'
  | 'no-certificate'
  /** A private key where a certificate belongs. */
  | 'private-key'
  /** PEM of something else, a public key for instance. */
  | 'not-a-certificate'
  | 'bad-certificate';

export type CertificateResult =
  /** At least one. */
  | { readonly kind: 'ok'; readonly certificates: readonly NebulaCertificate[] }
  | { readonly kind: 'bad'; readonly reason: BadCertificate };

/** Parses all certificates of a file, both versions. */
export function parseCertificates(pem: string): CertificateResult {
  if (isKeyFileText(pem)) return { kind: 'bad', reason: 'private-key' };
  const result = parsePemBlocks(pem);
  if (result.kind === 'bad')
    return pem.includes('-----BEGIN ') ? result : { kind: 'bad', reason: reasonWithoutPem(pem) };
  const certificates: NebulaCertificate[] = [];
  for (const block of result.blocks) {
    const certificate = decodeBlock(block);
    if (typeof certificate === 'string') return { kind: 'bad', reason: certificate };
    certificates.push(certificate);
  }
  return certificates.length === 0 ? { kind: 'bad', reason: 'no-certificate' } : { kind: 'ok', certificates };
}

/** True for a text with a private key in PEM, whatever else is in it. */
export function isKeyFileText(pem: string): boolean {
  return /-----BEGIN [A-Z0-9 ]{0,64}PRIVATE KEY-----/.test(pem.slice(0, SEARCHED_CHARACTERS_MAX));
}

const SEARCHED_CHARACTERS_MAX = 1 << 20;

/** What is wrong, as the end of a sentence that begins with the name of the file. */
export const BAD_CERTIFICATE_TEXTS: Readonly<Record<BadCertificate, string>> = {
  'too-large': 'is larger than 1 MiB',
  'too-many': 'holds more than 128 certificates',
  'bad-pem': 'is damaged (no whole PEM block)',
  'no-certificate': 'holds no Nebula certificate',
  'private-key': 'holds a private key; a certificate belongs there',
  'not-a-certificate': 'holds something else than Nebula certificates',
  'bad-certificate': 'holds a certificate that cannot be read',
};

function reasonWithoutPem(text: string): BadCertificate {
  return text.length > SEARCHED_CHARACTERS_MAX ? 'too-large' : 'no-certificate';
}

function decodeBlock({ label, bytes }: PemBlock): NebulaCertificate | BadCertificate {
  if (label === 'NEBULA CERTIFICATE') return decodeCertificateV1(bytes) ?? 'bad-certificate';
  if (label === 'NEBULA CERTIFICATE V2') return decodeCertificateV2(bytes) ?? 'bad-certificate';
  return 'not-a-certificate';
}
