import type { RememberedChoice, TeamClaims } from './claims.ts';
import { compareText } from './finding.ts';
import type { HostFacts } from './host-facts.ts';
import { type Plan, planWithin } from './plan.ts';
import { Reservations } from './reservations.ts';
import { Surroundings } from './surroundings.ts';

export interface TeamPlan {
  readonly team: string;
  readonly plan: Plan;
}

/**
 * Plans all teams as if they were started one after the other beside those that run, and none stopped: first those whose
 * port is fixed, then the others, each by name. Of two that do not go together the later is refused, or the one that does
 * not run. The result is sorted by name.
 *
 * @param teams All configured teams; of a running one, what it would get now.
 * @param remembered By team.
 * @param running What the running ones really have: a subset of the teams, by name.
 * @throws {RangeError} when two teams have one name.
 */
export function planAll(
  teams: readonly TeamClaims[],
  host: HostFacts,
  remembered: ReadonlyMap<string, RememberedChoice>,
  running: readonly TeamClaims[] = [],
): readonly TeamPlan[] {
  const surroundings = new Surroundings(host);
  for (const claims of running.toSorted(byName)) surroundings.add(claims);
  const isRunning = new Set(running.map(({ team }) => team));
  const rank = (claims: TeamClaims): number => (claims.isListenPortFixed ? 0 : 1);
  const inOrder = teams.toSorted((a, b) => rank(a) - rank(b) || byName(a, b));
  const reservations = reserve(inOrder, remembered);
  const plans = inOrder.map((claims) => {
    const plan = planWithin(surroundings, claims, remembered.get(claims.team) ?? {}, reservations);
    if (plan.kind === 'clear' && !isRunning.has(claims.team)) surroundings.add(withChoice(claims, plan));
    return { team: claims.team, plan };
  });
  return plans.sort(byName);
}

function reserve(teams: readonly TeamClaims[], remembered: ReadonlyMap<string, RememberedChoice>): Reservations {
  const names = new Set<string>();
  const reservations = new Reservations();
  for (const { team, forwardPorts } of teams) {
    if (names.has(team)) throw new RangeError(`two teams named "${team}"`);
    names.add(team);
    reservations.keepForwards(team, forwardPorts);
    reservations.keep(team, remembered.get(team) ?? {});
  }
  return reservations;
}

/** The claims of a team that came up by a plan. */
function withChoice(claims: TeamClaims, { device, listenPort, proxyPort }: Plan): TeamClaims {
  return { ...claims, device, listenPort, proxyPort };
}

function byName(a: { readonly team: string }, b: { readonly team: string }): number {
  return compareText(a.team, b.team);
}
