/**
 * Version 2 of Nebula's certificates, ASN.1 DER with automatic tags (slackhq/nebula, cert/cert_v2.asn1):
 *
 * ```
 * 30 certificate
 *   A0 details    80 name  A1 networks  A2 unsafe networks  A3 groups  84 is CA  85 not before  86 not after  87 issuer
 *   81 curve      absent for Curve25519
 *   82 public key
 *   83 signature
 * ```
 * A network is an OCTET STRING (04) of the address and one byte of prefix length, a group a UTF8String (0C).
 */

import { createHash } from 'node:crypto';
import { formatHex } from '@heddle/proto/bytes/hex';
import { decodeUtf8 } from '@heddle/proto/bytes/utf8';
import { decodeAddress } from '@heddle/proto/ip/address';
import { formatPrefix } from '@heddle/proto/ip/prefix';
import type { NebulaCertificate } from './certificate.ts';
import { CERTIFICATE_BYTES_MAX, toUnixMs } from './certificate-limits.ts';
import { DerReader } from './der-reader.ts';

const TAG_SEQUENCE = 0x30;
const TAG_OCTET_STRING = 0x04;
const TAG_UTF8_STRING = 0x0c;
const TAG_DETAILS = 0xa0;
const TAG_CURVE = 0x81;
const TAG_PUBLIC_KEY = 0x82;
const TAG_SIGNATURE = 0x83;
const TAG_NAME = 0x80;
const TAG_NETWORKS = 0xa1;
const TAG_UNSAFE_NETWORKS = 0xa2;
const TAG_GROUPS = 0xa3;
const TAG_IS_CA = 0x84;
const TAG_NOT_BEFORE = 0x85;
const TAG_NOT_AFTER = 0x86;
const TAG_ISSUER = 0x87;

/** Undefined when the bytes are no such certificate, or more than 64 KiB. */
export function decodeCertificateV2(bytes: Uint8Array): NebulaCertificate | undefined {
  const envelope = bytes.length <= CERTIFICATE_BYTES_MAX ? new DerReader(bytes).read(TAG_SEQUENCE) : undefined;
  if (envelope === undefined) return undefined;
  const reader = new DerReader(envelope.content);
  const details = reader.read(TAG_DETAILS);
  const curve = reader.read(TAG_CURVE)?.content ?? CURVE_25519;
  const publicKey = reader.read(TAG_PUBLIC_KEY);
  const signature = reader.read(TAG_SIGNATURE);
  if (details === undefined || publicKey === undefined || signature === undefined || curve.length !== 1)
    return undefined;
  const fields = decodeDetails(new DerReader(details.content));
  if (fields === undefined) return undefined;
  const hash = createHash('sha256').update(details.element).update(curve);
  const fingerprint = hash.update(publicKey.content).update(signature.content).digest('hex');
  return { version: 2, ...fields, fingerprint };
}

const CURVE_25519 = Uint8Array.of(0);

function decodeDetails(reader: DerReader): Omit<NebulaCertificate, 'version' | 'fingerprint'> | undefined {
  const name = textOf(reader.read(TAG_NAME)?.content);
  const networks = listOf(reader.read(TAG_NETWORKS)?.content, TAG_OCTET_STRING, prefixOf);
  const unsafeNetworks = listOf(reader.read(TAG_UNSAFE_NETWORKS)?.content, TAG_OCTET_STRING, prefixOf);
  const groups = listOf(reader.read(TAG_GROUPS)?.content, TAG_UTF8_STRING, textOf);
  const isCa = reader.read(TAG_IS_CA)?.content;
  const notBefore = integerOf(reader.read(TAG_NOT_BEFORE)?.content);
  const notAfter = integerOf(reader.read(TAG_NOT_AFTER)?.content);
  const issuer = reader.read(TAG_ISSUER)?.content;
  if (name === undefined || networks === undefined || unsafeNetworks === undefined || groups === undefined)
    return undefined;
  if (notBefore === undefined || notAfter === undefined) return undefined;
  return {
    name,
    networks,
    unsafeNetworks,
    groups,
    isCa: (isCa?.[0] ?? 0) !== 0,
    notBeforeUnixMs: toUnixMs(notBefore),
    notAfterUnixMs: toUnixMs(notAfter),
    issuer: issuer === undefined || issuer.length === 0 ? undefined : formatHex(issuer),
  };
}

/** An absent list is empty; undefined when an item is none of its kind. */
function listOf(
  content: Uint8Array | undefined,
  tag: number,
  decode: (item: Uint8Array) => string | undefined,
): string[] | undefined {
  const items: string[] = [];
  const reader = new DerReader(content ?? new Uint8Array());
  while (!reader.isAtEnd) {
    const element = reader.read(tag);
    const item = element && decode(element.content);
    if (item === undefined) return undefined;
    items.push(item);
  }
  return items;
}

function textOf(content: Uint8Array | undefined): string | undefined {
  return content === undefined || content.length === 0 ? undefined : decodeUtf8(content);
}

function prefixOf(content: Uint8Array): string | undefined {
  const lengthBytes = content.length - 1;
  if (lengthBytes !== 4 && lengthBytes !== 16) return undefined;
  const address = decodeAddress(content, 0, lengthBytes);
  const bits = content[lengthBytes] as number;
  // Nebula refuses IPv4-mapped addresses, and so does this: their prefix length would have two meanings.
  if (address.bytes.length !== lengthBytes || bits > lengthBytes * 8) return undefined;
  return formatPrefix({ address, bits });
}

const INTEGER_BYTES_MAX = 8;

function integerOf(content: Uint8Array | undefined): bigint | undefined {
  if (content === undefined || content.length === 0 || content.length > INTEGER_BYTES_MAX) return undefined;
  let value = 0n;
  for (const byte of content) value = (value << 8n) | BigInt(byte);
  return BigInt.asIntN(content.length * 8, value);
}
