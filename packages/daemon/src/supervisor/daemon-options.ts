import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { DEFAULT_REST_PORTS, parsePort } from '../interface-daemon/interface-options.ts';
import { PIPE_FOLDER, SUPERVISOR_PIPE, SUPERVISOR_SOCKET } from '../socket/socket-path.ts';

/** The flags of `heddle --ipc-mode …`. */
export interface DaemonOptions {
  readonly ipcMode: 'socket' | 'pipe';
  /** Where clients connect: a path, or `\\.\pipe\…`. */
  readonly socketPath: string;
  readonly configRoot: string;
  readonly stateDbPath: string;
  readonly isAutostart: boolean;
  readonly nebulaBinary: string | undefined;
  readonly logFile: string | undefined;
  /** Ports of the REST API; undefined: not served. */
  readonly rest: RestOptions | undefined;
  readonly isDryRun: boolean;
  readonly isVerbose: boolean;
}

export interface RestOptions {
  readonly tunPort: number;
  readonly subnetPort: number;
  readonly tokenFile: string | undefined;
}

const DEFAULT_CONFIG_ROOT = '/etc/catalyst-networks';
/** The state database unless it is told otherwise. */
export const DEFAULT_STATE_DB = '/var/lib/tech.deltaops.cvpn/state.db';

/** @throws {TailnetError} `usage/bad-option`. */
export function parseDaemonOptions(
  args: readonly string[],
  platform: NodeJS.Platform = process.platform,
): DaemonOptions {
  const values = readValues(args);
  const mode = values['ipc-mode'];
  if (mode !== 'socket' && mode !== 'pipe') {
    throw new TailnetError('usage/bad-option', `--ipc-mode is "socket" or "pipe", not "${mode}"`);
  }
  checkPlatform(mode, values, platform);
  return {
    ipcMode: mode,
    socketPath: mode === 'pipe' ? pipePath(values['pipe-name']) : resolve(values['socket-path'] ?? SUPERVISOR_SOCKET),
    configRoot: resolve(values['config-root'] ?? DEFAULT_CONFIG_ROOT),
    stateDbPath: resolve(values['state-db-path'] ?? DEFAULT_STATE_DB),
    isAutostart: values.autostart ?? false,
    nebulaBinary: values['nebula-binary'],
    logFile: values['log-file'] === undefined ? undefined : resolve(values['log-file']),
    rest: parseRest(values, platform),
    isDryRun: values['dry-run'] ?? false,
    isVerbose: values.verbose ?? false,
  };
}

/** One character more would be another folder. */
function pipePath(name: string = SUPERVISOR_PIPE): string {
  if (/^[^\\/\0]{1,200}$/.test(name)) return `${PIPE_FOLDER}${name}`;
  throw new TailnetError('usage/bad-option', '--pipe-name is a name of 1 to 200 characters without "\\" and "/"');
}

function checkPlatform(mode: 'socket' | 'pipe', values: Values, platform: NodeJS.Platform): void {
  const isWindows = platform === 'win32';
  if ((mode === 'pipe') !== isWindows) {
    const other = isWindows ? 'pipe' : 'socket';
    throw new TailnetError('usage/bad-option', `There is no --ipc-mode ${mode} on this system; use ${other}`);
  }
  // Every user of Windows may make folders at the top of the disk, where the defaults would be.
  if (isWindows && (values['config-root'] === undefined || values['state-db-path'] === undefined)) {
    const what = 'folders that only administrators can change';
    throw new TailnetError('usage/bad-option', `On Windows give --config-root and --state-db-path, in ${what}`);
  }
}

function parseRest(values: Values, platform: NodeJS.Platform): RestOptions | undefined {
  const { rest: isWanted, 'tun-port': tun, 'subnet-port': subnet, 'token-file': tokenFile } = values;
  if (isWanted !== true && tun === undefined && subnet === undefined) {
    if (tokenFile === undefined) return undefined;
    throw new TailnetError('usage/bad-option', '--token-file is for the REST API: add --rest');
  }
  if (platform === 'win32') throw new TailnetError('usage/bad-option', 'There is no REST API on Windows');
  return {
    tunPort: parsePort(tun, DEFAULT_REST_PORTS.tun, '--tun-port'),
    subnetPort: parsePort(subnet, DEFAULT_REST_PORTS.subnet, '--subnet-port'),
    tokenFile: tokenFile === undefined ? undefined : resolve(tokenFile),
  };
}

type Values = ReturnType<typeof readValues>;

function readValues(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        'ipc-mode': { type: 'string' },
        'socket-path': { type: 'string' },
        'pipe-name': { type: 'string' },
        'config-root': { type: 'string' },
        'state-db-path': { type: 'string' },
        autostart: { type: 'boolean' },
        'nebula-binary': { type: 'string' },
        'log-file': { type: 'string' },
        rest: { type: 'boolean' },
        'tun-port': { type: 'string' },
        'subnet-port': { type: 'string' },
        'token-file': { type: 'string' },
        'dry-run': { type: 'boolean' },
        verbose: { type: 'boolean', short: 'v' },
      },
    }).values;
  } catch (error) {
    throw new TailnetError('usage/bad-option', error instanceof Error ? error.message : 'Unknown option');
  }
}
