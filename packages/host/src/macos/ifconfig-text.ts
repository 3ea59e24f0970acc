import { canonicalAddress, isPrefixBits, netmaskBits } from './address-text.ts';

/** A link as `ifconfig -a` tells it. */
export interface MacosLink {
  readonly name: string;
  /** Made by software, by its name without the number: `utun`, `bridge`, … Undefined for hardware, `lo0` and what we do not know. */
  readonly kind: string | undefined;
  readonly isUp: boolean;
  /** Up and ready; always so for a utun device that is up. */
  readonly isRunning: boolean;
  /** In bytes; 0 for links that carry nothing. */
  readonly mtu: number;
}

/** An address of a link. */
export interface MacosAddress {
  readonly link: string;
  /** The address with the bits of its network. */
  readonly cidr: string;
  /** The own one, also where there is another at the other end. Canonical text, no zone. */
  readonly address: string;
  readonly prefixBits: number;
  /** IPv6 that is not usable: not checked against its neighbours, or found with one of them. */
  readonly isTentative: boolean;
}

/** What a listing of ifconfig says. */
export interface LinkListing {
  readonly links: readonly MacosLink[];
  readonly addresses: readonly MacosAddress[];
  /** Lines that ought to be a link or an address and could not be read. */
  readonly unreadCount: number;
}

const SOFTWARE_KINDS = ['utun', 'bridge', 'gif', 'stf', 'ipsec', 'vlan', 'bond', 'feth', 'tap', 'tun', 'ppp'];
const MTU_MAX = 0x7fff_ffff;

/**
 * Reads the output of `ifconfig -a`: for each link a line at the margin, `utun3: flags=8051<UP,…> mtu 1380`, then lines
 * with white space in front, of which `inet` and `inet6` matter. Text of any length; never throws.
 */
export function parseIfconfig(text: string): LinkListing {
  const links: MacosLink[] = [];
  const addresses: MacosAddress[] = [];
  let unreadCount = 0;
  let link: MacosLink | undefined;
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    if (!/^\s/.test(line)) {
      link = parseLink(line);
      if (link === undefined) unreadCount++;
      else links.push(link);
    } else if (/^\s+inet6? /.test(line)) {
      const address = link === undefined ? undefined : parseAddressLine(line, link.name);
      if (address === undefined) unreadCount++;
      else addresses.push(address);
    }
  }
  return { links, addresses, unreadCount };
}

function parseLink(line: string): MacosLink | undefined {
  const match = /^([^\s:]{1,15}): flags=[0-9a-f]+<([A-Z0-9_,]*)>(?:.*? mtu ([0-9]{1,10})\b)?/.exec(line);
  const name = match?.[1];
  if (name === undefined) return undefined;
  const flags = (match?.[2] ?? '').split(',');
  const kind = name.replace(/[0-9]+$/, '');
  return {
    name,
    kind: SOFTWARE_KINDS.includes(kind) ? kind : undefined,
    isUp: flags.includes('UP'),
    isRunning: flags.includes('UP') && flags.includes('RUNNING'),
    mtu: Math.min(Number(match?.[3] ?? 0), MTU_MAX),
  };
}

// `inet 10.0.0.1 --> 10.0.0.1 netmask 0xffffff00 broadcast …`, `inet6 fe80::1%lo0 prefixlen 64 secured scopeid 0x1`;
// the part with the arrow only on point-to-point links.
function parseAddressLine(line: string, link: string): MacosAddress | undefined {
  const [family, own = '', ...words] = line.trim().split(/\s+/);
  const address = canonicalAddress(own.split('%', 1)[0] ?? '');
  if (address === undefined || address.includes(':') !== (family === 'inet6')) return undefined;
  const prefixBits =
    family === 'inet6' ? parseBits(wordAfter(words, 'prefixlen')) : parseMask(wordAfter(words, 'netmask'));
  if (prefixBits === undefined) return undefined;
  const isTentative = words.includes('tentative') || words.includes('duplicated');
  return { link, cidr: `${address}/${prefixBits}`, address, prefixBits, isTentative };
}

function wordAfter(words: readonly string[], name: string): string {
  const at = words.indexOf(name);
  return at < 0 ? '' : (words[at + 1] ?? '');
}

function parseBits(text: string): number | undefined {
  const bits = /^[0-9]{1,3}$/.test(text) ? Number(text) : Number.NaN;
  return isPrefixBits(bits, 16) ? bits : undefined;
}

function parseMask(text: string): number | undefined {
  return /^0x[0-9a-f]{1,8}$/.test(text) ? netmaskBits(Number.parseInt(text, 16)) : undefined;
}
