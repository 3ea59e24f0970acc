/**
 * The commands with which macOS sets up links, as lists of arguments: no shell reads them. Every value is checked and
 * written anew, so that none can be taken for an option. Source: ifconfig(8), route(8), netstat(1).
 */

import { formatAddress } from '../netlink/ip-text.ts';
import { formatNetmask, formatNetwork, isPrefixBits, parseAddress } from './address-text.ts';

/** A program by its absolute path, and its arguments. */
export type Command = readonly [program: string, ...args: string[]];

/** An address, and the bits of its network. */
export interface PrefixedAddress {
  readonly address: string;
  /** 0–32 of IPv4, 0–128 of IPv6. */
  readonly prefixBits: number;
}

/** A network with clear host bits that is behind a link. */
export interface LinkRoute {
  /** CIDR text. */
  readonly prefix: string;
  readonly link: string;
}

const IFCONFIG = '/sbin/ifconfig';
const ROUTE = '/sbin/route';
const NETSTAT = '/usr/sbin/netstat';
/** The link that has the addresses of local subnets. */
export const LOOPBACK_LINK = 'lo0';

/** Lists all links, also those that are switched off. */
export function listLinks(): Command {
  return [IFCONFIG, '-a'];
}

/** Lists the routes of a family, without names of hosts. */
export function listRoutes(family: 4 | 6): Command {
  return [NETSTAT, '-rn', '-f', family === 4 ? 'inet' : 'inet6'];
}

/**
 * Gives a point-to-point link its address and switches it on; an IPv4 address that it had goes. The other end has the same
 * address, so that no address of the network is lost to it. The network itself needs {@link addRoute}.
 * @throws {RangeError} unless the address is IPv4 and the rest fits.
 */
export function setTunAddress(options: PrefixedAddress & { readonly link: string; readonly mtu: number }): Command {
  const address = checkAddress(options, 4);
  const mask = formatNetmask(options.prefixBits);
  const { link, mtu } = options;
  return [IFCONFIG, checkLink(link), 'inet', address, address, 'netmask', mask, 'mtu', checkMtu(mtu), 'up'];
}

/**
 * Adds an IPv6 address to a link; macOS makes the route of its network.
 * @throws {RangeError} unless the address is IPv6 and the rest fits.
 */
export function addTunAddress6(options: PrefixedAddress & { readonly link: string }): Command {
  const address = checkAddress(options, 6);
  return [IFCONFIG, checkLink(options.link), 'inet6', address, 'prefixlen', `${options.prefixBits}`, 'alias'];
}

/** Sets what a link carries, in bytes. ifconfig ends with 0 also when the kernel refuses. @throws {RangeError} */
export function setMtu({ link, mtu }: { readonly link: string; readonly mtu: number }): Command {
  return [IFCONFIG, checkLink(link), 'mtu', checkMtu(mtu)];
}

/** Leads a network to a link. route ends with 0 also when the kernel refuses. @throws {RangeError} */
export function addRoute(route: LinkRoute): Command {
  return [ROUTE, '-n', 'add', ...routeArguments(route)];
}

/** Takes back {@link addRoute}. @throws {RangeError} */
export function deleteRoute(route: LinkRoute): Command {
  return [ROUTE, '-n', 'delete', ...routeArguments(route)];
}

/**
 * Adds an address to the loopback link. The second IPv4 address of a network must have 32 bits: the network of the first
 * has a route already, and macOS refuses to make it again.
 * @throws {RangeError}
 */
export function addAlias(options: PrefixedAddress): Command {
  if (options.address.includes(':')) return addTunAddress6({ ...options, link: LOOPBACK_LINK });
  const address = checkAddress(options, 4);
  return [IFCONFIG, LOOPBACK_LINK, 'inet', address, 'netmask', formatNetmask(options.prefixBits), 'alias'];
}

/** Takes back {@link addAlias}. @throws {RangeError} */
export function removeAlias(address: string): Command {
  const family = address.includes(':') ? 6 : 4;
  const text = checkAddress({ address, prefixBits: 8 * ADDRESS_BYTES[family] }, family);
  return [IFCONFIG, LOOPBACK_LINK, family === 4 ? 'inet' : 'inet6', '-alias', text];
}

/** Of macOS itself: letters and digits that begin with a letter; IFNAMSIZ leaves 15 bytes. */
const LINK_PATTERN = /^[A-Za-z][A-Za-z0-9_]{0,14}$/;
const ADDRESS_BYTES = { 4: 4, 6: 16 } as const;
/** RFC 791 asks for 68. */
const MTU_MIN = 68;
const MTU_MAX = 65_535;

function routeArguments({ prefix, link }: LinkRoute): string[] {
  const [address = '', bits = ''] = prefix.split('/', 2);
  const bytes = parseAddress(address);
  const isWritten = /^[0-9]{1,3}$/.test(bits);
  if (bytes === undefined || !isWritten || formatNetwork(bytes, Number(bits)) !== prefix) {
    throw new RangeError(`No network is written "${prefix}"`);
  }
  const family = bytes.length === 16 ? ['-inet6'] : [];
  return [...family, '-net', prefix, '-interface', checkLink(link)];
}

function checkAddress({ address, prefixBits }: PrefixedAddress, family: 4 | 6): string {
  const bytes = parseAddress(address);
  const size = ADDRESS_BYTES[family];
  const text = bytes?.length === size ? formatAddress(bytes) : undefined;
  if (text === undefined) throw new RangeError(`No address of IPv${family} is written "${address}"`);
  if (!isPrefixBits(prefixBits, size)) throw new RangeError(`No network of IPv${family} has ${prefixBits} bits`);
  return text;
}

function checkLink(link: string): string {
  if (!LINK_PATTERN.test(link)) throw new RangeError(`No link is called "${link}"`);
  return link;
}

function checkMtu(mtu: number): string {
  if (!Number.isInteger(mtu) || mtu < MTU_MIN || mtu > MTU_MAX) throw new RangeError(`No link has an MTU of ${mtu}`);
  return String(mtu);
}
