/**
 * Requests that give a link an address and take it away. Pure.
 *
 * ```
 * ifaddrmsg   0  u8 family: 2 IPv4, 10 IPv6
 *             1  u8 prefix length
 *             2  u8 flags
 *             3  u8 scope: 0, global
 *             4  u32 link index
 * then attributes: IFA_LOCAL 2 and IFA_ADDRESS 1 (both the address), IFA_BROADCAST 4; 4 or 16 bytes in network order
 * ```
 */

import { parseAddress } from './ip-text.ts';
import { encodeAttribute, viewOf } from './message.ts';
import { checkInteger, checkLinkIndex, encodeCreateRequest, encodeRequest } from './request.ts';

/** What names an address among all; an `Address` read from the kernel is one too. */
export interface AddressKey {
  readonly linkIndex: number;
  /** IPv4 or IPv6, without zone. */
  readonly address: string;
  /** 0–32 or 0–128. */
  readonly prefixBits: number;
}

/** An address to give to a link. */
export interface NewAddress extends AddressKey {
  /** IPv4 only; `undefined` for none. */
  readonly broadcast: string | undefined;
}

const RTM_NEWADDR = 0x14;
const RTM_DELADDR = 0x15;
const HEADER_BYTES = 8;
const AF_INET = 2;
const AF_INET6 = 10;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
/** Without it an IPv6 address cannot be bound for about a second, and never where a link has no carrier. */
const IFA_F_NODAD = 0x2;

/**
 * Encodes the request for a new address. An IPv6 address skips duplicate address detection.
 * @throws {RangeError} when a field is no address, or outside of its bounds.
 */
export function encodeAddAddress(sequence: number, request: NewAddress): Uint8Array {
  const address = parseOwn(request);
  const parts = encodeKey(request, address, address.length === 16 ? IFA_F_NODAD : 0);
  if (request.broadcast !== undefined) {
    const broadcast = parseAddress(request.broadcast);
    if (broadcast?.length !== 4 || address.length !== 4) {
      throw new RangeError(`"${request.broadcast}" is no broadcast address for "${request.address}"`);
    }
    parts.push(encodeAttribute(IFA_BROADCAST, broadcast));
  }
  return encodeCreateRequest(RTM_NEWADDR, sequence, parts);
}

/**
 * Encodes the request to take an address away.
 * @throws {RangeError} when a field is no address, or outside of its bounds.
 */
export function encodeDeleteAddress(sequence: number, key: AddressKey): Uint8Array {
  return encodeRequest(RTM_DELADDR, sequence, encodeKey(key, parseOwn(key), 0));
}

function parseOwn({ address }: AddressKey): Uint8Array {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new RangeError(`"${address}" is no IPv4 or IPv6 address`);
  return bytes;
}

function encodeKey({ linkIndex, prefixBits }: AddressKey, address: Uint8Array, flags: number): Uint8Array[] {
  const header = new Uint8Array(HEADER_BYTES);
  header[0] = address.length === 4 ? AF_INET : AF_INET6;
  header[1] = checkInteger('prefix length', prefixBits, { min: 0, max: 8 * address.length });
  header[2] = flags;
  viewOf(header).setUint32(4, checkLinkIndex(linkIndex), true);
  return [header, encodeAttribute(IFA_LOCAL, address), encodeAttribute(IFA_ADDRESS, address)];
}
