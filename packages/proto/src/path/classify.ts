import { hasDiscoMagic } from '../disco/disco-box.ts';

/** `geneve` is traffic of a peer relay, which this client does not use; `ignore` belongs to none of our protocols. */
export type DatagramClass = 'stun' | 'disco' | 'geneve' | 'wireguard' | 'ignore';

const DISCO_MIN_BYTES = 38;
const WIREGUARD_MIN_BYTES = 32;
const STUN_MIN_BYTES = 20;
const GENEVE_HEADER_BYTES = 8;

/**
 * Tells the protocols on the UDP socket apart by their first bytes (docs/spec/path.md#one-socket). Called per packet:
 * WireGuard is tested first, and nothing is allocated. The classes exclude each other, so the order does not matter.
 */
export function classifyDatagram(bytes: Uint8Array, offset: number, length: number): DatagramClass {
  if (isWireguard(bytes, offset, length)) return 'wireguard';
  if (length >= DISCO_MIN_BYTES && hasDiscoMagic(bytes, offset, length)) return 'disco';
  if (isStun(bytes, offset, length)) return 'stun';
  if (isGeneve(bytes, offset, length)) return 'geneve';
  return 'ignore';
}

/** Types 1 to 4, one byte followed by three zeros; the shortest message is a keepalive. */
function isWireguard(bytes: Uint8Array, at: number, length: number): boolean {
  const type = bytes[at] as number;
  return (
    length >= WIREGUARD_MIN_BYTES &&
    type >= 1 &&
    type <= 4 &&
    bytes[at + 1] === 0 &&
    bytes[at + 2] === 0 &&
    bytes[at + 3] === 0
  );
}

/** A binding request, response or indication with the magic cookie. */
function isStun(bytes: Uint8Array, at: number, length: number): boolean {
  return (
    length >= STUN_MIN_BYTES &&
    (bytes[at] as number) < 0x40 &&
    bytes[at + 1] === 0x01 &&
    bytes[at + 4] === 0x21 &&
    bytes[at + 5] === 0x12 &&
    bytes[at + 6] === 0xa4 &&
    bytes[at + 7] === 0x42
  );
}

/** Version 0, no options, protocol 0x7a11 (disco) or 0x7a12 (WireGuard), reserved byte 0. */
function isGeneve(bytes: Uint8Array, at: number, length: number): boolean {
  return (
    length >= GENEVE_HEADER_BYTES &&
    (bytes[at] as number) < 0x40 &&
    ((bytes[at + 1] as number) & 0x3f) === 0 &&
    bytes[at + 2] === 0x7a &&
    (bytes[at + 3] === 0x11 || bytes[at + 3] === 0x12) &&
    bytes[at + 7] === 0
  );
}
