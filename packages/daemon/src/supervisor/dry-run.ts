import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { FoundTeam } from '../config/config-scan.ts';
import type { TeamClaims } from '../plan/claims.ts';
import type { HostFacts } from '../plan/host-facts.ts';
import { planAll } from '../plan/plan-all.ts';
import { formatPlan } from '../plan/plan-text.ts';
import type { TeamDriver } from '../team/driver.ts';
import type { DaemonOptions } from './daemon-options.ts';

export interface DryRun {
  readonly text: string;
  /** True when every team could come up. */
  readonly isClear: boolean;
}

/**
 * Says what a daemon with these flags would work with, and which of the teams it finds could come up, without the ports and
 * devices an earlier one has chosen. Changes nothing.
 * @throws {TailnetError} of a config root that cannot be read.
 */
export async function describeDryRun(
  options: DaemonOptions,
  found: readonly FoundTeam[],
  createDriver: (team: FoundTeam) => TeamDriver,
  host: HostFacts,
): Promise<DryRun> {
  const claims: TeamClaims[] = [];
  const broken: string[] = [];
  for (const team of found) {
    try {
      claims.push((await createDriver(team).inspect()).claims);
    } catch (error) {
      if (!(error instanceof TailnetError)) throw error;
      broken.push(`${team.name}: ${error.message} [${error.code}]`);
    }
  }
  const plans = planAll(claims, host, new Map());
  const head = [
    `Would listen at ${options.socketPath}`,
    `Would read teams from ${options.configRoot}`,
    `Would keep its state in ${options.stateDbPath}`,
    '',
  ];
  const lines = [...head, ...broken.map((line) => `NO  ${line}`), ...(broken.length === 0 ? [] : [''])];
  const isClear = broken.length === 0 && plans.every(({ plan }) => plan.kind === 'clear');
  return { text: `${lines.join('\n')}\n${formatPlan(plans)}`, isClear };
}
