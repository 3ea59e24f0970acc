import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

/** A signed certificate with its key, as PEM. */
export interface IssuedNode {
  readonly certificate: string;
  readonly key: string;
}

export interface NodeSubject {
  readonly name: string;
  /** IPv4, dotted. */
  readonly ip: string;
  readonly prefixLength: number;
  readonly groups: readonly string[];
  readonly notBeforeUnixMs: number;
  readonly notAfterUnixMs: number;
}

/**
 * A certificate authority of a Nebula network, version 1 certificates: real enough that `nebula -test` and
 * `nebula-cert verify` accept what it issues.
 *
 * ```
 * certificate  1: details  2: Ed25519 signature over the bytes of the details
 * details      1: name  2: ips, packed address and mask  4: group  5: not before  6: not after  7: public key
 *              8: is authority  9: issuer, SHA-256 of the authority's certificate
 * ```
 */
export class NebulaAuthority {
  readonly certificate: string;
  readonly #signingKey: KeyObject;
  readonly #fingerprint: Uint8Array;

  constructor(name: string, validity: Pick<NodeSubject, 'notBeforeUnixMs' | 'notAfterUnixMs'>) {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    this.#signingKey = privateKey;
    const details = Buffer.concat([
      bytesField(1, Buffer.from(name)),
      ...times(validity),
      bytesField(7, rawKey(publicKey, 'x')),
      varintField(8, 1),
    ]);
    const bytes = this.#seal(details);
    this.#fingerprint = createHash('sha256').update(bytes).digest();
    this.certificate = toPem('NEBULA CERTIFICATE', bytes);
  }

  /** Makes a key and a certificate for it. */
  issue(subject: NodeSubject): IssuedNode {
    const { privateKey, publicKey } = generateKeyPairSync('x25519');
    const details = Buffer.concat([
      bytesField(1, Buffer.from(subject.name)),
      bytesField(2, Buffer.concat([varint(toNumber(subject.ip)), varint(maskOf(subject.prefixLength))])),
      ...subject.groups.map((group) => bytesField(4, Buffer.from(group))),
      ...times(subject),
      bytesField(7, rawKey(publicKey, 'x')),
      bytesField(9, this.#fingerprint),
    ]);
    return {
      certificate: toPem('NEBULA CERTIFICATE', this.#seal(details)),
      key: toPem('NEBULA X25519 PRIVATE KEY', rawKey(privateKey, 'd')),
    };
  }

  #seal(details: Uint8Array): Buffer {
    return Buffer.concat([bytesField(1, details), bytesField(2, sign(null, details, this.#signingKey))]);
  }
}

function times({ notBeforeUnixMs, notAfterUnixMs }: Pick<NodeSubject, 'notBeforeUnixMs' | 'notAfterUnixMs'>): Buffer[] {
  return [varintField(5, Math.floor(notBeforeUnixMs / 1000)), varintField(6, Math.floor(notAfterUnixMs / 1000))];
}

function rawKey(key: KeyObject, part: 'd' | 'x'): Buffer {
  return Buffer.from(key.export({ format: 'jwk' })[part] as string, 'base64url');
}

function toPem(banner: string, bytes: Uint8Array): string {
  const lines = Buffer.from(bytes)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${banner}-----\n${lines}\n-----END ${banner}-----\n`;
}

function toNumber(ip: string): number {
  return ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

function maskOf(prefixLength: number): number {
  return 2 ** 32 - 2 ** (32 - prefixLength);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.from([...bytes, rest]);
}

function varintField(number: number, value: number): Buffer {
  return Buffer.concat([varint(number * 8), varint(value)]);
}

function bytesField(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}
