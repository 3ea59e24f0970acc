/**
 * Removes a REST daemon with everything that it made: first the devices, as long as the program that knows them is there,
 * then the files. What is missing is not missed, so a removal that failed half-way may be repeated.
 */

import { posix } from 'node:path';
import { SERVICE_DEFAULTS } from './description.ts';
import { attempt, checkRoot, findOurUnits, isManaged, removeDevices } from './installer.ts';
import type { InterfacesDescription } from './interfaces-description.ts';
import { launchdLogPath } from './launchd-plist.ts';
import { type Command, describeRemoveAll } from './service-command-line.ts';
import { listForgetSteps, listStopSteps, type ServiceStep } from './service-plan.ts';
import type { ServiceSystem } from './service-system.ts';
import { runSteps } from './step-runner.ts';
import { checkFolder } from './systemd-sandbox.ts';
import { isOurUnit, listUnits, type ServiceManager, type UnitName } from './unit-names.ts';

/** What there is to remove, and how. */
export interface InterfacesRemoval {
  readonly description: InterfacesDescription;
  readonly manager: ServiceManager;
  readonly units: readonly UnitName[];
  readonly stop: readonly ServiceStep[];
  /** Removes the devices. Undefined: the program is not there, and whatever it made stays. */
  readonly clean: Command | undefined;
  /** After the files of the units. */
  readonly forget: readonly ServiceStep[];
  /** Program, logs and state, as far as they are there; folders go with what is in them. */
  readonly paths: readonly string[];
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
    description,
    manager,
    units,
    stop: isRunning ? listStopSteps(manager, units) : [],
    clean: hasProgram ? describeRemoveAll(description) : undefined,
    forget: isRunning ? listForgetSteps(manager, units) : [],
    paths: await findPaths(description, manager, system),
  };
}

/**
 * Does what was planned and returns the paths of what was removed.
 * @throws {TailnetError} `service/not-root` before anything is touched, `service/devices-left` before any file is,
 *   `service/command-failed`, `service/file-failed`.
 */
export async function removeInterfaces(removal: InterfacesRemoval, system: ServiceSystem): Promise<readonly string[]> {
  const { description, manager, units } = removal;
  checkRoot(system);
  await runSteps(removal.stop, system);
  if (removal.clean !== undefined) await removeDevices(removal.clean, system);
  // Looked for again: the removal of the devices has opened the state, and may have made it.
  const paths = await findPaths(description, manager, system);
  for (const { path } of units) await attempt('remove', path, system.remove(path));
  await runSteps(removal.forget, system);
  for (const path of paths) await attempt('remove', path, system.removeTree(path));
  return [...listRemoved({ units, paths }), ...(await removeFolder(description, system))];
}

/** The commands of a removal, in their order. */
export function listRemovalCommands({ stop, clean, forget }: InterfacesRemoval): readonly Command[] {
  const commandsOf = (steps: readonly ServiceStep[]): readonly Command[] => steps.map(({ command }) => command);
  return [...commandsOf(stop), ...(clean === undefined ? [] : [clean]), ...commandsOf(forget)];
}

/** The paths of a removal, in their order. */
export function listRemoved({ units, paths }: Pick<InterfacesRemoval, 'units' | 'paths'>): readonly string[] {
  return [...units.map(({ path }) => path), ...paths];
}

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
  for (const path of [...new Set([...logs, ...printed])]) if (await system.isPresent(path)) found.push(path);
  return [...found, ...(await findState(stateDbPath, system))];
}

/** What the state database and its lock leave beside it. */
const STATE_SUFFIX = /^(|\.lock\.[1-9][0-9]*(\.released)?|\.new|\.restored|\.before-restore)$/;

// Listed, for the lock is a link that leads nowhere.
async function findState(stateDbPath: string, system: ServiceSystem): Promise<readonly string[]> {
  const [folder, own] = [posix.dirname(stateDbPath), posix.basename(stateDbPath)];
  const names = await attempt('list', folder, system.listFolder(folder));
  return names
    .filter((name) => name.startsWith(own) && STATE_SUFFIX.test(name.slice(own.length)))
    .map((name) => posix.join(folder, name));
}

// The daemons share a lock in the folder of their states. It goes with the last of them: who still waited for it would
// wait for another file. The folder goes when it is the default one, which is heddle's alone.
async function removeFolder({ stateDbPath }: InterfacesDescription, system: ServiceSystem): Promise<readonly string[]> {
  const folder = posix.dirname(stateDbPath);
  const names = await attempt('list', folder, system.listFolder(folder));
  if (names.some((name) => name !== SHARED_LOCK)) return [];
  const isOurs = folder === posix.dirname(SERVICE_DEFAULTS.stateDbPath) && (await system.isPresent(folder));
  const paths = isOurs ? [folder] : names.map((name) => posix.join(folder, name));
  for (const path of paths) await attempt('remove', path, system.removeTree(path));
  return paths;
}

const SHARED_LOCK = 'addresses.lock';
