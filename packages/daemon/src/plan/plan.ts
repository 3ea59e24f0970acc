/**
 * Whether a team can come up beside what is there, and with which device and ports: decided before anything is started.
 *
 * Prefixes that overlap are refused, by the tables in claims.ts; device names and ports move, and the caller remembers
 * where to. The same facts, in whatever order, give the same plan.
 */

import type { RememberedChoice, TeamClaims } from './claims.ts';
import { chooseDevice, findOwnDevices } from './device-choice.ts';
import { arrangeFindings, type Finding } from './finding.ts';
import type { HostFacts } from './host-facts.ts';
import { findOverlaps } from './overlap-findings.ts';
import { planPorts } from './port-findings.ts';
import { Reservations } from './reservations.ts';
import { Surroundings } from './surroundings.ts';

/** What a team may take. A refused one gets nothing; its findings say why. */
export interface Plan {
  readonly kind: 'clear' | 'refused';
  /** Absent when the team needs none. */
  readonly device?: string;
  /** UDP; 0: any. */
  readonly listenPort?: number;
  /** TCP; 0: any. Absent when the team has no proxy. */
  readonly proxyPort?: number;
  /** The worst first, at most 50. */
  readonly findings: readonly Finding[];
}

/**
 * Plans the start of one team.
 *
 * @param running Teams that are up, with what they really have; the team itself may be among them, for a restart.
 * @param host Read after the last team came up.
 * @param remembered What earlier plans gave to the team.
 */
export function planStart(
  team: TeamClaims,
  running: readonly TeamClaims[],
  host: HostFacts,
  remembered: RememberedChoice,
): Plan {
  const surroundings = new Surroundings(host);
  for (const claims of running) surroundings.add(claims);
  return planWithin(surroundings, team, remembered, new Reservations());
}

/** As {@link planStart}, in surroundings that are read already. */
export function planWithin(
  surroundings: Surroundings,
  team: TeamClaims,
  remembered: RememberedChoice,
  reservations: Reservations,
): Plan {
  const overlaps = findOverlaps(team, surroundings, findOwnDevices(team, surroundings, remembered));
  const { device, finding } = chooseDevice(team, surroundings, remembered, reservations);
  const ports = planPorts(team, surroundings, remembered, reservations);
  const all = [...overlaps, ...(finding === undefined ? [] : [finding]), ...ports.findings];
  if (all.some(({ severity }) => severity === 'refusal')) {
    // A refused team has moved nowhere.
    return { kind: 'refused', findings: arrangeFindings(all.filter(({ severity }) => severity !== 'moved')) };
  }
  return {
    kind: 'clear',
    ...(device === undefined ? {} : { device }),
    ...(ports.listenPort === undefined ? {} : { listenPort: ports.listenPort }),
    ...(ports.proxyPort === undefined ? {} : { proxyPort: ports.proxyPort }),
    findings: arrangeFindings(all),
  };
}
