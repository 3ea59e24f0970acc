/**
 * Are the credentials of a team still good? A heartbeat tells: a success is a yes, 401, 403 and 404 are a no, everything
 * else says nothing and changes nothing.
 *
 * ```
 * no breadcrumb ──2xx──▶ good                     no breadcrumb ──5xx, network, anything else──▶ unclear, team untouched
 * no breadcrumb ──401/403/404──▶ write auth-revoked.json, stop the team
 * breadcrumb ──▶ the server is not asked; stop the team again, in case that failed before
 * ```
 */

import { STATUS_CODES } from 'node:http';
import type { NodeId } from './api-answers.ts';
import { formatJson, type Revocation, readCredentials } from './credentials.ts';
import { finishPendingInstall } from './node-install.ts';
import { chooseTeams, openTeam, readRevocation, type TeamChoice } from './open-team.ts';
import { type ExitClass, RegistrationError } from './registration-error.ts';
import { writeTeamFile } from './team-files.ts';
import { type TeamFolder, withTeamLock } from './team-folder.ts';
import { exitClassOf, forEachTeam, formatFailure, type TeamFailure } from './team-report.ts';
import type { TeamWorld } from './team-world.ts';

export interface CheckAuthOptions {
  readonly teams: TeamChoice;
  /** Stops the team or its unit; a team that is stopped already is a success. */
  readonly stopTeam: (team: string) => Promise<void>;
}

export type AuthOutcome =
  | { readonly kind: 'good'; readonly team: string; readonly lastCheckin: string | undefined }
  | {
      readonly kind: 'revoked';
      readonly team: string;
      /** False when an earlier check found it. */
      readonly isNew: boolean;
      /** `401 Unauthorized`; `undefined` when the breadcrumb does not say. */
      readonly reason: string | undefined;
      readonly revokedAt: string | undefined;
      /** Why the team may still be running. */
      readonly stopFailure: string | undefined;
      /** Why the breadcrumb could not be written: the next check asks the server again. */
      readonly writeFailure: string | undefined;
    }
  /** The server did not say yes or no: the team goes on. */
  | { readonly kind: 'unclear'; readonly team: string; readonly error: RegistrationError }
  /** Nothing was asked: the team's own files are in the way. */
  | TeamFailure;

const REVOKED_STATUSES: ReadonlySet<number> = new Set([401, 403, 404]);

/**
 * Checks each team.
 * @throws {RegistrationError} when no team can be chosen; failures of single teams are outcomes.
 */
export async function checkAuth(options: CheckAuthOptions, world: TeamWorld): Promise<readonly AuthOutcome[]> {
  return forEachTeam<AuthOutcome>(chooseTeams(world, options.teams), (folder) => checkTeam(folder, options, world));
}

/** Revoked before failed before unclear; `undefined` when every team is good. */
export function exitClassOfCheckAuth(outcomes: readonly AuthOutcome[]): ExitClass | undefined {
  if (outcomes.some(({ kind }) => kind === 'revoked')) return 'auth';
  return exitClassOf(outcomes) ?? outcomes.find((outcome) => outcome.kind === 'unclear')?.error.exit;
}

/** For people. */
export function formatCheckAuth(outcomes: readonly AuthOutcome[]): string {
  return outcomes.map((outcome) => `${formatOutcome(outcome)}\n`).join('');
}

function formatOutcome(outcome: AuthOutcome): string {
  switch (outcome.kind) {
    case 'failed':
      return formatFailure(outcome);
    case 'good':
      return `${outcome.team}: good`;
    case 'unclear':
      return `${outcome.team}: unclear, left as it is: ${outcome.error.message} [${outcome.error.code}]`;
    case 'revoked': {
      const since = outcome.revokedAt === undefined ? '' : ` since ${outcome.revokedAt}`;
      const parts = [`${outcome.team}: revoked${since} (${outcome.reason ?? 'no reason given'})`];
      parts.push(outcome.stopFailure === undefined ? 'stopped' : `NOT stopped: ${outcome.stopFailure}`);
      if (outcome.writeFailure !== undefined) parts.push(`auth-revoked.json not written: ${outcome.writeFailure}`);
      return `${parts.join(', ')}; next: delete auth-revoked.json and register anew`;
    }
  }
}

async function checkTeam(folder: TeamFolder, options: CheckAuthOptions, world: TeamWorld): Promise<AuthOutcome> {
  const known = readRevocation(folder);
  if (known !== undefined) {
    const stopFailure = world.isDryRun ? undefined : await failureOf(() => options.stopTeam(folder.team));
    const { reason, revoked_at: revokedAt } = known;
    return {
      kind: 'revoked',
      team: folder.team,
      isNew: false,
      reason,
      revokedAt,
      stopFailure,
      writeFailure: undefined,
    };
  }
  if (!world.isDryRun) await finishPendingInstall(folder, world.keyring);
  const { api, node } = await openTeam(world, folder);
  try {
    const { lastCheckin } = await api.checkin(node, world.uptimeSeconds());
    return { kind: 'good', team: folder.team, lastCheckin };
  } catch (error) {
    if (!(error instanceof RegistrationError)) throw error;
    if (error.status === undefined || !REVOKED_STATUSES.has(error.status)) {
      return { kind: 'unclear', team: folder.team, error };
    }
    return revoke(folder, options, world, { status: error.status, nodeId: node.nodeId, error });
  }
}

interface Refusal {
  readonly status: number;
  readonly nodeId: NodeId;
  readonly error: RegistrationError;
}

async function revoke(
  folder: TeamFolder,
  { stopTeam }: CheckAuthOptions,
  world: TeamWorld,
  { status, nodeId, error }: Refusal,
): Promise<AuthOutcome> {
  const { team } = folder;
  const revocation: Revocation = {
    revoked_at: new Date(world.unixMs()).toISOString(),
    reason: `${status} ${STATUS_CODES[status] ?? ''}`.trim(),
    node_id: nodeId,
  };
  let isOther = false;
  let writeFailure: string | undefined;
  let stopFailure: string | undefined;
  if (!world.isDryRun) {
    writeFailure = await failureOf(() =>
      withTeamLock(folder, async () => {
        // Somebody registered anew while the old node was being asked about.
        isOther = readCredentials(folder)?.node_id !== nodeId;
        if (!isOther) writeTeamFile(folder, 'auth-revoked.json', formatJson(revocation));
      }),
    );
    if (isOther) return { kind: 'unclear', team, error };
    stopFailure = await failureOf(() => stopTeam(team));
  }
  const { reason, revoked_at: revokedAt } = revocation;
  return { kind: 'revoked', team, isNew: true, reason, revokedAt, stopFailure, writeFailure };
}

/** One half of a revocation must not keep the other from happening. */
async function failureOf(run: () => Promise<void>): Promise<string | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
