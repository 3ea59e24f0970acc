/**
 * The process behind `tun-daemon` and `subnet-daemon`.
 *
 *   own the state ─▶ make the kernel as it says ─▶ listen ─▶ READY ─▶ … ─▶ SIGTERM ─▶ answer what was asked ─▶ 0
 *
 * Devices and subnets stay when it ends; only attached TUN devices go with it, and come back with it.
 */

import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { createServiceNotifier } from '@heddle/host/service-notify';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { TeamClaimsReader } from '../drivers/team-claims.ts';
import { type OpenInterfaces, openInterfaces } from '../interfaces/open-interfaces.ts';
import { aborted, installSignals } from '../process/process-guards.ts';
import { writeToFile } from '../process/rotating-file.ts';
import { openSplitLog, SPLIT_LOG_BYTES_MAX, type SplitLog } from '../process/split-log.ts';
import type { LogRecord } from '../schema/reply.ts';
import { reasonOf } from '../socket/socket-path.ts';
import { StateStore } from '../store/state-store.ts';
import { AccessFiles } from './access-files.ts';
import type { InterfaceDaemonOptions } from './interface-options.ts';
import { serveInterfaces } from './serve-interfaces.ts';

export interface InterfaceDaemonWorld {
  readonly env: NodeJS.ProcessEnv;
  readonly version: string;
  readonly out: (text: string) => void;
}

type Log = (level: LogRecord['level'], message: string, fields?: LogRecord['fields']) => void;

/**
 * Runs until a signal ends it, and resolves with 0; with `--remove-all` as soon as everything is removed.
 * @throws {TailnetError} when it cannot start: `state/*`, `interface/*`, `rest/*`, `team/bad-daemon-file`.
 */
export async function runInterfaceDaemon(
  options: InterfaceDaemonOptions,
  world: InterfaceDaemonWorld,
): Promise<number> {
  // Whatever is made from here on, by LevelDB too, is for this user alone.
  process.umask(0o077);
  const splitLog = openLog(options);
  const log = createLog(splitLog, options.isVerbose);
  const signal = installSignals((record) => splitLog.write(record));
  // As `systemctl reload` and logrotate ask for it.
  process.on('SIGHUP', () => {
    splitLog.reopen();
    log('info', 'Opened the log files again');
  });
  mkdirSync(dirname(options.stateDbPath), { recursive: true, mode: 0o700 });
  const store = await StateStore.open(options.stateDbPath, { unixMs: () => Date.now(), randomId: randomUUID });
  try {
    const interfaces = await open(options, store, log);
    try {
      if (options.isRemoval) await removeAll(interfaces, world);
      else await serve({ options, world, log, signal, interfaces });
    } finally {
      await interfaces.close();
    }
    return 0;
  } finally {
    await store.close();
    splitLog.close();
  }
}

function open(options: InterfaceDaemonOptions, store: StateStore, log: Log): Promise<OpenInterfaces> {
  const teams = new TeamClaimsReader(options.configRoot);
  return openInterfaces({
    store,
    lockPath: options.lockPath,
    pools: options.pools,
    readTeams: async () => teams.read(),
    log,
  });
}

async function removeAll(interfaces: OpenInterfaces, { out }: InterfaceDaemonWorld): Promise<void> {
  const count = (await interfaces.tun.list()).length + (await interfaces.subnet.list()).length;
  await interfaces.removeAll();
  out(`Removed ${count} ${count === 1 ? 'interface' : 'interfaces'}\n`);
}

interface Serving {
  readonly options: InterfaceDaemonOptions;
  readonly world: InterfaceDaemonWorld;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly interfaces: OpenInterfaces;
}

async function serve({ options, world, log, signal, interfaces }: Serving): Promise<void> {
  const { kind, port, tokenFile, configRoot } = options;
  const access = new AccessFiles({ configRoot, tokenFile, log });
  process.on('SIGHUP', () => access.reload());
  const server = await serveInterfaces({ kind, port, interfaces, access, version: world.version, log });
  const notifier = createServiceNotifier(world.env, process.pid);
  notifier?.ready();
  const stopWatchdog = notifier?.startWatchdog();
  log('info', `Serving /${kind} at localhost:${server.port}`, { pid: process.pid, version: world.version });
  await aborted(signal);
  notifier?.stopping();
  log('info', 'Ending');
  await server.close();
  stopWatchdog?.();
}

function openLog({ logFile, errFile, logFormat: format }: InterfaceDaemonOptions): SplitLog {
  try {
    return openSplitLog({ logFile, errFile, format, bytesMax: SPLIT_LOG_BYTES_MAX, writeBytes: writeToFile });
  } catch (error) {
    const path = (error as NodeJS.ErrnoException).path ?? logFile;
    throw new TailnetError('usage/bad-option', `Cannot write the log "${path}" (${reasonOf(error)})`);
  }
}

function createLog(splitLog: SplitLog, isVerbose: boolean): Log {
  return (level, message, fields) => {
    if (level === 'debug' && !isVerbose) return;
    splitLog.write({ time: new Date().toISOString(), level, message, ...(fields === undefined ? {} : { fields }) });
  };
}
