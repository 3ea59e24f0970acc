import type { NodePackage } from './api-answers.ts';
import { parseConfigYaml } from './config-yaml.ts';
import { type Credentials, readCredentials } from './credentials.ts';
import { finishWithLock, installNode } from './node-install.ts';
import { chooseTeams, type OpenTeam, openTeam, refuseRevoked, type TeamChoice, unknownTeam } from './open-team.ts';
import { RegistrationError } from './registration-error.ts';
import { keepAside, readCopyText, readTeamFile, type TeamFileName } from './team-files.ts';
import { checkTeamFolder, type TeamFolder, withTeamLock } from './team-folder.ts';
import { forEachTeam, formatFailure, type TeamFailure } from './team-report.ts';
import type { TeamWorld } from './team-world.ts';

export interface SyncConfigOptions {
  readonly teams: TeamChoice;
  /** Judges a configuration before it replaces the good one, `nebula -test` for example; a rejection keeps the old. */
  readonly verify: ((team: string, configYaml: string) => Promise<void>) | undefined;
  /** Makes a running team take the new files; called only when something changed. */
  readonly reload: ((team: string) => Promise<void>) | undefined;
}

export type SyncOutcome =
  | { readonly kind: 'unchanged'; readonly team: string; readonly expiration: string | undefined }
  | {
      readonly kind: 'changed';
      readonly team: string;
      /** In a dry run: what would change. */
      readonly files: readonly TeamFileName[];
      readonly expiration: string | undefined;
      /** Where a configuration that somebody had edited by hand is kept. */
      readonly editedPath: string | undefined;
      /** Why the team could not be reloaded; the files are in place all the same. */
      readonly reloadFailure: string | undefined;
      readonly isDryRun: boolean;
    }
  | TeamFailure;

/**
 * Fetches what the server has for each team now, and replaces the files when that is something new. A configuration
 * edited by hand stays as long as the server has nothing new, and is kept beside the new one then.
 * @throws {RegistrationError} when no team can be chosen; failures of single teams are outcomes.
 */
export async function syncConfig(options: SyncConfigOptions, world: TeamWorld): Promise<readonly SyncOutcome[]> {
  return forEachTeam<SyncOutcome>(chooseTeams(world, options.teams), (folder) => syncTeam(folder, options, world));
}

/** For people. */
export function formatSyncConfig(outcomes: readonly SyncOutcome[]): string {
  return outcomes.map((outcome) => `${formatOutcome(outcome)}\n`).join('');
}

function formatOutcome(outcome: SyncOutcome): string {
  switch (outcome.kind) {
    case 'failed':
      return formatFailure(outcome);
    case 'unchanged':
      return `${outcome.team}: up to date`;
    case 'changed': {
      const parts = [`${outcome.team}: ${outcome.isDryRun ? 'would change' : 'changed'} ${outcome.files.join(', ')}`];
      if (outcome.editedPath !== undefined) parts.push(`your edited configuration is "${outcome.editedPath}"`);
      if (outcome.reloadFailure !== undefined) parts.push(`the team was not reloaded: ${outcome.reloadFailure}`);
      return parts.join('; ');
    }
  }
}

async function syncTeam(folder: TeamFolder, options: SyncConfigOptions, world: TeamWorld): Promise<SyncOutcome> {
  checkTeamFolder(folder);
  if (world.isDryRun) return compareOnly(folder, world);
  if (readTeamFile(folder, '.pending.json') === undefined && readCredentials(folder) === undefined) {
    throw unknownTeam(folder);
  }
  const outcome = await withTeamLock(folder, () => replaceChanged(folder, options, world));
  if (outcome.kind !== 'changed' || options.reload === undefined) return outcome;
  try {
    await options.reload(folder.team);
    return outcome;
  } catch (error) {
    return { ...outcome, reloadFailure: error instanceof Error ? error.message : String(error) };
  }
}

async function compareOnly(folder: TeamFolder, world: TeamWorld): Promise<SyncOutcome> {
  refuseRevoked(folder);
  const node = await download(await openTeam(world, folder));
  const files = changedFiles(folder, node);
  if (files.length === 0) return unchanged(folder, node);
  return { ...changed(folder, node, files), isDryRun: true };
}

async function replaceChanged(
  folder: TeamFolder,
  options: SyncConfigOptions,
  world: TeamWorld,
): Promise<Exclude<SyncOutcome, TeamFailure>> {
  const isResumed = await finishWithLock(folder, world.keyring);
  refuseRevoked(folder);
  const open = await openTeam(world, folder);
  const node = await download(open);
  const files = changedFiles(folder, node);
  // A resumed installation changed files that the running team has not seen.
  if (files.length === 0) return isResumed ? changed(folder, node, ['config.yml']) : unchanged(folder, node);
  const keepsConfig = !files.includes('config.yml');
  if (!keepsConfig) await options.verify?.(folder.team, node.configYaml);
  const editedPath = keepsConfig ? undefined : keepEdited(folder);
  const credentials = renewed(open.credentials, node);
  await installNode({ folder, keyring: world.keyring, credentials, newToken: undefined, node, keepsConfig });
  return { ...changed(folder, node, files), editedPath };
}

async function download({ api, node, credentials }: OpenTeam): Promise<NodePackage> {
  const found = await api.downloadConfig(node);
  if (found.nodeId === credentials.node_id) return found;
  const message = `The server sent the configuration of node ${found.nodeId}, this is node ${credentials.node_id}`;
  throw new RegistrationError('registration/bad-answer', message);
}

function renewed(credentials: Credentials, node: NodePackage): Credentials {
  return {
    ...credentials,
    nebula_ip: node.nebulaIp,
    is_lighthouse: node.isLighthouse,
    expiration: node.expiration ?? null,
  };
}

function changedFiles(folder: TeamFolder, node: NodePackage): readonly TeamFileName[] {
  const parts: readonly (readonly [TeamFileName, string])[] = [
    ['node.key', node.key],
    ['node.crt', node.certificate],
    ['ca.crt', node.caCertificate],
  ];
  const files = parts.filter(([name, text]) => readTeamFile(folder, name) !== text).map(([name]) => name);
  return hasNewConfig(folder, node.configYaml) ? [...files, 'config.yml'] : files;
}

/** The copy is what the server sent last; the file may have been edited since. */
function hasNewConfig(folder: TeamFolder, fetched: string): boolean {
  const current = readTeamFile(folder, 'config.yml');
  if (current === fetched) return false;
  const isUsable = current !== undefined && parseConfigYaml(current) !== undefined;
  return !isUsable || readCopyText(folder, 'config.yml') !== fetched;
}

function keepEdited(folder: TeamFolder): string | undefined {
  const current = readTeamFile(folder, 'config.yml');
  const copy = readCopyText(folder, 'config.yml');
  if (current === undefined || copy === undefined || current === copy) return undefined;
  return keepAside(folder, 'config.yml', '.edited', current);
}

function unchanged({ team }: TeamFolder, { expiration }: NodePackage): Extract<SyncOutcome, { kind: 'unchanged' }> {
  return { kind: 'unchanged', team, expiration };
}

function changed(
  { team }: TeamFolder,
  { expiration }: NodePackage,
  files: readonly TeamFileName[],
): Extract<SyncOutcome, { kind: 'changed' }> {
  return { kind: 'changed', team, files, expiration, editedPath: undefined, reloadFailure: undefined, isDryRun: false };
}
