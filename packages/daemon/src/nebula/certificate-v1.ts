/**
 * Version 1 of Nebula's certificates, a Protocol Buffers message (slackhq/nebula, cert/cert_v1.proto):
 *
 * ```
 * 1 details   1 name  2 ips  3 subnets  4 groups  5 notBefore  6 notAfter  7 publicKey  8 isCa  9 issuer  100 curve
 * 2 signature
 * ```
 * `ips` and `subnets` are pairs of uint32: address and mask. Times are Unix seconds.
 */

import { createHash } from 'node:crypto';
import { formatHex } from '@heddle/proto/bytes/hex';
import { decodeUtf8 } from '@heddle/proto/bytes/utf8';
import { decodeAddress } from '@heddle/proto/ip/address';
import { formatPrefix } from '@heddle/proto/ip/prefix';
import type { NebulaCertificate } from './certificate.ts';
import { CERTIFICATE_BYTES_MAX, toUnixMs } from './certificate-limits.ts';
import { readFields, readPackedVarints, type WireField } from './protobuf-reader.ts';

const FIELD_DETAILS = 1;
const FIELD_SIGNATURE = 2;
const FIELD_NAME = 1;
const FIELD_IPS = 2;
const FIELD_SUBNETS = 3;
const FIELD_GROUPS = 4;
const FIELD_NOT_BEFORE = 5;
const FIELD_NOT_AFTER = 6;
const FIELD_IS_CA = 8;
const FIELD_ISSUER = 9;

/** Undefined when the bytes are no such message, or more than 64 KiB. */
export function decodeCertificateV1(bytes: Uint8Array): NebulaCertificate | undefined {
  const outer = bytes.length <= CERTIFICATE_BYTES_MAX ? readFields(bytes) : undefined;
  const details = outer && lastBytes(outer, FIELD_DETAILS);
  const fields = details && readFields(details);
  if (fields === undefined || lastBytes(outer ?? [], FIELD_SIGNATURE) === undefined) return undefined;
  const name = decodeUtf8(lastBytes(fields, FIELD_NAME) ?? NONE);
  const groups = textsOf(fields, FIELD_GROUPS);
  const networks = prefixesOf(fields, FIELD_IPS);
  const unsafeNetworks = prefixesOf(fields, FIELD_SUBNETS);
  if (name === undefined || groups === undefined) return undefined;
  if (networks === undefined || unsafeNetworks === undefined) return undefined;
  const issuer = lastBytes(fields, FIELD_ISSUER) ?? NONE;
  return {
    version: 1,
    name,
    networks,
    unsafeNetworks,
    groups,
    isCa: lastNumber(fields, FIELD_IS_CA) !== 0n,
    notBeforeUnixMs: toUnixMs(lastNumber(fields, FIELD_NOT_BEFORE)),
    notAfterUnixMs: toUnixMs(lastNumber(fields, FIELD_NOT_AFTER)),
    issuer: issuer.length === 0 ? undefined : formatHex(issuer),
    fingerprint: createHash('sha256').update(bytes).digest('hex'),
  };
}

const NONE = new Uint8Array();

// Protocol Buffers: of a field that may come once, the last counts; one that is absent is zero.
function lastBytes(fields: readonly WireField[], number: number): Uint8Array | undefined {
  return fields.findLast((field) => field.number === number && field.bytes !== undefined)?.bytes;
}

function lastNumber(fields: readonly WireField[], number: number): bigint {
  return fields.findLast((field) => field.number === number && field.value !== undefined)?.value ?? 0n;
}

function textsOf(fields: readonly WireField[], number: number): string[] | undefined {
  const texts: string[] = [];
  for (const { bytes } of fields.filter((field) => field.number === number)) {
    const text = bytes && decodeUtf8(bytes);
    if (text === undefined) return undefined;
    texts.push(text);
  }
  return texts;
}

function prefixesOf(fields: readonly WireField[], number: number): string[] | undefined {
  const words: number[] = [];
  for (const { bytes, value } of fields.filter((field) => field.number === number)) {
    const more = bytes === undefined ? [value ?? 0n] : readPackedVarints(bytes);
    if (more === undefined) return undefined;
    for (const word of more) words.push(Number(BigInt.asUintN(32, word)));
  }
  if (words.length % 2 !== 0) return undefined;
  const prefixes: string[] = [];
  for (let i = 0; i < words.length; i += 2) {
    const bits = bitsOfMask(words[i + 1] as number);
    if (bits === undefined) return undefined;
    prefixes.push(formatPrefix({ address: addressOf(words[i] as number), bits }));
  }
  return prefixes;
}

function addressOf(word: number): ReturnType<typeof decodeAddress> {
  return decodeAddress(Uint8Array.of(word >>> 24, word >>> 16, word >>> 8, word), 0, 4);
}

function bitsOfMask(mask: number): number | undefined {
  const zeros = ~mask >>> 0;
  return (zeros & (zeros + 1)) === 0 ? Math.clz32(zeros) : undefined;
}
