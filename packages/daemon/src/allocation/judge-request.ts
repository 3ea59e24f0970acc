import { formatPrefix, type IpPrefix, parsePrefix } from '@heddle/proto/ip/prefix';
import { hasOverlap, judgeOverlap } from '../plan/claimed-prefix.ts';
import { compareText } from '../plan/finding.ts';
import type { BusyPrefix, BusyPrefixes, BusySource } from './busy-prefixes.ts';

/** Sentences for people. Without a refusal the network may be made; the warnings then go with the answer. */
export interface Judgement {
  readonly refusals: readonly string[];
  readonly warnings: readonly string[];
}

/** Most sentences of one kind; a wide network may meet everything. */
export const SENTENCE_COUNT_MAX = 8;

const SOURCE_RANK: Readonly<Record<BusySource, number>> = { reserved: 0, team: 1, address: 2, route: 3, pool: 4 };

/**
 * Judges a network that somebody asks for by name, by the table in `plan/claims.ts`; for this machine it is a network, not
 * a route. So a route through a gateway is refused when it leads to the same or into it, and only warned of when wider.
 *
 * @param prefix Host bits clear.
 */
export function judgeRequest(prefix: IpPrefix, { hard, soft }: BusyPrefixes): Judgement {
  const refused: BusyPrefix[] = [];
  const warned: BusyPrefix[] = [];
  for (const list of [hard, soft]) {
    for (const one of list) {
      const severity = judgeMeeting(prefix, one);
      if (severity === 'refusal') refused.push(one);
      if (severity === 'warning') warned.push(one);
    }
  }
  return { refusals: tell(prefix, refused), warnings: tell(prefix, warned) };
}

function judgeMeeting(prefix: IpPrefix, { prefix: other, kind }: BusyPrefix): 'refusal' | 'warning' | undefined {
  if (kind === 'hint') return hasOverlap(prefix, other) ? 'warning' : undefined;
  return judgeOverlap({ prefix, isRoute: false }, { prefix: other, isRoute: kind === 'route' });
}

/** One sentence for each network or route: its addresses and the kernel's own entries for them say nothing new. */
function tell(prefix: IpPrefix, met: readonly BusyPrefix[]): readonly string[] {
  const told: BusyPrefix[] = [];
  for (;;) {
    const next = listNext(met, told);
    for (const one of next) {
      if (isSaid(one, told)) continue;
      if (told.length === SENTENCE_COUNT_MAX) {
        const sentences = told.slice(0, -1).map((other) => tellOne(prefix, other));
        return [...sentences, `${formatPrefix(prefix)} overlaps still more`];
      }
      told.push(one);
    }
    if (next.length < NEXT_COUNT_MAX) return told.map((one) => tellOne(prefix, one));
  }
}

const NEXT_COUNT_MAX = SENTENCE_COUNT_MAX + 1;

/**
 * Lists what is to be told next, in order, at most {@link NEXT_COUNT_MAX}; of the same prefix and source the first by
 * text. A wide network meets tens of thousands, so they are not all sorted, and few of their texts are made.
 */
function listNext(met: readonly BusyPrefix[], told: readonly BusyPrefix[]): readonly BusyPrefix[] {
  const next: BusyPrefix[] = [];
  for (const one of met) {
    let at = next.length;
    let order = 1;
    for (; at > 0; at--) {
      order = compareBusy(one, next[at - 1] as BusyPrefix);
      if (order >= 0) break;
    }
    if (at === NEXT_COUNT_MAX || isSaid(one, told)) continue;
    const equal = order === 0 ? next[at - 1] : undefined;
    if (equal === undefined) {
      next.splice(at, 0, one);
      if (next.length > NEXT_COUNT_MAX) next.pop();
    } else if (compareText(one.whose, equal.whose) < 0) next[at - 1] = one;
  }
  return next;
}

function isSaid(one: BusyPrefix, told: readonly BusyPrefix[]): boolean {
  return told.some((known) => isSaidBy(one, known));
}

function isSaidBy(one: BusyPrefix, known: BusyPrefix): boolean {
  if (!hasOverlap(one.prefix, known.prefix)) return false;
  return known.kind === 'network' ? known.prefix.bits <= one.prefix.bits : known.prefix.bits === one.prefix.bits;
}

/** Zero also for different ones of the same prefix and source: their texts then decide. */
function compareBusy(a: BusyPrefix, b: BusyPrefix): number {
  const byRank = SOURCE_RANK[a.source] - SOURCE_RANK[b.source] || a.prefix.bits - b.prefix.bits;
  return byRank || compareBytes(a.prefix.address.bytes, b.prefix.address.bytes);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let at = 0; at < a.length; at++) {
    const difference = (a[at] as number) - (b[at] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

function tellOne(prefix: IpPrefix, one: BusyPrefix): string {
  return `${formatPrefix(prefix)} ${relate(prefix, one.prefix)} ${one.whose}`;
}

function relate(prefix: IpPrefix, other: IpPrefix): string {
  if (prefix.bits === other.bits) return 'is the same as';
  return prefix.bits > other.bits ? 'lies inside' : 'contains';
}

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
