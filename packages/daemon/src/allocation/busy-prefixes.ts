import { formatPrefix, type IpPrefix } from '@heddle/proto/ip/prefix';
import { isDefaultPrefix, parseClaimedPrefix } from '../plan/claimed-prefix.ts';
import type { TeamClaims } from '../plan/claims.ts';
import { quote } from '../plan/finding.ts';
import type { HostFacts, ReservedSubnet } from '../plan/host-facts.ts';
import { type Opponent, Surroundings, type UnreadablePrefix } from '../plan/surroundings.ts';
import { KNOWN_POOLS } from './known-pools.ts';

/** Where a busy prefix was found, the more telling first: a link shows what a team or heddle has once more. */
export type BusySource = 'reserved' | 'team' | 'address' | 'route' | 'pool';

/** A prefix that somebody uses, or may come to use. */
export interface BusyPrefix {
  readonly prefix: IpPrefix;
  /**
   * `network`: its addresses are in use. `route`: it merely leads somewhere, so a narrower network may be cut into it, and
   * none may be put around it. `hint`: nobody has to have it now.
   */
  readonly kind: 'network' | 'route' | 'hint';
  readonly source: BusySource;
  /** For people: `network 10.1.0.0/16 of link "eth0"`. */
  readonly whose: string;
}

/** What the machine, the teams and heddle itself use. Default routes and halves of them are never in it. */
export interface BusyPrefixes {
  /** Of kind `network`: given to nobody, and refused when asked for. */
  readonly hard: readonly BusyPrefix[];
  /** Of the other kinds: avoided as long as there is something else. */
  readonly soft: readonly BusyPrefix[];
  /** What is in use but cannot be compared with anything. */
  readonly unreadable: readonly UnreadablePrefix[];
}

/** Where {@link readBusyPrefixes} looks. */
export interface BusySources {
  readonly host: HostFacts;
  /** All that are configured, running or not. */
  readonly teams: readonly TeamClaims[];
  /** What heddle has given away, also what is not in the kernel yet; the name is that of the link. */
  readonly own: readonly ReservedSubnet[];
}

/** Collects what is busy. The same facts may come from several sources; that does no harm. */
export function readBusyPrefixes({ host, teams, own }: BusySources): BusyPrefixes {
  const surroundings = new Surroundings({ ...host, reservedSubnets: [...host.reservedSubnets, ...own] });
  for (const claims of teams) surroundings.add(claims);
  const hard: BusyPrefix[] = [];
  const soft: BusyPrefix[] = [];
  for (const opponent of surroundings.opponents) {
    if (isDefaultPrefix(opponent.claimed.prefix)) continue;
    const one = new OpponentPrefix(opponent);
    (one.kind === 'network' ? hard : soft).push(one);
  }
  soft.push(...POOLS);
  return { hard, soft, unreadable: surroundings.unreadable };
}

const POOLS: readonly BusyPrefix[] = KNOWN_POOLS.flatMap(({ cidr, name }) => {
  const claimed = parseClaimedPrefix(cidr, true);
  if (claimed === undefined) return [];
  return [{ prefix: claimed.prefix, kind: 'hint', source: 'pool', whose: `default network ${cidr} of ${name}` }];
});

/** Of tens of thousands hardly one is told to people: the text is made when somebody asks for it. */
class OpponentPrefix implements BusyPrefix {
  readonly prefix: IpPrefix;
  readonly kind: BusyPrefix['kind'];
  readonly source: BusySource;
  readonly #opponent: Opponent;
  #whose: string | undefined;

  constructor(opponent: Opponent) {
    this.prefix = opponent.claimed.prefix;
    this.kind = kindOf(opponent);
    this.source = opponent.kind;
    this.#opponent = opponent;
  }

  get whose(): string {
    this.#whose ??= describe(this.#opponent);
    return this.#whose;
  }
}

function kindOf(opponent: Opponent): BusyPrefix['kind'] {
  // A team without device has nothing in the kernel; it may get one, and people know its hosts by these addresses.
  if (opponent.kind === 'team' && !opponent.claims.wantsDevice) return 'hint';
  return opponent.claimed.isRoute ? 'route' : 'network';
}

function describe(opponent: Opponent): string {
  const text = formatPrefix(opponent.claimed.prefix);
  if (opponent.kind === 'reserved') return `subnet ${text} of ${quote(opponent.name)}`;
  if (opponent.kind === 'address') return `network ${text} of link ${quote(opponent.link)}`;
  if (opponent.kind === 'team') {
    return `${opponent.claimed.isRoute ? 'route' : 'network'} ${text} of team ${quote(opponent.claims.team)}`;
  }
  const link = opponent.link === '' ? '' : ` of link ${quote(opponent.link)}`;
  return `route ${text}${link}${opponent.gateway === '' ? '' : ` through ${quote(opponent.gateway)}`}`;
}
