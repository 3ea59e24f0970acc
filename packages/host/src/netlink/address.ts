import { formatAddress } from './ip-text.ts';
import { attributeNumber, decodeAttributes, viewOf } from './message.ts';

/** How far an address, or `number` by /etc/iproute2/rt_scopes, is valid. */
export type AddressScope = 'global' | 'site' | 'link' | 'host' | number;

/** An IP address of a network interface. */
export interface Address {
  readonly linkIndex: number;
  readonly family: 4 | 6;
  /** The own one, also where a peer is set. Canonical text (RFC 5952), no zone. */
  readonly address: string;
  /** 0–32 or 0–128. */
  readonly prefixBits: number;
  readonly scope: AddressScope;
  /** IPv6 that is not usable yet, or never, because duplicate address detection has not finished. */
  readonly isTentative: boolean;
}

/** ifaddrmsg: family u8, prefix length u8, flags u8, scope u8, index u32. */
const HEADER_BYTES = 8;
const AF_INET = 2;
const AF_INET6 = 10;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_F_TENTATIVE = 0x40;
const SCOPES: Readonly<Record<number, AddressScope>> = { 0: 'global', 200: 'site', 253: 'link', 254: 'host' };

/** Decodes the body of RTM_NEWADDR. The literal when it is cut off, inconsistent, or neither IPv4 nor IPv6. */
export function decodeAddress(body: Uint8Array): Address | 'short' | 'bad-attribute' | 'other-family' {
  if (body.length < HEADER_BYTES) return 'short';
  const [family, prefixBits = 0, oldFlags = 0, scope = 0] = body;
  if (family !== AF_INET && family !== AF_INET6) return 'other-family';
  const attributes = decodeAttributes(body, HEADER_BYTES);
  if (attributes === 'bad-attribute') return attributes;
  // On a link with a peer IFA_ADDRESS is the peer; IPv6 leaves IFA_LOCAL out where there is none.
  const own = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  const address = own?.length === (family === AF_INET ? 4 : 16) ? formatAddress(own) : undefined;
  if (address === undefined || prefixBits > (family === AF_INET ? 32 : 128)) return 'bad-attribute';
  const flags = attributeNumber(attributes, IFA_FLAGS) ?? oldFlags;
  return {
    linkIndex: viewOf(body).getUint32(4, true),
    family: family === AF_INET ? 4 : 6,
    address,
    prefixBits,
    scope: SCOPES[scope] ?? scope,
    isTentative: (flags & IFA_F_TENTATIVE) !== 0,
  };
}
