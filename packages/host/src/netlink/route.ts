import { formatAddress } from './ip-text.ts';
import { type Attributes, attributeNumber, decodeAttributes, viewOf } from './message.ts';

/** What happens to a packet that the route matches; `other` is none of rtnetlink(7). */
export type RouteType = (typeof TYPES)[number] | 'other';

/** An entry of a routing table. One with several next hops gives one entry for each. */
export interface Route {
  readonly family: 4 | 6;
  /** 254 is `main`, 255 `local`, 253 `default`. */
  readonly table: number;
  /** Canonical text; the default route is `0.0.0.0/0` or `::/0`. */
  readonly prefix: string;
  /** `undefined` where packets are discarded (IPv4; for IPv6 the kernel names `lo`). */
  readonly linkIndex: number | undefined;
  /** May be IPv6 in a route of IPv4. `undefined` for a network on the link. */
  readonly gateway: string | undefined;
  /** The address that own packets get. */
  readonly source: string | undefined;
  /** Who made it: 2 the kernel, 3 boot (`ip route` without `proto`), 4 static, … */
  readonly protocol: number;
  /** The lower one wins; 0 where none is set. */
  readonly metric: number;
  readonly type: RouteType;
}

const TYPES = [
  'unspecified',
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
  'nat',
] as const;

/** rtmsg: family u8, destination and source prefix length u8, TOS u8, table u8, protocol u8, scope u8, type u8, flags u32. */
const HEADER_BYTES = 12;
/** rtnexthop: length u16 with its attributes, flags u8, weight u8, index i32. */
const HOP_HEADER_BYTES = 8;
const AF_INET = 2;
const AF_INET6 = 10;
const RTM_F_CLONED = 0x200;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;

/**
 * Decodes the body of RTM_NEWROUTE. Nothing for what is not in a table of IPv4 or IPv6: other families, and the cached
 * results of path MTU discovery. The literal when it is cut off or inconsistent.
 */
export function decodeRoutes(body: Uint8Array): readonly Route[] | 'short' | 'bad-attribute' {
  if (body.length < HEADER_BYTES) return 'short';
  const family = body[0];
  const isCached = (viewOf(body).getUint32(8, true) & RTM_F_CLONED) !== 0;
  if ((family !== AF_INET && family !== AF_INET6) || isCached) return [];
  const attributes = decodeAttributes(body, HEADER_BYTES);
  if (attributes === 'bad-attribute') return attributes;
  const addressBytes = family === AF_INET ? 4 : 16;
  const prefix = describePrefix(attributes.get(RTA_DST), body[1] ?? 0, addressBytes);
  const hops = decodeHops(attributes);
  if (prefix === undefined || hops === 'bad-attribute') return 'bad-attribute';
  const source = attributes.get(RTA_PREFSRC);
  const route = {
    family: family === AF_INET ? 4 : 6,
    table: attributeNumber(attributes, RTA_TABLE) ?? body[4] ?? 0,
    prefix,
    source: source === undefined ? undefined : formatAddress(source),
    protocol: body[5] ?? 0,
    metric: attributeNumber(attributes, RTA_PRIORITY) ?? 0,
    type: TYPES[body[7] ?? 0] ?? 'other',
  } as const;
  return hops.map((hop) => ({ ...route, ...hop }));
}

// RTA_DST is left out when the prefix is the whole family.
function describePrefix(bytes: Uint8Array | undefined, bits: number, addressBytes: 4 | 16): string | undefined {
  if (bits > 8 * addressBytes || (bytes !== undefined && bytes.length !== addressBytes)) return undefined;
  if (bytes === undefined && bits !== 0) return undefined;
  return `${formatAddress(bytes ?? new Uint8Array(addressBytes))}/${bits}`;
}

type Hop = Pick<Route, 'linkIndex' | 'gateway'>;

function decodeHops(attributes: Attributes): readonly Hop[] | 'bad-attribute' {
  const several = attributes.get(RTA_MULTIPATH);
  if (several === undefined || several.length === 0) {
    return [{ linkIndex: attributeNumber(attributes, RTA_OIF), gateway: describeGateway(attributes) }];
  }
  const hops: Hop[] = [];
  const view = viewOf(several);
  for (let at = 0; at < several.length; ) {
    const length = several.length - at < HOP_HEADER_BYTES ? 0 : view.getUint16(at, true);
    if (length < HOP_HEADER_BYTES || length > several.length - at) return 'bad-attribute';
    const inner = decodeAttributes(several.subarray(at, at + length), HOP_HEADER_BYTES);
    if (inner === 'bad-attribute') return inner;
    hops.push({ linkIndex: view.getInt32(at + 4, true), gateway: describeGateway(inner) });
    at += (length + 3) & ~3;
  }
  return hops;
}

// RTA_VIA is a family (u16) and an address: the gateway of another family.
function describeGateway(attributes: Attributes): string | undefined {
  const bytes = attributes.get(RTA_GATEWAY) ?? attributes.get(RTA_VIA)?.subarray(2);
  return bytes === undefined ? undefined : formatAddress(bytes);
}
