/**
 * What an installation or a removal does, as data: the installer executes it, a dry run prints it.
 */

import { posix } from 'node:path';
import { SERVICE_DEFAULTS, type ServiceDescription } from './description.ts';
import { renderLaunchdPlists } from './launchd-plist.ts';
import type { Command } from './service-command-line.ts';
import { checkFolder, type MissingFolder } from './systemd-sandbox.ts';
import { listMissingFolders, renderSystemdUnits } from './systemd-unit.ts';
import { listUnits, type ServiceIdentity, type ServiceManager, type UnitName } from './unit-names.ts';

export interface ServiceFile extends UnitName {
  readonly text: string;
}

export interface ServicePlan {
  readonly manager: ServiceManager;
  readonly files: readonly ServiceFile[];
  readonly folders: readonly MissingFolder[];
  /** What has to be there for the service to run. */
  readonly programs: readonly string[];
}

/** One command of a service manager. */
export interface ServiceStep {
  readonly command: Command;
  /** Failures that do not matter: none, that the unit is not there, or any. */
  readonly tolerates: 'nothing' | 'missing' | 'anything';
  /** True where the manager may still be busy with what was there before. */
  readonly isRetried: boolean;
}

/**
 * Plans an installation.
 * @throws {TailnetError} `service/bad-path` for a path that hardening hides or that belongs to the system.
 */
export function planService(description: ServiceDescription, manager: ServiceManager): ServicePlan {
  const units = listUnits(description, manager);
  const texts = manager === 'systemd' ? renderSystemdUnits(description) : renderLaunchdPlists(description);
  const { nodePath, command } = description;
  const nebulaBinary = description.mode === 'interfaces' ? undefined : description.nebulaBinary;
  return {
    manager,
    files: units.map((unit, i) => ({ ...unit, text: texts[i]?.text ?? '' })),
    folders: manager === 'systemd' ? listMissingFolders(description) : [],
    programs: [nodePath, command, ...(nebulaBinary === undefined ? [] : [nebulaBinary])],
  };
}

/** The commands that start a service whose files are written. `isUpdate`: other files were there before. */
export function listStartSteps(
  manager: ServiceManager,
  units: readonly UnitName[],
  isUpdate: boolean,
): readonly ServiceStep[] {
  if (manager === 'launchd') return units.flatMap(launchdStart);
  const started = namesOf(units.filter(({ role }) => role !== 'check'));
  const reload = step(['systemctl', 'daemon-reload']);
  if (!isUpdate) return [reload, step(['systemctl', 'enable', '--now', ...started])];
  return [reload, step(['systemctl', 'enable', ...started]), step(['systemctl', 'restart', ...started])];
}

/** The commands that stop a service, before its files are removed. */
export function listStopSteps(manager: ServiceManager, units: readonly UnitName[]): readonly ServiceStep[] {
  if (manager === 'launchd')
    return units.map(({ name }) => tolerant('missing', ['launchctl', 'bootout', target(name)]));
  // The timer first, so that it starts no check in between.
  const enabled = namesOf(units.filter(({ role }) => role !== 'check').reverse());
  const checks = namesOf(units.filter(({ role }) => role === 'check'));
  return [
    ...(enabled.length === 0 ? [] : [tolerant('missing', ['systemctl', 'disable', '--now', ...enabled])]),
    ...(checks.length === 0 ? [] : [tolerant('missing', ['systemctl', 'stop', ...checks])]),
  ];
}

/** The commands after the files were removed. */
export function listForgetSteps(manager: ServiceManager, units: readonly UnitName[]): readonly ServiceStep[] {
  if (manager === 'launchd' || units.length === 0) return [];
  return [
    step(['systemctl', 'daemon-reload']),
    tolerant('anything', ['systemctl', 'reset-failed', ...namesOf(units.filter(({ role }) => role !== 'timer'))]),
  ];
}

/** The command that makes a folder. One that exists keeps its mode. */
export function makeFolderStep({ path, mode }: MissingFolder): ServiceStep {
  return step(['mkdir', '-p', '-m', mode, '--', path]);
}

/** A service whose configuration outlives it. */
export type TeamsIdentity = Exclude<ServiceIdentity, { mode: 'interfaces' }>;

export type PurgePaths = Pick<Extract<ServiceDescription, { mode: 'desktop' }>, 'configRoot' | 'stateDbPath'>;

/**
 * What a purge removes with all that is in it: of a team its folder below the config root, else the whole config root and
 * the state. The folder around a state database goes only when it is the default one, which is ours alone.
 * @throws {TailnetError} `service/bad-path` when that would be a folder of the system.
 */
export function listPurgedPaths(
  identity: TeamsIdentity,
  paths: PurgePaths,
  isFolderShared: boolean,
): readonly string[] {
  checkFolder(paths.configRoot);
  if (identity.mode === 'server') return [posix.join(paths.configRoot, identity.team)];
  checkFolder(posix.dirname(paths.stateDbPath));
  const folder = posix.dirname(paths.stateDbPath);
  if (paths.stateDbPath !== SERVICE_DEFAULTS.stateDbPath) return [paths.configRoot, paths.stateDbPath];
  if (isFolderShared) return [paths.configRoot, paths.stateDbPath, posix.join(folder, 'teams')];
  return [paths.configRoot, folder];
}

// A job that was disabled by hand stays so over bootout and fails to load; one that is loaded fails to load again.
function launchdStart({ name, path }: UnitName): readonly ServiceStep[] {
  return [
    tolerant('missing', ['launchctl', 'bootout', target(name)]),
    step(['launchctl', 'enable', target(name)]),
    { ...step(['launchctl', 'bootstrap', 'system', path]), isRetried: true },
  ];
}

function target(label: string): string {
  return `system/${label}`;
}

function namesOf(units: readonly UnitName[]): readonly string[] {
  return units.map(({ name }) => name);
}

function step(command: Command): ServiceStep {
  return { command, tolerates: 'nothing', isRetried: false };
}

function tolerant(tolerates: ServiceStep['tolerates'], command: Command): ServiceStep {
  return { command, tolerates, isRetried: false };
}
