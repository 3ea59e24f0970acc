import { decodeAddress } from '@heddle/proto/ip/address';
import type { IpPrefix } from '@heddle/proto/ip/prefix';

/** RFC 4193 §3.1: the Global ID. */
export const GLOBAL_ID_BYTES = 5;
const ULA_LOCAL = 0xfd;

/**
 * Derives the pool of IPv6 of a machine, fdXX:XXXX:XXXX::/48 (RFC 4193 §3.1).
 *
 * @param globalId 5 bytes that other machines hardly have too: of a hash, or random.
 * @throws {RangeError} for another length.
 */
export function deriveUlaPool(globalId: Uint8Array): IpPrefix {
  if (globalId.length !== GLOBAL_ID_BYTES) throw new RangeError(`A Global ID has 5 bytes, not ${globalId.length}`);
  const bytes = new Uint8Array(16);
  bytes[0] = ULA_LOCAL;
  bytes.set(globalId, 1);
  return { address: decodeAddress(bytes, 0, 16), bits: 48 };
}
