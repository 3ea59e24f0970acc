/**
 * Removes a REST daemon with everything that it made: first the devices, as long as the program that knows them is there,
 * then the files. What is missing is not missed, so a removal that failed half-way may be repeated.
 */

import { posix } from 'node:path';
import { SERVICE_DEFAULTS } from './description.ts';
import { attempt, checkRoot, findOurUnits, isManaged } from './installer.ts';
import type { InterfacesDescription } from './interfaces-description.ts';
import { launchdLogPath } from './launchd-plist.ts';
import { type Command, describeRemoveAll } from './service-command-line.ts';
import { listForgetSteps, listStopSteps, type ServiceStep, step } from './service-plan.ts';
import type { ServiceSystem } from './service-system.ts';
import { runSteps } from './step-runner.ts';
import { checkFolder } from './systemd-sandbox.ts';
import { isOurUnit, listUnits, type ServiceManager, type UnitName } from './unit-names.ts';

export interface InterfacesRemoval {
  readonly units: readonly UnitName[];
  /** In this order; the files of the units go after those that stop, those of the daemon after `clean`. */
  readonly stop: readonly ServiceStep[];
  /** Removes the devices. Undefined: the program is not there, and whatever it made stays. */
  readonly clean: ServiceStep | undefined;
  readonly forget: readonly ServiceStep[];
  /** Program, logs and state, as far as they are there; folders go with what is in them. */
  readonly paths: readonly string[];
  /** At the very end. */
  readonly last: readonly ServiceStep[];
}

/**
 * Looks at what there is to remove, and changes nothing.
 * @throws {TailnetError} `service/foreign-unit`, `service/bad-path` for a state database in a folder of the system,
 *   `service/file-failed`.
 */
export async function planRemoval(
  description: InterfacesDescription,
  manager: ServiceManager,
  system: ServiceSystem,
): Promise<InterfacesRemoval> {
  checkFolder(posix.dirname(description.stateDbPath));
  const units = await findOurUnits(listUnits(description, manager), system);
  // Without a manager a daemon was started by hand: it holds the state database, and the removal of its devices says so.
  const isRunning = await isManaged(manager, system);
  const hasProgram = (await system.isPresent(description.command)) && (await system.isPresent(description.nodePath));
  return {
    units,
    stop: isRunning ? listStopSteps(manager, units) : [],
    clean: hasProgram ? step(describeRemoveAll(description)) : undefined,
    forget: isRunning ? listForgetSteps(manager, units) : [],
    paths: await findPaths(description, manager, system),
    last: posix.dirname(description.stateDbPath) === STATE_FOLDER ? [REMOVE_STATE_FOLDER] : [],
  };
}

/**
 * Does what was planned and returns the paths of what was removed.
 * @throws {TailnetError} `service/not-root` before anything is touched, `service/command-failed`, `service/file-failed`.
 */
export async function removeInterfaces(removal: InterfacesRemoval, system: ServiceSystem): Promise<readonly string[]> {
  checkRoot(system);
  await runSteps(removal.stop, system);
  if (removal.clean !== undefined) await runSteps([removal.clean], system);
  for (const { path } of removal.units) await attempt('remove', path, system.remove(path));
  await runSteps(removal.forget, system);
  for (const path of removal.paths) await attempt('remove', path, system.removeTree(path));
  await runSteps(removal.last, system);
  return listRemoved(removal);
}

/** The commands of a removal, in their order. */
export function listRemovalCommands({ stop, clean, forget, last }: InterfacesRemoval): readonly Command[] {
  return [...stop, ...(clean === undefined ? [] : [clean]), ...forget, ...last].map(({ command }) => command);
}

/** The paths of a removal, in their order. */
export function listRemoved({ units, paths }: InterfacesRemoval): readonly string[] {
  return [...units.map(({ path }) => path), ...paths];
}

const STATE_FOLDER = posix.dirname(SERVICE_DEFAULTS.stateDbPath);

/** Fails, and that is right, while the other daemons have something there. */
const REMOVE_STATE_FOLDER: ServiceStep = {
  command: ['rmdir', '--', STATE_FOLDER],
  tolerates: 'anything',
  isRetried: false,
};

/** As many as the daemon keeps of each log. */
const OLDER_LOGS = ['.1', '.2', '.3', '.4', '.5'];

async function findPaths(
  description: InterfacesDescription,
  manager: ServiceManager,
  system: ServiceSystem,
): Promise<readonly string[]> {
  const { program, logFile, errFile, stateDbPath } = description;
  const logs = [logFile, errFile].flatMap((path) => [path, ...OLDER_LOGS.map((suffix) => `${path}${suffix}`)]);
  const printed = manager === 'launchd' ? listUnits(description, manager).map(({ name }) => launchdLogPath(name)) : [];
  const found: string[] = [];
  // A link of npm's, or a program of another origin, is not ours to remove.
  if (isOurUnit((await attempt('read', program, system.readFile(program))) ?? '')) found.push(program);
  for (const path of [...new Set([...logs, ...printed, stateDbPath])])
    if (await system.isPresent(path)) found.push(path);
  return found;
}
