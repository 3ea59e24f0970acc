/**
 * What the failure of a daemon means to whoever starts it. The codes and exit statuses are those of the commands
 * (failure.ts), but a daemon has other flags, and `heddle status` and `heddle logs` know nothing of it.
 */

import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { CliWorld } from './cli-context.ts';
import { describeFailure, type Failure } from './failure.ts';
import { printable } from './terminal.ts';

/** By the name it is started by; `heddle` is the teams daemon. */
export type DaemonName = 'tun-daemon' | 'subnet-daemon' | 'heddle';

/** As `describeFailure`, with a next step for this daemon. */
export function describeDaemonFailure(error: unknown, daemon: DaemonName): Failure {
  const failure = describeFailure(error);
  const { code } = failure;
  const room = code.split('/', 1)[0] ?? '';
  const next = code === 'usage/bad-option' ? HELP[daemon] : (BY_CODE[code] ?? BY_ROOM[room]);
  return next === undefined ? failure : { ...failure, next };
}

/** Says why a daemon ended and what to do, and returns its exit status. */
export function reportDaemonFailure(error: unknown, daemon: DaemonName, { err }: Pick<CliWorld, 'err'>): number {
  const { code, message, next, exitStatus } = describeDaemonFailure(error, daemon);
  err(`${daemon}: ${printable(message)} [${code}]\n  next: ${next}\n`);
  if (!(error instanceof TailnetError) && error instanceof Error) err(`${error.stack}\n`);
  return exitStatus;
}

const HELP: Readonly<Record<DaemonName, string>> = {
  'tun-daemon': 'see tun-daemon --help',
  'subnet-daemon': 'see subnet-daemon --help',
  heddle: 'see heddle help, docs/guide/teams.md',
};

const OTHER_STATE = 'choose another --state-db-path';
const REPORT = 'this is a fault of heddle: please report it with the log of the daemon';

const BY_CODE: Readonly<Record<string, string>> = {
  'state/locked': `end the daemon that uses it, or ${OTHER_STATE}`,
  'state/disk-full': 'free some space, then start the daemon again',
  'state/corrupt': 'restore a dump: heddle state restore --state-db-path PATH --file DUMP',
  'state/newer-version': 'use the heddle that wrote it, or a later one',
  'state/unwritable': `check owner and mode of the folder, or ${OTHER_STATE}`,
  'state/busy': 'start the daemon again',
  'ipc/already-running': 'end that daemon, or choose another --socket-path',
  'ipc/forbidden': 'run the daemon as root',
  'ipc/path-too-long': 'choose a shorter one with --socket-path',
  'ipc/not-a-socket': 'choose another path with --socket-path',
  'ipc/unsafe-directory': 'choose a folder of your own with --socket-path',
  'ipc/socket-failed': 'choose another path with --socket-path',
  'rest/busy': 'start the daemon again in a moment',
  'cli/internal': REPORT,
};

/** Of those whose advice for commands names a command. */
const BY_ROOM: Readonly<Record<string, string>> = {
  state: OTHER_STATE,
  ipc: 'see the log of the daemon',
  tun: 'see the log of the daemon',
  subnet: 'see the log of the daemon',
};
