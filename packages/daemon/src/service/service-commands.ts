import { posix } from 'node:path';
import {
  describeService,
  identifyService,
  SERVICE_DEFAULTS,
  type ServiceDescription,
  type ServiceOptions,
} from './description.ts';
import { findOurUnits, installService, type Removal, UNIT_MODE, uninstallService } from './installer.ts';
import { describeInterfaces, type InterfacesDescription } from './interfaces-description.ts';
import { listRemovalCommands, listRemoved, planRemoval, removeInterfaces } from './interfaces-removal.ts';
import { type Command, describeInterfaceDaemon, describeRemoveAll } from './service-command-line.ts';
import { checkServicePath } from './service-path.ts';
import {
  listForgetSteps,
  listPurgedPaths,
  listStartSteps,
  listStopSteps,
  makeFolderStep,
  planService,
  type ServicePlan,
  type ServiceStep,
  type TeamsIdentity,
} from './service-plan.ts';
import type { ServiceSystem } from './service-system.ts';
import { listUnits, type ServiceManager } from './unit-names.ts';

export type ServiceVerb = 'install-systemd' | 'install-launchd' | 'uninstall';

export interface ServiceCommandOptions extends ServiceOptions {
  /** Show everything, change nothing; needs neither root nor the service manager. */
  readonly isDryRun: boolean;
  readonly isJson: boolean;
  /** Of `uninstall`: remove configuration and state as well. */
  readonly isPurge: boolean;
}

export interface ServiceCommandWorld {
  readonly out: (text: string) => void;
  readonly system: ServiceSystem;
}

/**
 * Runs one of the verbs that install or remove a service.
 * @throws {TailnetError} every `service/` code, `ipc/path-too-long`.
 */
export async function runServiceCommand(
  verb: ServiceVerb,
  options: ServiceCommandOptions,
  world: ServiceCommandWorld,
): Promise<void> {
  const report = verb === 'uninstall' ? await uninstall(options, world) : await install(verb, options, world);
  world.out(options.isJson ? `${JSON.stringify(report.json, null, 2)}\n` : report.text);
}

interface Report {
  readonly json: Readonly<Record<string, unknown>>;
  readonly text: string;
}

async function install(
  verb: Exclude<ServiceVerb, 'uninstall'>,
  options: ServiceCommandOptions,
  { system }: ServiceCommandWorld,
): Promise<Report> {
  const manager = verb === 'install-systemd' ? 'systemd' : 'launchd';
  const found = { nebulaBinary: options.nebulaBinary ?? (await findNebula(options, system)) };
  const description = describeService({ ...options, ...found, logGroup: await findLogGroup(manager, options, system) });
  const plan = planService(description, manager);
  if (options.isDryRun) return reportPlan(plan, description);
  const { written, unchanged } = await installService(plan, system);
  return {
    json: { ok: true, manager, written, unchanged },
    text: [
      ...written.map((path) => `Wrote ${path}\n`),
      ...unchanged.map((path) => `${path} is as it should be\n`),
      `The service runs, now and at every start of the machine; see ${showStatus(plan)}\n`,
    ].join(''),
  };
}

async function uninstall(options: ServiceCommandOptions, { system }: ServiceCommandWorld): Promise<Report> {
  const identity = identifyService(options);
  const manager: ServiceManager = system.platform === 'darwin' ? 'launchd' : 'systemd';
  if (identity.mode === 'interfaces') {
    return uninstallInterfaces(manager, describeInterfaces(identity.daemon, options), { options, system });
  }
  const purge = options.isPurge ? await planPurge(identity, options, system) : KEEP;
  const removal: Removal = { manager, units: listUnits(identity, manager), ...purge };
  if (options.isDryRun) return reportRemoval(removal, system);
  const { removed, purged } = await uninstallService(removal, system);
  const lines = [...removed, ...purged].map((path) => `Removed ${path}\n`);
  const kept = options.isPurge ? [] : ['Configuration and state are kept; --purge removes them as well\n'];
  return {
    json: { ok: true, manager, removed, purged },
    text: [...(removed.length === 0 ? ['No service of heddle is installed here\n'] : []), ...lines, ...kept].join(''),
  };
}

type Purge = Pick<Removal, 'clean' | 'purgedPaths'>;

const KEEP: Purge = { clean: undefined, purgedPaths: [] };

async function planPurge(
  identity: TeamsIdentity,
  options: ServiceCommandOptions,
  system: ServiceSystem,
): Promise<Purge> {
  const paths = readPurgePaths(options);
  const purgedPaths = listPurgedPaths(identity, paths, await hasStateOfOthers(paths.stateDbPath, system));
  const { nodePath, packageFolder } = options;
  const { stateDbPath } = paths;
  // Either program removes all that a state database knows of.
  const command = posix.join(packageFolder, 'bin', 'tun-daemon.js');
  const isCleanable =
    identity.mode === 'desktop' && (await system.isPresent(stateDbPath)) && (await system.isPresent(command));
  return { clean: isCleanable ? describeRemoveAll({ nodePath, command, stateDbPath }) : undefined, purgedPaths };
}

