/**
 * The length of the IP packet that begins at `offset`, cut free of WireGuard's padding: IPv4 total length, or IPv6
 * payload length + 40. -1 when the version is neither, or the packet claims less than its header or more than the
 * `length` bytes that are there.
 */
export function innerPacketLength(bytes: Uint8Array, offset: number, length: number): number {
  const version = (bytes[offset] as number) >> 4;
  if (version === 4 && length >= 20) {
    const total = ((bytes[offset + 2] as number) << 8) | (bytes[offset + 3] as number);
    return total >= 20 && total <= length ? total : -1;
  }
  if (version === 6 && length >= 40) {
    const total = (((bytes[offset + 4] as number) << 8) | (bytes[offset + 5] as number)) + 40;
    return total <= length ? total : -1;
  }
  return -1;
}
