/**
 * The Internet checksum (RFC 1071) as a running sum of 16-bit big-endian words.
 * Start with 0 or a pseudo-header sum, add the parts at even distances, then {@link finishChecksum}.
 * Reads any alignment. At most 64 KiB per sum, so that it stays an exact integer.
 */
export function addToChecksum(sum: number, bytes: Uint8Array, offset: number, length: number): number {
  let total = sum;
  const end = offset + (length & ~1);
  for (let i = offset; i < end; i += 2) total += ((bytes[i] as number) << 8) | (bytes[i + 1] as number);
  if (length & 1) total += (bytes[end] as number) << 8;
  return total;
}

/** Folds the sum to 16 bits and complements it. A sum over data that contains its own valid checksum gives 0. */
export function finishChecksum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return ~folded & 0xffff;
}
