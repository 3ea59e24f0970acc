import type { IpAddress } from '../ip/address.ts';
import type { Endpoint } from '../ip/endpoint.ts';

/** Wire MTU assumed of every path: probing for a larger one needs sockets that forbid fragmentation. */
export const DEFAULT_WIRE_MTU_BYTES = 1360;

/** What is known of one direct path. */
export interface PathQuality {
  /** Where the answered ping was *sent to*: behind odd NATs its pong comes from elsewhere. */
  readonly endpoint: Endpoint;
  readonly latencyMs: number;
  readonly mtuBytes: number;
}

const POINTS_LOOPBACK = 50;
const POINTS_LINK_LOCAL = 30;
const POINTS_PRIVATE = 20;
const POINTS_IPV6 = 10;

/**
 * The order of paths (docs/spec/path.md#better): true when `a` should replace `b`. Latency counts in percent, so that
 * nearness (loopback, link, site) and IPv6 weigh like a fixed share of it; one percent alone never moves a path.
 */
export function isBetterPath(a: PathQuality | undefined, b: PathQuality | undefined): boolean {
  if (a === undefined) return false;
  if (b === undefined) return true;
  if (a.endpoint.text === b.endpoint.text) return a.mtuBytes > b.mtuBytes;
  const aPoints = fasterPercent(a.latencyMs, b.latencyMs) + addressPoints(a.endpoint.address);
  const bPoints = slowerPercent(a.latencyMs, b.latencyMs) + addressPoints(b.endpoint.address);
  if (aPoints <= 1 && bPoints === 0) return false;
  return aPoints > bPoints;
}

/** True for addresses that belong to a link and not to a site: useless without a zone when they come from afar. */
export function isLinkLocal(address: IpAddress): boolean {
  const [first = 0, second = 0] = address.bytes;
  return address.family === 4 ? first === 169 && second === 254 : first === 0xfe && (second & 0xc0) === 0x80;
}

function fasterPercent(aMs: number, bMs: number): number {
  return aMs <= bMs && bMs > 0 ? 100 - Math.floor((100 * aMs) / bMs) : 0;
}

function slowerPercent(aMs: number, bMs: number): number {
  return aMs > bMs ? 100 - Math.floor((100 * bMs) / aMs) : 0;
}

function addressPoints(address: IpAddress): number {
  const family = address.family === 6 ? POINTS_IPV6 : 0;
  if (isLoopback(address)) return POINTS_LOOPBACK + family;
  if (isLinkLocal(address)) return POINTS_LINK_LOCAL + family;
  return (isPrivate(address) ? POINTS_PRIVATE : 0) + family;
}

function isLoopback(address: IpAddress): boolean {
  return address.family === 4 ? address.bytes[0] === 127 : address.text === '::1';
}

/** RFC 1918 and unique local addresses (RFC 4193). */
function isPrivate(address: IpAddress): boolean {
  const [first = 0, second = 0] = address.bytes;
  if (address.family === 6) return (first & 0xfe) === 0xfc;
  return first === 10 || (first === 172 && (second & 0xf0) === 16) || (first === 192 && second === 168);
}
