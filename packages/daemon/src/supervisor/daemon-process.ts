/**
 * The long-lived process behind `heddle --ipc-mode …`.
 *
 *   own the state ─▶ end what a killed predecessor left ─▶ listen ─▶ READY ─▶ autostart ─▶ … ─▶ SIGTERM
 *     ─▶ accept nothing new, end all children at once (5 s, then by force) ─▶ remove the socket ─▶ 0
 */

import { randomUUID } from 'node:crypto';
import { existsSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { findProcessesByArgument } from '@heddle/host/process-search';
import { createServiceNotifier } from '@heddle/host/service-notify';
import { type FoundTeam, scanConfigRoot } from '../config/config-scan.ts';
import { createDeviceProbe } from '../drivers/device-probe.ts';
import { NebulaDriver } from '../drivers/nebula-driver.ts';
import { TailnetDriver } from '../drivers/tailnet-driver.ts';
import { TeamClaimsReader } from '../drivers/team-claims.ts';
import { type TeamRoots, teamPaths } from '../drivers/team-paths.ts';
import { AccessFiles } from '../interface-daemon/access-files.ts';
import { ADDRESS_LOCK, DEFAULT_POOLS } from '../interface-daemon/interface-options.ts';
import { type RestServers, serveBoth } from '../interface-daemon/serve-interfaces.ts';
import { askHostFacts } from '../interfaces/host-facts.ts';
import { openInterfaces } from '../interfaces/open-interfaces.ts';
import { createLogFile } from '../process/log-file.ts';
import { aborted, createSocketGuard, installSignals } from '../process/process-guards.ts';
import { admitTeam } from '../registration/team-admission.ts';
import type { LogRecord } from '../schema/reply.ts';
import { isSupervisorRead, parseSupervisorRequest } from '../schema/supervisor-request.ts';
import { startControlServer } from '../socket/control-server.ts';
import { StateStore } from '../store/state-store.ts';
import type { TeamDriver } from '../team/driver.ts';
import { answerSupervisor } from './answer.ts';
import type { DaemonOptions } from './daemon-options.ts';
import { describeDryRun } from './dry-run.ts';
import { Supervisor } from './supervisor.ts';
import { removeLeftFiles, sweepOrphans } from './sweep.ts';

export interface DaemonWorld {
  readonly env: NodeJS.ProcessEnv;
  readonly version: string;
  /** Program and arguments that run this version of heddle. */
  readonly engineCommand: readonly [command: string, ...args: string[]];
  readonly out: (text: string) => void;
}

type Log = (level: LogRecord['level'], message: string, fields?: LogRecord['fields']) => void;

/**
 * Runs until a signal ends it, and resolves with 0. A dry run ends at once: 0 when every team could come up, else 1.
 * @throws {TailnetError} when it cannot start: `state/*`, `ipc/*`, `team/bad-daemon-file`.
 */
export async function runDaemon(options: DaemonOptions, world: DaemonWorld): Promise<number> {
  if (options.isDryRun) return runDry(options, world);
  // Whatever is made from here on, by LevelDB too, is for this user alone; sockets say otherwise themselves.
  if (process.platform !== 'win32') process.umask(0o077);
  const writeRecord = openLog(options);
  const log: Log = (level, message, fields) => {
    if (level === 'debug' && !options.isVerbose) return;
    writeRecord({ time: new Date().toISOString(), level, message, ...(fields === undefined ? {} : { fields }) });
  };
  const signal = installSignals(writeRecord);
  const store = await StateStore.open(options.stateDbPath, { unixMs: () => Date.now(), randomId: randomUUID });
  try {
    const access = new AccessFiles({ configRoot: options.configRoot, tokenFile: options.rest?.tokenFile, log });
    const roots = rootsOf(options);
    await sweep(store, roots, log);
    const rest = await startRest({ options, world, log, access, store });
    try {
      await serve({ options, world, log, signal, access, store, roots });
    } finally {
      await rest?.close();
    }
    return 0;
  } finally {
    await store.close();
  }
}

interface Parts {
  readonly options: DaemonOptions;
  readonly world: DaemonWorld;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly access: AccessFiles;
  readonly store: StateStore;
  readonly roots: TeamRoots;
}

async function serve({ options, world, log, signal, access, store, roots }: Parts): Promise<void> {
  const supervisor = createSupervisor({ options, world, log, store, roots });
  const pathsOf = (team: string) => teamPaths(team, roots);
  const context = { supervisor, version: world.version, pathsOf, log };
  const guard = createSocketGuard();
  const server = await startControlServer({
    socketPath: options.socketPath,
    parse: parseSupervisorRequest,
    isRead: isSupervisorRead,
    answer: (request, client) => answerSupervisor(request, client, context),
    subscribe: (_request, send) => supervisor.subscribe(send),
    isOpenToAll: true,
    operatorUids: access.operatorUids,
    requestCountMaxPerMinute: world.env['HEDDLE_RATE_LIMIT'] === 'off' ? Number.POSITIVE_INFINITY : undefined,
  });
  guard.set(server.path);
  const notifier = createServiceNotifier(world.env, process.pid);
  notifier?.ready();
  const stopWatchdog = notifier?.startWatchdog();
  const reload = async (): Promise<void> => {
    notifier?.reloading();
    log('info', 'Reloading');
    access.reload();
    await supervisor.reloadAll();
    log('info', 'Reloaded');
    notifier?.ready();
  };
  // As `systemctl reload` asks for it. On Windows the same name means that the console closes.
  if (process.platform !== 'win32') process.on('SIGHUP', () => void reload());
  log('info', `Listening at ${server.path}`, { pid: process.pid, version: world.version });
  if (options.isAutostart) void supervisor.autostart();
  await aborted(signal);
  notifier?.stopping();
  log('info', 'Ending');
  await Promise.all([server.close(), supervisor.close()]);
  guard.set(undefined);
  stopWatchdog?.();
}

/** @throws {TailnetError} `rest/*`, `interface/*`. */
async function startRest({ options, world, log, access, store }: RestParts): Promise<RestServers | undefined> {
  if (options.rest === undefined) return undefined;
  const { tunPort, subnetPort } = options.rest;
  const teams = new TeamClaimsReader(options.configRoot);
  const interfaces = await openInterfaces({
    store,
    lockPath: join(dirname(options.stateDbPath), ADDRESS_LOCK),
    pools: DEFAULT_POOLS,
    readTeams: async () => teams.read(),
    log,
  });
  return serveBoth({
    interfaces,
    ports: { tun: tunPort, subnet: subnetPort },
    access,
    version: world.version,
    log,
  });
}

type RestParts = Omit<Parts, 'signal' | 'roots'>;

function createSupervisor({ options, world, log, store, roots }: Omit<Parts, 'signal' | 'access'>): Supervisor {
  return new Supervisor({
    store,
    createDriver: driverFactory(options, world, roots),
    scan: () => scanConfigRoot(options.configRoot),
    readHost: askHostFacts,
    log,
    bootId: readBootId(),
    nowMs: () => performance.now(),
    unixMs: () => Date.now(),
    random: Math.random,
  });
}

function driverFactory(options: DaemonOptions, world: DaemonWorld, roots: TeamRoots): (team: FoundTeam) => TeamDriver {
  const probe = createDeviceProbe();
  return ({ name, kind }) => {
    const paths = teamPaths(name, roots);
    const admit = (): Promise<void> => admitTeam(options.configRoot, name);
    return kind === 'tailnet'
      ? new TailnetDriver({ team: name, paths, engineCommand: world.engineCommand, env: world.env })
      : new NebulaDriver({ team: name, paths, binary: options.nebulaBinary, probe, unixMs: () => Date.now(), admit });
  };
}

async function runDry(options: DaemonOptions, world: DaemonWorld): Promise<number> {
  const found = scanConfigRoot(options.configRoot);
  const createDriver = driverFactory(options, world, rootsOf(options));
  const { text, isClear } = await describeDryRun(options, found, createDriver, await askHostFacts());
  world.out(text);
  return isClear ? 0 : 1;
}

async function sweep(store: StateStore, { teamsDir }: TeamRoots, log: Log): Promise<void> {
  await sweepOrphans({
    // The folder is ours alone, and every child has a path in it among its arguments: a record could be missing for a
    // child that was started a moment before the end.
    find: () => findProcessesByArgument(`${teamsDir}/`),
    kill: (pid, signal) => process.kill(pid, signal),
    log: (message, fields) => log('warn', message, fields),
  });
  if (existsSync(teamsDir)) removeLeftFiles(teamsDir);
  await store.commit(store.runtimes().map(({ team }) => ({ kind: 'delete-runtime', team })));
}

function rootsOf({ configRoot, stateDbPath, socketPath }: DaemonOptions): TeamRoots {
  return { configRoot, teamsDir: join(dirname(stateDbPath), 'teams'), runDir: dirname(socketPath) };
}

function openLog({ logFile }: DaemonOptions): (record: LogRecord) => void {
  if (logFile !== undefined) return createLogFile(openSync(logFile, 'a', 0o640), logFile);
  return (record) => void process.stderr.write(`${JSON.stringify(record)}\n`);
}

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}
