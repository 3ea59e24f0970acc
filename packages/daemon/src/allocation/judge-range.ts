import { formatPrefix, type IpPrefix, parsePrefix } from '@heddle/proto/ip/prefix';
import { hasOverlap } from '../plan/claimed-prefix.ts';
import type { Judgement } from './judge-request.ts';

interface Range {
  readonly prefix: IpPrefix;
  readonly name: string;
}

const BITS_RANGE = { 4: [8, 30], 6: [48, 126] } as const;
// RFC 6890.
const FORBIDDEN: readonly Range[] = [
  rangeOf('0.0.0.0/8', 'addresses of this host alone'),
  rangeOf('127.0.0.0/8', 'loopback'),
  rangeOf('169.254.0.0/16', 'link-local'),
  rangeOf('224.0.0.0/4', 'multicast'),
  rangeOf('240.0.0.0/4', 'reserved'),
];
// RFC 4291 §2.4: everything else of IPv6 is loopback, link-local, multicast, IPv4-mapped or not in use.
const ROUTABLE_IPV6: readonly Range[] = [rangeOf('2000::/3', 'global unicast'), rangeOf('fc00::/7', 'unique local')];
// Nobody on the public internet has these addresses.
const NOT_PUBLIC: readonly Range[] = [
  rangeOf('10.0.0.0/8', 'RFC 1918'),
  rangeOf('172.16.0.0/12', 'RFC 1918'),
  rangeOf('192.168.0.0/16', 'RFC 1918'),
  rangeOf('100.64.0.0/10', 'RFC 6598'),
  rangeOf('198.18.0.0/15', 'RFC 2544'),
  rangeOf('192.0.2.0/24', 'RFC 5737'),
  rangeOf('198.51.100.0/24', 'RFC 5737'),
  rangeOf('203.0.113.0/24', 'RFC 5737'),
  rangeOf('2001:db8::/32', 'RFC 3849'),
  rangeOf('fc00::/7', 'RFC 4193'),
];

/**
 * Judges whether a network may be one of this machine at all, whoever uses it: 8–30 bits of IPv4, 48–126 of IPv6, and no
 * addresses with a meaning of their own. Public ones are warned of.
 *
 * @param prefix Host bits clear.
 */
export function judgeRange(prefix: IpPrefix): Judgement {
  const text = formatPrefix(prefix);
  const [bitsMin, bitsMax] = BITS_RANGE[prefix.address.family];
  if (prefix.bits < bitsMin || prefix.bits > bitsMax) {
    return refuse(
      `${text} has ${prefix.bits} bits, a local network of IPv${prefix.address.family} has ${bitsMin} to ${bitsMax}`,
    );
  }
  const met = FORBIDDEN.find((range) => hasOverlap(prefix, range.prefix));
  if (met !== undefined) return refuse(`${text} overlaps ${formatPrefix(met.prefix)} (${met.name})`);
  if (prefix.address.family === 6 && !isInsideOne(prefix, ROUTABLE_IPV6)) {
    return refuse(`${text} is neither global unicast (2000::/3) nor unique local (fc00::/7)`);
  }
  if (isInsideOne(prefix, NOT_PUBLIC)) return { refusals: [], warnings: [] };
  return { refusals: [], warnings: [`${text} is public: this machine no longer reaches the hosts that have it`] };
}

function refuse(sentence: string): Judgement {
  return { refusals: [sentence], warnings: [] };
}

function isInsideOne(prefix: IpPrefix, ranges: readonly Range[]): boolean {
  return ranges.some((range) => range.prefix.bits <= prefix.bits && hasOverlap(range.prefix, prefix));
}

function rangeOf(cidr: string, name: string): Range {
  return { prefix: parsePrefix(cidr) as IpPrefix, name };
}
