import { formatPrefix, type IpPrefix } from '@heddle/proto/ip/prefix';
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
  for (const one of [...hard, ...soft]) {
    const severity = judgeMeeting(prefix, one);
    if (severity === 'refusal') refused.push(one);
    if (severity === 'warning') warned.push(one);
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
  for (const one of met.toSorted(compareBusy)) {
    if (told.some((known) => isSaidBy(one, known))) continue;
    if (told.length === SENTENCE_COUNT_MAX) {
      return [...told.slice(1).map((other) => tellOne(prefix, other)), `${formatPrefix(prefix)} overlaps still more`];
    }
    told.push(one);
  }
  return told.map((one) => tellOne(prefix, one));
}

function isSaidBy(one: BusyPrefix, known: BusyPrefix): boolean {
  if (!hasOverlap(one.prefix, known.prefix)) return false;
  return known.kind === 'network' ? known.prefix.bits <= one.prefix.bits : known.prefix.bits === one.prefix.bits;
}

function compareBusy(a: BusyPrefix, b: BusyPrefix): number {
  const byPlace = SOURCE_RANK[a.source] - SOURCE_RANK[b.source] || a.prefix.bits - b.prefix.bits;
  return byPlace || compareText(a.whose, b.whose);
}

function tellOne(prefix: IpPrefix, one: BusyPrefix): string {
  return `${formatPrefix(prefix)} ${relate(prefix, one.prefix)} ${one.whose}`;
}

function relate(prefix: IpPrefix, other: IpPrefix): string {
  if (prefix.bits === other.bits) return 'is the same as';
  return prefix.bits > other.bits ? 'lies inside' : 'contains';
}
