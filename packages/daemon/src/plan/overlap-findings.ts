import { formatPrefix } from '@heddle/proto/ip/prefix';
import { type ClaimedPrefix, hasOverlap, isDefaultPrefix, judgeOverlap } from './claimed-prefix.ts';
import type { TeamClaims } from './claims.ts';
import { compareFindings, type Finding, quote } from './finding.ts';
import { type Opponent, readTeamPrefixes, type Surroundings, type UnreadablePrefix } from './surroundings.ts';

type RouteOpponent = Extract<Opponent, { kind: 'route' }>;

/**
 * Finds what the prefixes of a team meet, by the tables in claims.ts: of each prefix and each other side the worst.
 *
 * @param ownDevices Links whose addresses and routes are the team's own.
 */
export function findOverlaps(
  team: TeamClaims,
  surroundings: Surroundings,
  ownDevices: ReadonlySet<string>,
): readonly Finding[] {
  const { claimed, unreadable } = readTeamPrefixes(team);
  const findings = unreadable.map((text) => describeUnreadable(team, text));
  if (claimed.length === 0) return findings;
  const worst = new Map<string, Meeting>();
  for (const opponent of surroundings.opponents) {
    if (isOwn(opponent, team, ownDevices)) continue;
    for (const own of claimed) {
      if (!hasOverlap(own.prefix, opponent.claimed.prefix)) continue;
      const finding = meet(team, own, opponent, surroundings);
      if (finding === undefined) continue;
      const key = keyOf(finding, own, ownerOf(opponent, team, surroundings));
      const known = worst.get(key);
      const meeting = { finding, rank: RANK[opponent.kind] };
      if (known === undefined || compareMeetings(meeting, known) < 0) worst.set(key, meeting);
    }
  }
  const others = surroundings.unreadable.filter((one) => one.team !== team.team && hasKernelRoutes(team));
  return [
    ...findings,
    ...[...worst.values()].map(({ finding }) => finding),
    ...others.map((one) => describeOther(team, one)),
  ];
}

interface Meeting {
  readonly finding: Finding;
  /** Of findings that are as bad, the one that says more about the other side comes first. */
  readonly rank: number;
}

const RANK: Readonly<Record<Opponent['kind'], number>> = { team: 0, reserved: 1, address: 2, route: 3 };

function compareMeetings(a: Meeting, b: Meeting): number {
  const isAsBad = a.finding.severity === b.finding.severity;
  return (isAsBad ? a.rank - b.rank : 0) || compareFindings(a.finding, b.finding);
}

function hasKernelRoutes(team: TeamClaims): boolean {
  return team.wantsDevice;
}

function isOwn(opponent: Opponent, team: TeamClaims, ownDevices: ReadonlySet<string>): boolean {
  if (opponent.kind === 'team') return opponent.claims.team === team.team;
  return opponent.kind !== 'reserved' && ownDevices.has(opponent.link);
}

function meet(
  team: TeamClaims,
  own: ClaimedPrefix,
  opponent: Opponent,
  surroundings: Surroundings,
): Finding | undefined {
  if (opponent.kind === 'team') return meetTeam(team, own, opponent.claimed, opponent.claims);
  if (!hasKernelRoutes(team)) return undefined;
  if (opponent.kind === 'reserved') return meetHost(team, own, opponent);
  const owner = surroundings.findDeviceOwner(opponent.link, team.team);
  if (owner !== undefined) {
    const isKnown = surroundings.isClaimedBy(owner.team, opponent.claimed.prefix);
    return isKnown ? undefined : meetTeam(team, own, opponent.claimed, owner);
  }
  if (opponent.kind === 'route' && isDefaultPrefix(opponent.claimed.prefix)) return meetDefault(team, own, opponent);
  return meetHost(team, own, opponent);
}

function meetTeam(team: TeamClaims, own: ClaimedPrefix, theirs: ClaimedPrefix, other: TeamClaims): Finding | undefined {
  if (!hasKernelRoutes(team) || !hasKernelRoutes(other)) return meetUserspace(team, own, theirs, other);
  const severity = judgeOverlap(own, theirs);
  if (severity === undefined) return undefined;
  const message = `${describeOwn(team, own)} ${relate(own, theirs)} ${describe(theirs)} of team ${quote(other.team)}`;
  const next = severity === 'refusal' ? leaveTo(team, other) : nextForRoute(team, own, theirs, other.team);
  return { severity, code: 'plan/overlapping-team', message, next };
}

/** At most one of the two is in the kernel; only a tailnet in userspace is reached at all then. */
function meetUserspace(
  team: TeamClaims,
  own: ClaimedPrefix,
  theirs: ClaimedPrefix,
  other: TeamClaims,
): Finding | undefined {
  const hidden = hasKernelRoutes(team) ? other : team;
  const isMixed = hasKernelRoutes(team) !== hasKernelRoutes(other);
  if (!isMixed || hidden.kind !== 'tailnet') return undefined;
  const isReached = judgeOverlap(own, theirs) !== undefined;
  if (!isReached) return undefined;
  const sides = `${describeOwn(team, own)} ${relate(own, theirs)} ${describe(theirs)} of team ${quote(other.team)}`;
  const message = `${sides}: such an address means a host of ${quote(hidden.team)} only through its proxy and forwards`;
  const next = `nothing if programs choose by the proxy; else ${leaveTo(team, other)}`;
  return { severity: 'warning', code: 'plan/overlapping-team', message, next };
}

