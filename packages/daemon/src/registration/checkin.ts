import { finishPendingInstall } from './node-install.ts';
import { chooseTeams, openTeam, refuseRevoked, type TeamChoice } from './open-team.ts';
import type { TeamFolder } from './team-folder.ts';
import { forEachTeam, formatFailure, type TeamFailure } from './team-report.ts';
import type { TeamWorld } from './team-world.ts';

export type CheckinOutcome =
  | { readonly kind: 'checked-in'; readonly team: string; readonly lastCheckin: string | undefined }
  /** Dry run: nothing was sent. */
  | { readonly kind: 'would-check-in'; readonly team: string }
  | TeamFailure;

/**
 * Sends one heartbeat for each team. It never judges: a refusal is a failure here, and a revocation only in `check-auth`.
 * @throws {RegistrationError} when no team can be chosen; failures of single teams are outcomes.
 */
export async function checkin(teams: TeamChoice, world: TeamWorld): Promise<readonly CheckinOutcome[]> {
  return forEachTeam<CheckinOutcome>(chooseTeams(world, teams), (folder) => checkinTeam(folder, world));
}

async function checkinTeam(folder: TeamFolder, world: TeamWorld): Promise<CheckinOutcome> {
  refuseRevoked(folder);
  if (!world.isDryRun) await finishPendingInstall(folder, world.keyring);
  const { api, node } = await openTeam(world, folder);
  if (world.isDryRun) return { kind: 'would-check-in', team: folder.team };
  const { lastCheckin } = await api.checkin(node, world.uptimeSeconds());
  return { kind: 'checked-in', team: folder.team, lastCheckin };
}

/** For people. */
export function formatCheckin(outcomes: readonly CheckinOutcome[]): string {
  return outcomes.map((outcome) => `${formatOutcome(outcome)}\n`).join('');
}

function formatOutcome(outcome: CheckinOutcome): string {
  switch (outcome.kind) {
    case 'failed':
      return formatFailure(outcome);
    case 'would-check-in':
      return `${outcome.team}: would check in`;
    case 'checked-in':
      return `${outcome.team}: checked in${outcome.lastCheckin === undefined ? '' : ` at ${outcome.lastCheckin}`}`;
  }
}
