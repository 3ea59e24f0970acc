/** Limits that both versions of certificates share. */

/** slackhq/nebula, cert/cert_v2.asn1: "must not exceed 65536 bytes". */
export const CERTIFICATE_BYTES_MAX = 65_536;

/** The largest time that a JavaScript date can show. */
const UNIX_MS_MAX = 8.64e15;

/** Milliseconds of signed 64-bit Unix seconds, at most what a date can show. */
export function toUnixMs(seconds: bigint): number {
  const unixMs = Number(BigInt.asIntN(64, seconds)) * 1000;
  return Math.min(UNIX_MS_MAX, Math.max(-UNIX_MS_MAX, unixMs));
}