function meetHost(
  team: TeamClaims,
  own: ClaimedPrefix,
  opponent: Exclude<Opponent, { kind: 'team' }>,
): Finding | undefined {
  const { claimed } = opponent;
  const severity = judgeOverlap(own, claimed);
  if (severity === undefined) return undefined;
  const message = `${describeOwn(team, own)} ${relate(own, claimed)} ${describeHostSide(opponent)}`;
  const name = opponent.kind === 'reserved' ? opponent.name : opponent.link;
  const next =
    severity === 'warning' ? nextForRoute(team, own, claimed, name) : `${change(team, own)}; or ${free(opponent)}`;
  return { severity, code: codeOf(opponent), message, next };
}

/** Every machine has a way out, and every network lies inside it. */
function meetDefault(team: TeamClaims, own: ClaimedPrefix, opponent: RouteOpponent): Finding | undefined {
  if (!isDefaultPrefix(own.prefix)) return undefined;
  return {
    severity: 'warning',
    code: 'plan/replaces-default-route',
    message: `${describeOwn(team, own)} takes the place of default ${describeHostSide(opponent)}`,
    next: `keep a route of its own to each host that carries team ${quote(team.team)}, or ${change(team, own)}`,
  };
}

/** Findings with one key say the same thing; a default route is said once, not for each prefix, family and link. */
function keyOf(finding: Finding, own: ClaimedPrefix, owner: string): string {
  if (finding.code === 'plan/replaces-default-route') return finding.code;
  return `${formatPrefix(own.prefix)} ${owner}`;
}

// The link of a running team, or of a subnet, shows the same prefixes once more as addresses and routes.
function ownerOf(opponent: Opponent, { team }: TeamClaims, surroundings: Surroundings): string {
  if (opponent.kind === 'team') return `team ${opponent.claims.team}`;
  if (opponent.kind === 'reserved') return `reserved ${opponent.name}`;
  const other = surroundings.findDeviceOwner(opponent.link, team)?.team;
  if (other !== undefined) return `team ${other}`;
  const reserved = surroundings.reservedByLink.get(opponent.link);
  return reserved === undefined ? `link ${opponent.link}` : `reserved ${reserved}`;
}

function codeOf(opponent: Exclude<Opponent, { kind: 'team' }>): Finding['code'] {
  if (opponent.kind === 'reserved') return 'plan/reserved-subnet';
  return opponent.kind === 'address' ? 'plan/overlapping-address' : 'plan/overlapping-route';
}

function describe(claimed: ClaimedPrefix): string {
  return `${claimed.isRoute ? 'route' : 'network'} ${formatPrefix(claimed.prefix)}`;
}

function describeOwn(team: TeamClaims, own: ClaimedPrefix): string {
  return `${own.isRoute ? 'Route' : 'Network'} ${formatPrefix(own.prefix)} of team ${quote(team.team)}`;
}

function describeHostSide(opponent: Exclude<Opponent, { kind: 'team' }>): string {
  const text = formatPrefix(opponent.claimed.prefix);
  if (opponent.kind === 'reserved') return `subnet ${text} of ${quote(opponent.name)}`;
  if (opponent.kind === 'address') return `network ${text} of link ${quote(opponent.link)}`;
  const link = opponent.link === '' ? '' : ` of link ${quote(opponent.link)}`;
  return `route ${text}${link}${opponent.gateway === '' ? '' : ` through ${quote(opponent.gateway)}`}`;
}

function relate(own: ClaimedPrefix, other: ClaimedPrefix): string {
  if (own.prefix.bits === other.prefix.bits) return 'is the same as';
  return own.prefix.bits > other.prefix.bits ? 'lies inside' : 'contains';
}

function leaveTo(team: TeamClaims, other: TeamClaims): string {
  return `run this one alone: heddle switch ${team.team}; or stop the other first: heddle down ${other.team}`;
}

function nextForRoute(team: TeamClaims, own: ClaimedPrefix, theirs: ClaimedPrefix, other: string): string {
  const isOwnWider = own.prefix.bits < theirs.prefix.bits;
  const [narrow, winner] = isOwnWider ? [theirs, other] : [own, team.team];
  return `nothing if ${formatPrefix(narrow.prefix)} may lead to ${quote(winner)}; else ${change(team, own)}`;
}

/** What the owner of the team can change. */
function change(team: TeamClaims, own: ClaimedPrefix): string {
  if (own.isRoute) return `remove the route from the configuration of ${quote(team.team)}`;
  if (team.kind === 'tailnet') return `run ${quote(team.team)} without a device`;
  return `give ${quote(team.team)} another network (new certificates)`;
}

function free(opponent: Exclude<Opponent, { kind: 'team' }>): string {
  const text = formatPrefix(opponent.claimed.prefix);
  if (opponent.kind === 'reserved') return `give up the subnet, if it is one of heddle: heddle subnet delete ${text}`;
  return opponent.kind === 'address'
    ? `renumber link ${quote(opponent.link)}`
    : `remove the route ${text} of the machine`;
}

function describeUnreadable(team: TeamClaims, text: string): Finding {
  return {
    severity: 'refusal',
    code: 'plan/bad-prefix',
    message: `${quote(text)} of team ${quote(team.team)} is not an address with bits as in 10.42.0.0/24`,
    next: `correct it in the configuration or the certificate of ${quote(team.team)}`,
  };
}

function describeOther(team: TeamClaims, { text, owner }: UnreadablePrefix): Finding {
  return {
    severity: 'warning',
    code: 'plan/bad-prefix',
    message: `${quote(text)} of ${owner} cannot be read, so it was not compared with team ${quote(team.team)}`,
    next: 'look at it, and start the team only if it does not overlap',
  };
}