/** True when one of the REST daemons has its state in the folder too. */
async function hasStateOfOthers(stateDbPath: string, system: ServiceSystem): Promise<boolean> {
  const folder = posix.dirname(stateDbPath);
  return (
    (await system.isPresent(posix.join(folder, 'tun.db'))) || (await system.isPresent(posix.join(folder, 'subnet.db')))
  );
}

async function uninstallInterfaces(
  manager: ServiceManager,
  description: InterfacesDescription,
  { options, system }: { readonly options: ServiceCommandOptions; readonly system: ServiceSystem },
): Promise<Report> {
  const removal = await planRemoval(description, manager, system);
  const isClean = removal.clean !== undefined;
  const lost = isClean ? [] : [`Program "${description.command}" is not there: devices that it made may be left\n`];
  if (options.isDryRun) {
    const [removed, commands] = [listRemoved(removal), listRemovalCommands(removal)];
    return {
      json: { ok: true, dryRun: true, manager, removed, isClean, commands },
      text: [...removed.map((path) => `Would remove ${path}\n`), showCommands(commands), ...lost].join(''),
    };
  }
  const removed = await removeInterfaces(removal, system);
  const clean = isClean ? [`No device of the ${description.daemon} daemon is left\n`] : [];
  return {
    json: { ok: true, manager, removed, isClean },
    text: [...clean, ...removed.map((path) => `Removed ${path}\n`), ...lost].join(''),
  };
}

// Those who may read logs on Debian, Fedora and Arch; others have no such group.
async function findLogGroup(
  manager: ServiceManager,
  { daemon }: ServiceCommandOptions,
  system: ServiceSystem,
): Promise<string | undefined> {
  if (daemon === undefined || manager !== 'systemd') return undefined;
  return (await system.run('getent', ['group', 'adm'])).code === 0 ? 'adm' : undefined;
}

// The supervisor looks by itself, for it can be installed before Nebula is; the service of a team cannot.
async function findNebula(options: ServiceCommandOptions, system: ServiceSystem): Promise<string | undefined> {
  if (identifyService(options).mode !== 'server') return undefined;
  for (const path of [SERVICE_DEFAULTS.nebulaBinary, '/usr/bin/nebula', '/opt/homebrew/bin/nebula']) {
    if (await system.isPresent(path)) return path;
  }
  return undefined;
}

function readPurgePaths({ configRoot, stateDbPath }: ServiceCommandOptions): {
  readonly configRoot: string;
  readonly stateDbPath: string;
} {
  return {
    configRoot: checkServicePath('the config root', configRoot ?? SERVICE_DEFAULTS.configRoot),
    stateDbPath: checkServicePath('the state database', stateDbPath ?? SERVICE_DEFAULTS.stateDbPath),
  };
}

function reportPlan(plan: ServicePlan, description: ServiceDescription): Report {
  const commands = commandsOf([
    ...plan.folders.map(makeFolderStep),
    ...listStartSteps(plan.manager, plan.files, false),
  ]);
  const mode = UNIT_MODE.toString(8).padStart(4, '0');
  const files = plan.files.map(({ path, text }) => ({ path, mode, text }));
  // What a machine without a service manager can do; of the teams it is in the guide.
  const start = description.mode === 'interfaces' ? describeInterfaceDaemon(description) : undefined;
  return {
    json: { ok: true, dryRun: true, manager: plan.manager, files, commands, ...(start === undefined ? {} : { start }) },
    text: [
      ...files.map(({ path, text }) => `==> ${path} (mode ${mode})\n${text}\n`),
      showCommands(commands),
      ...(start === undefined ? [] : [`==> without a service manager\n${formatCommand(start)}`]),
    ].join(''),
  };
}

async function reportRemoval(removal: Removal, system: ServiceSystem): Promise<Report> {
  const { manager, clean, purgedPaths } = removal;
  const units = await findOurUnits(removal.units, system);
  const commands = [
    ...commandsOf(listStopSteps(manager, units)),
    ...(clean === undefined ? [] : [clean]),
    ...commandsOf(listForgetSteps(manager, units)),
  ];
  const removed = units.map(({ path }) => path);
  return {
    json: { ok: true, dryRun: true, manager, removed, purged: purgedPaths, commands },
    text: [...[...removed, ...purgedPaths].map((path) => `Would remove ${path}\n`), showCommands(commands)].join(''),
  };
}

function commandsOf(steps: readonly ServiceStep[]): readonly Command[] {
  return steps.map(({ command }) => command);
}

function showCommands(commands: readonly Command[]): string {
  return `==> commands\n${commands.map(formatCommand).join('')}`;
}

function formatCommand(command: Command): string {
  return `${command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`)).join(' ')}\n`;
}

function showStatus({ manager, files }: ServicePlan): string {
  const name = files[0]?.name ?? '';
  return manager === 'systemd' ? `systemctl status ${name}` : `launchctl print system/${name}`;
}
