import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { IpPrefix } from '@heddle/proto/ip/prefix';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { parseNetwork } from '../allocation/cidr-text.ts';
import { judgeRange } from '../allocation/judge-request.ts';
import type { AddressPools } from '../interfaces/choose-network.ts';

/** Which of the two programs. */
export type InterfaceDaemonKind = 'tun' | 'subnet';

/** The flags of `tun-daemon` and `subnet-daemon`. */
export interface InterfaceDaemonOptions {
  readonly kind: InterfaceDaemonKind;
  /** TCP, on 127.0.0.1 and ::1. */
  readonly port: number;
  readonly stateDbPath: string;
  /** Shared by the daemons whose databases lie in the same folder. */
  readonly lockPath: string;
  /** INFO and below; undefined: standard error. */
  readonly logFile: string | undefined;
  /** WARN and above; undefined: where the others go. */
  readonly errFile: string | undefined;
  readonly logFormat: 'json' | 'text';
  /** Whoever sends its content may change interfaces; made with a random one if it is missing. */
  readonly tokenFile: string | undefined;
  /** Operators and teams. */
  readonly configRoot: string;
  /** No pool of IPv6: one of the machine's own (RFC 4193). */
  readonly pools: AddressPools;
  /** True: remove every interface that is recorded, and end. */
  readonly isRemoval: boolean;
  readonly isVerbose: boolean;
}

/** What `--help` prints. */
export function describeInterfaceOptions(kind: InterfaceDaemonKind): string {
  const port = DEFAULT_REST_PORTS[kind];
  return [
    `Usage: ${kind}-daemon [options]`,
    '',
    `Serves /${kind} at localhost:${port} (docs/guide/interfaces.md).`,
    '',
    `  --port <port>           TCP port; default ${port}`,
    `  --state-db-path <path>  state database; default ${STATE_DIR}/${kind}.db`,
    '  --log-file <file>       log of INFO and below; default standard error',
    '  --err-file <file>       log of WARN and above; default the same as the other',
    '  --log-format <format>   "json" (default) or "text"',
    '  --token-file <file>     who sends its content may change interfaces; made if it is missing',
    '  --config-root <dir>     daemon.yml with the operators, and the teams to keep clear of',
    '  --pool <cidr>           where networks are taken from; may be repeated; default 10.0.0.0/8 and one of IPv6',
    '  --remove-all            remove every interface this daemon has made, and end',
    '  -v, --verbose           log everything',
    '      --version           print the version',
    '',
  ].join('\n');
}

/** Beside the state database. */
export const ADDRESS_LOCK = 'addresses.lock';
const STATE_DIR = '/var/lib/tech.deltaops.cvpn';
const CONFIG_ROOT = '/etc/catalyst-networks';
/** Where clients look for the REST API. */
export const DEFAULT_REST_PORTS: Readonly<Record<InterfaceDaemonKind, number>> = { tun: 3030, subnet: 3031 };
/** The first TUN device is documented as 10.0.0.1. */
const DEFAULT_POOL = '10.0.0.0/8';

/** Of a network, as requests may ask for it. */
const BITS_MIN = 8;
const BITS_MIN_IPV6 = 48;
/** Pools unless others are given. */
export const DEFAULT_POOLS: AddressPools = { ipv4: [parsePool(DEFAULT_POOL)], ipv6: [] };

/** @throws {TailnetError} `usage/bad-option`. */
export function parseInterfaceOptions(kind: InterfaceDaemonKind, args: readonly string[]): InterfaceDaemonOptions {
  const values = readValues(args);
  const stateDbPath = resolve(values['state-db-path'] ?? join(STATE_DIR, `${kind}.db`));
  const pools = (values.pool ?? []).map(parsePool);
  const ofFamily = (family: 4 | 6): readonly IpPrefix[] => pools.filter(({ address }) => address.family === family);
  const pools4 = ofFamily(4);
  return {
    kind,
    port: parsePort(values.port, DEFAULT_REST_PORTS[kind], '--port'),
    stateDbPath,
    lockPath: join(dirname(stateDbPath), ADDRESS_LOCK),
    logFile: pathOf(values['log-file']),
    errFile: pathOf(values['err-file']),
    logFormat: parseLogFormat(values['log-format']),
    tokenFile: pathOf(values['token-file']),
    configRoot: resolve(values['config-root'] ?? CONFIG_ROOT),
    pools: { ipv4: pools4.length === 0 ? DEFAULT_POOLS.ipv4 : pools4, ipv6: ofFamily(6) },
    isRemoval: values['remove-all'] ?? false,
    isVerbose: values.verbose ?? false,
  };
}

type Values = ReturnType<typeof readValues>;

function readValues(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        port: { type: 'string' },
        'state-db-path': { type: 'string' },
        'log-file': { type: 'string' },
        'err-file': { type: 'string' },
        'log-format': { type: 'string' },
        'token-file': { type: 'string' },
        'config-root': { type: 'string' },
        pool: { type: 'string', multiple: true },
        'remove-all': { type: 'boolean' },
        verbose: { type: 'boolean', short: 'v' },
      },
    }).values;
  } catch (error) {
    throw badOption(error instanceof Error ? error.message : 'Unknown option');
  }
}

function pathOf(value: string | undefined): string | undefined {
  return value === undefined ? undefined : resolve(value);
}

/** A pool may be wider than any network taken from it; what no network may be is no pool either. */
function checkPool(pool: IpPrefix, text: string): IpPrefix {
  const bits = Math.max(pool.bits, pool.address.family === 4 ? BITS_MIN : BITS_MIN_IPV6);
  const { refusals } = judgeRange({ address: pool.address, bits });
  if (refusals.length === 0) return pool;
  throw badOption(`--pool "${text}" has no network to give: ${refusals.join('; ')}`);
}

/** @throws {TailnetError} `usage/bad-option`. */
export function parsePort(text: string | undefined, fallback: number, flag: string): number {
  if (text === undefined) return fallback;
  if (/^[0-9]{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw badOption(`${flag} is a number from 0 to 65535, not "${text}"`);
}

function parseLogFormat(text: Values['log-format']): 'json' | 'text' {
  if (text === undefined || text === 'json' || text === 'text') return text ?? 'json';
  throw badOption(`--log-format is "json" or "text", not "${text}"`);
}

function parsePool(text: string): IpPrefix {
  const pool = parseNetwork(text);
  if (pool.kind === 'ok') return checkPool(pool.prefix, text);
  if (pool.kind === 'host-bits') throw badOption(`--pool "${text}" has host bits; write ${pool.hint}`);
  throw badOption(`--pool is a network such as 10.64.0.0/10, not "${text}"`);
}

function badOption(message: string): TailnetError {
  return new TailnetError('usage/bad-option', message);
}
