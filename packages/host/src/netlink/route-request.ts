/**
 * Requests that add and delete routes to one link. Pure.
 *
 * ```
 * rtmsg   0  u8 family: 2 IPv4, 10 IPv6
 *         1  u8 length of the destination prefix
 *         2  u8 length of the source prefix, u8 TOS: zeros
 *         4  u8 table; 0 where the attribute has it
 *         5  u8 protocol
 *         6  u8 scope: 0 via a gateway and for IPv6, 253 on the link, 255 to delete whichever
 *         7  u8 type: 1, unicast
 *         8  u32 flags: zero
 * then attributes: RTA_DST 1, RTA_GATEWAY 5 (4 or 16 bytes in network order), RTA_TABLE 15, RTA_PRIORITY 6, RTA_OIF 4 (u32)
 * ```
 */

import { parseAddress, parsePrefix } from './ip-text.ts';
import { encodeAttribute, encodeNumberAttribute } from './message.ts';
import { checkInteger, checkLinkIndex, encodeCreateRequest, encodeRequest } from './request.ts';

/** A unicast route with one next hop: to add, or what names it among all to delete it. */
export interface RouteRequest {
  /** `10.9.0.0/16`, host bits clear; the default route is `0.0.0.0/0` or `::/0`. */
  readonly prefix: string;
  readonly linkIndex: number;
  /** Of the family of the prefix; `undefined` or left out for a network on the link. To delete, then: any. */
  readonly gateway?: string | undefined;
  /** 1 to 0xffffffff; 254 is `main`. */
  readonly table: number;
  /** Who made it, 1–255: 3 boot, 4 static, … To delete a route of IPv4 it must be the same; 0 stands for any. */
  readonly protocol: number;
  /** 0 for none, which the kernel makes 1024 for IPv6. To delete: any. */
  readonly metric: number;
}

const RTM_NEWROUTE = 0x18;
const RTM_DELROUTE = 0x19;
const AF_INET = 2;
const AF_INET6 = 10;
const RTN_UNICAST = 1;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_NOWHERE = 255;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_TABLE = 15;
const U8 = { min: 0, max: 0xff };
const U32 = { min: 0, max: 0xffffffff };

/**
 * Encodes the request for a new route.
 * @throws {RangeError} when a field is no prefix or address, or outside of its bounds.
 */
export function encodeAddRoute(sequence: number, request: RouteRequest): Uint8Array {
  const scope = request.gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  return encodeCreateRequest(RTM_NEWROUTE, sequence, encodeParts(request, scope));
}

/**
 * Encodes the request to delete the first route that fits.
 * @throws {RangeError} when a field is no prefix or address, or outside of its bounds.
 */
export function encodeDeleteRoute(sequence: number, request: RouteRequest): Uint8Array {
  return encodeRequest(RTM_DELROUTE, sequence, encodeParts(request, RT_SCOPE_NOWHERE));
}

function encodeParts(request: RouteRequest, ipv4Scope: number): Uint8Array[] {
  const prefix = parsePrefix(request.prefix);
  if (prefix === undefined) throw new RangeError(`"${request.prefix}" is no network of IPv4 or IPv6`);
  const { address, bits } = prefix;
  const table = checkInteger('table', request.table, { min: 1, max: U32.max });
  const metric = checkInteger('metric', request.metric, U32);
  const protocol = checkInteger('protocol', request.protocol, U8);
  const [family, scope] = address.length === 4 ? [AF_INET, ipv4Scope] : [AF_INET6, RT_SCOPE_UNIVERSE];
  const smallTable = table > 0xff ? 0 : table;
  const parts: Uint8Array[] = [Uint8Array.of(family, bits, 0, 0, smallTable, protocol, scope, RTN_UNICAST, 0, 0, 0, 0)];
  if (bits > 0) parts.push(encodeAttribute(RTA_DST, address));
  if (request.gateway !== undefined) parts.push(encodeAttribute(RTA_GATEWAY, parseGateway(request.gateway, address)));
  if (smallTable === 0) parts.push(encodeNumberAttribute(RTA_TABLE, table));
  if (metric > 0) parts.push(encodeNumberAttribute(RTA_PRIORITY, metric));
  parts.push(encodeNumberAttribute(RTA_OIF, checkLinkIndex(request.linkIndex)));
  return parts;
}

function parseGateway(text: string, { length }: Uint8Array): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes?.length !== length) throw new RangeError(`"${text}" is no gateway in the family of the prefix`);
  return bytes;
}
