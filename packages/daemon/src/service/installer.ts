/**
 * Installs and removes a service. Both may be repeated: what is already as it should be stays, what is missing is not
 * missed. A file under one of our names that somebody else wrote is never touched.
 */

import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { reasonOf } from '../socket/socket-path.ts';
import type { Command } from './service-command-line.ts';
import {
  listForgetSteps,
  listStartSteps,
  listStopSteps,
  makeFolderStep,
  type ServiceFile,
  type ServicePlan,
} from './service-plan.ts';
import type { ServiceSystem } from './service-system.ts';
import { describeResult, runSteps, trySteps } from './step-runner.ts';
import { isOurUnit, type ServiceManager, type UnitName } from './unit-names.ts';

/** Readable for all, as both managers demand. */
export const UNIT_MODE = 0o644;

export interface Installed {
  /** Paths of files that are new or different now. */
  readonly written: readonly string[];
  readonly unchanged: readonly string[];
}

export interface Uninstalled {
  readonly removed: readonly string[];
  readonly purged: readonly string[];
}

/** A file of a plan and what is there now. */
interface Slot {
  readonly file: ServiceFile;
  readonly previous: string | undefined;
}

/**
 * Writes the files and starts the service. When the service manager refuses, what was there before is put back.
 * @throws {TailnetError} `service/not-root`, `service/no-systemd`, `service/no-launchd`, `service/bad-path` for a program
 *   that is not there, `service/foreign-unit`, `service/file-failed`, `service/command-failed`.
 */
export async function installService(plan: ServicePlan, system: ServiceSystem): Promise<Installed> {
  await checkMachine(plan.manager, system);
  await checkPrograms(plan.programs, system);
  const slots: Slot[] = [];
  for (const file of plan.files) slots.push({ file, previous: await readOurs(file.path, system) });
  const changed = slots.filter(({ file, previous }) => file.text !== previous);
  const isUpdate = changed.some(({ previous }) => previous !== undefined);
  const done: Slot[] = [];
  try {
    await runSteps(plan.folders.map(makeFolderStep), system);
    for (const slot of changed) {
      await write(slot.file, slot.file.text, system);
      done.push(slot);
    }
    await runSteps(listStartSteps(plan.manager, plan.files, isUpdate), system);
  } catch (error) {
    await putBack(plan.manager, done, system);
    throw error;
  }
  const paths = (some: readonly Slot[]): string[] => some.map(({ file }) => file.path);
  return { written: paths(changed), unchanged: paths(slots.filter((slot) => !changed.includes(slot))) };
}

export interface Removal {
  readonly manager: ServiceManager;
  readonly units: readonly UnitName[];
  /** Removes the devices and subnets that the state knows of; undefined: there are none, or they stay. */
  readonly clean: Command | undefined;
  /** Files and folders that go as well; empty keeps configuration and state. */
  readonly purgedPaths: readonly string[];
}

/**
 * Stops the service and removes its files.
 * @throws {TailnetError} `service/not-root`, `service/no-systemd`, `service/no-launchd`, `service/foreign-unit` before
 *   anything is touched, `service/devices-left` before any file is, `service/command-failed`, `service/file-failed`.
 */
export async function uninstallService(removal: Removal, system: ServiceSystem): Promise<Uninstalled> {
  const { manager, clean, purgedPaths } = removal;
  await checkMachine(manager, system);
  const units = await findOurUnits(removal.units, system);
  await runSteps(listStopSteps(manager, units), system);
  if (clean !== undefined) await removeDevices(clean, system);
  for (const { path } of units) await attempt('remove', path, system.remove(path));
  await runSteps(listForgetSteps(manager, units), system);
  for (const path of purgedPaths) await attempt('remove', path, system.removeTree(path));
  return { removed: units.map(({ path }) => path), purged: purgedPaths };
}

/**
 * Runs the command that removes devices.
 * @throws {TailnetError} `service/devices-left`.
 */
export async function removeDevices(command: Command, system: ServiceSystem): Promise<void> {
  const [program, ...args] = command;
  const result = await system.run(program, args);
  if (result.code !== 0) throw new TailnetError('service/devices-left', describeResult(command, result));
}

/**
 * The units whose files are there.
 * @throws {TailnetError} `service/foreign-unit`, `service/file-failed`.
 */
export async function findOurUnits(units: readonly UnitName[], system: ServiceSystem): Promise<readonly UnitName[]> {
  const found: UnitName[] = [];
  for (const unit of units) if ((await readOurs(unit.path, system)) !== undefined) found.push(unit);
  return found;
}

/** True where the service manager runs this machine. */
export async function isManaged(manager: ServiceManager, { platform, isPresent }: ServiceSystem): Promise<boolean> {
  // sd_booted(3): the folder is there exactly when systemd runs this machine.
  return manager === 'systemd'
    ? platform === 'linux' && (await isPresent('/run/systemd/system'))
    : platform === 'darwin';
}

/** @throws {TailnetError} `service/not-root`. */
export function checkRoot({ uid }: ServiceSystem): void {
  if (uid !== 0) throw new TailnetError('service/not-root', 'Services of the machine belong to root; run it with sudo');
}

async function checkMachine(manager: ServiceManager, system: ServiceSystem): Promise<void> {
  const isRunning = await isManaged(manager, system);
  if (manager === 'systemd' && !isRunning) {
    throw new TailnetError('service/no-systemd', 'This machine is not run by systemd; --dry-run prints the units');
  }
  if (manager === 'launchd' && !isRunning) {
    throw new TailnetError('service/no-launchd', 'This machine has no launchd; --dry-run prints the jobs');
  }
  checkRoot(system);
}

async function checkPrograms(paths: readonly string[], { isPresent }: ServiceSystem): Promise<void> {
  for (const path of paths) {
    if (await isPresent(path)) continue;
    throw new TailnetError('service/bad-path', `Program "${path}" is not there; install it, or give another path`);
  }
}

async function readOurs(path: string, system: ServiceSystem): Promise<string | undefined> {
  const text = await attempt('read', path, system.readFile(path));
  if (text === undefined || isOurUnit(text)) return text;
  const message = `File "${path}" was not written by heddle; move it away, then run the same command again`;
  throw new TailnetError('service/foreign-unit', message);
}

// Units that were not written are left alone: one of that name may belong to a package of the distribution.
async function putBack(manager: ServiceManager, done: readonly Slot[], system: ServiceSystem): Promise<void> {
  const fresh = done.filter(({ previous }) => previous === undefined).map(({ file }) => file);
  const older = done.filter(({ previous }) => previous !== undefined);
  await trySteps(listStopSteps(manager, fresh), system);
  for (const { path } of fresh) await system.remove(path).catch(ignore);
  for (const { file, previous } of older) await write(file, previous ?? '', system).catch(ignore);
  await trySteps(listForgetSteps(manager, fresh), system);
  const units = older.map(({ file }) => file);
  if (units.length > 0) await trySteps(listStartSteps(manager, units, true), system);
}

function write({ path }: ServiceFile, text: string, system: ServiceSystem): Promise<void> {
  return attempt('write', path, system.writeFileAtomic(path, text, UNIT_MODE));
}

/**
 * Awaits an operation on a file.
 * @throws {TailnetError} `service/file-failed` with the system's reason.
 */
export async function attempt<T>(verb: string, path: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    const message = `Cannot ${verb} "${path}" (${reasonOf(error)})`;
    throw new TailnetError('service/file-failed', message, { cause: error });
  }
}

/** The way back goes as far as it can; the error that the user sees is the one that began it. */
function ignore(): void {}
