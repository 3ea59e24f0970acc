/**
 * What a service is to run and where: the one description that units and plists are written from.
 */

import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { TEAM_NAME_PATTERN } from '../schema/team-name.ts';
import { checkSocketPath } from '../socket/socket-path.ts';
import { describeInterfaces, type InterfacesDescription } from './interfaces-description.ts';
import { checkServicePath } from './service-path.ts';
import type { ServiceIdentity } from './unit-names.ts';

/** Where everything is unless an option says otherwise. */
export const SERVICE_DEFAULTS = {
  socketPath: '/var/run/tech.deltaops.cvpn/cmd.sock',
  configRoot: '/etc/catalyst-networks',
  stateDbPath: '/var/lib/tech.deltaops.cvpn/state.db',
  nebulaBinary: '/usr/local/bin/nebula',
} as const;

interface CommonDescription {
  /** The Node.js binary. */
  readonly nodePath: string;
  /** The program Node.js runs: heddle itself. */
  readonly command: string;
  readonly configRoot: string;
}

/** One service runs all teams of a user's machine: the supervisor. */
export interface DesktopDescription extends CommonDescription {
  readonly mode: 'desktop';
  readonly socketPath: string;
  readonly stateDbPath: string;
  /** Undefined: the log goes to the service manager. */
  readonly logFile: string | undefined;
  /** Undefined: the supervisor looks for one. */
  readonly nebulaBinary: string | undefined;
  /** True: it serves the REST API of devices and subnets as well. */
  readonly isRest: boolean;
}

/** One team of a server runs by itself, without a supervisor; a timer asks whether it is still allowed to. */
export interface ServerDescription extends CommonDescription {
  readonly mode: 'server';
  readonly team: string;
  /** The complete Nebula configuration, `config.yml` of the team unless it was rendered elsewhere. */
  readonly teamConfigPath: string;
  readonly nebulaBinary: string;
  /** Base URL of the team server; undefined: the one stored with the credentials. */
  readonly apiBase: string | undefined;
}

/** A checked description; made only by {@link describeService}. All paths are absolute and safe to write. */
export type ServiceDescription = DesktopDescription | ServerDescription | InterfacesDescription;

/** What the user gave; undefined takes the default. */
export interface ServiceOptions {
  /** `desktop` unless a team or a daemon is given. */
  readonly mode: string | undefined;
  readonly team: string | undefined;
  /** `tun` or `subnet` for one of the REST daemons. */
  readonly daemon: string | undefined;
  readonly nodePath: string;
  readonly command: string;
  /** Folder of the package, which has the programs of the REST daemons in `bin`. */
  readonly packageFolder: string;
  readonly socketPath: string | undefined;
  readonly configRoot: string | undefined;
  readonly stateDbPath: string | undefined;
  readonly logFile: string | undefined;
  /** Of a REST daemon: warnings and errors. */
  readonly errFile: string | undefined;
  /** Of the supervisor: serve the REST API as well. */
  readonly isRest: boolean;
  /** Of a REST daemon; text of a number. */
  readonly port: string | undefined;
  /** Group of this machine that may read the log of a REST daemon. Undefined: root's. */
  readonly logGroup: string | undefined;
  readonly nebulaBinary: string | undefined;
  readonly teamConfigPath: string | undefined;
  readonly apiBase: string | undefined;
}

/**
 * Checks the options and fills in the defaults.
 * @throws {TailnetError} `service/bad-path`, `service/bad-option`, `ipc/path-too-long`.
 */
export function describeService(options: ServiceOptions): ServiceDescription {
  const identity = identifyService(options);
  if (options.isRest && identity.mode !== 'desktop') throw badOption('--rest is for the daemon of all teams');
  if (identity.mode === 'interfaces') return describeInterfaces(identity.daemon, options);
  if (options.errFile !== undefined || options.port !== undefined)
    throw badOption('--err-file and --port are for a REST daemon: say which with --daemon');
  const common: CommonDescription = {
    nodePath: checkServicePath('Node.js', options.nodePath),
    command: checkServicePath('heddle', options.command),
    configRoot: checkServicePath('the config root', options.configRoot ?? SERVICE_DEFAULTS.configRoot),
  };
  return identity.mode === 'desktop'
    ? describeDesktop(common, options)
    : describeServer(common, identity.team, options);
}

/**
 * Which service is meant.
 * @throws {TailnetError} `service/bad-option`.
 */
export function identifyService(options: Pick<ServiceOptions, 'mode' | 'team' | 'daemon'>): ServiceIdentity {
  const { mode, team, daemon } = options;
  if (daemon !== undefined) {
    if (mode !== undefined || team !== undefined) throw badOption('A REST daemon has no --mode and no --team');
    if (daemon !== 'tun' && daemon !== 'subnet')
      throw badOption(`Daemon ${JSON.stringify(daemon)} is neither "tun" nor "subnet"`);
    return { mode: 'interfaces', daemon };
  }
  if (mode !== undefined && mode !== 'desktop' && mode !== 'server') {
    throw badOption(`Mode ${JSON.stringify(mode)} is neither "desktop" nor "server"`);
  }
  if (team === undefined) {
    if (mode === 'server') throw badOption('Server mode has one service a team: name it with --team');
    return { mode: 'desktop' };
  }
  if (mode === 'desktop') throw badOption('Desktop mode runs all teams: leave --team out, or take --mode server');
  if (!TEAM_NAME_PATTERN.test(team))
    throw badOption(`Team ${JSON.stringify(team)} is not 1 to 64 letters, digits, "-" and "_"`);
  return { mode: 'server', team };
}

// The alphabet is safe in unit names, labels and file names without any escaping.

function describeDesktop(common: CommonDescription, options: ServiceOptions): DesktopDescription {
  const socketPath = checkServicePath('the control socket', options.socketPath ?? SERVICE_DEFAULTS.socketPath);
  checkSocketPath(socketPath);
  return {
    mode: 'desktop',
    ...common,
    socketPath,
    stateDbPath: checkServicePath('the state database', options.stateDbPath ?? SERVICE_DEFAULTS.stateDbPath),
    logFile: options.logFile === undefined ? undefined : checkServicePath('the log file', options.logFile),
    nebulaBinary: options.nebulaBinary === undefined ? undefined : checkServicePath('Nebula', options.nebulaBinary),
    isRest: options.isRest,
  };
}

function describeServer(common: CommonDescription, team: string, options: ServiceOptions): ServerDescription {
  const teamConfigPath = options.teamConfigPath ?? `${common.configRoot}/${team}/config.yml`;
  return {
    mode: 'server',
    ...common,
    team,
    teamConfigPath: checkServicePath('the team configuration', teamConfigPath),
    nebulaBinary: checkServicePath('Nebula', options.nebulaBinary ?? SERVICE_DEFAULTS.nebulaBinary),
    apiBase: options.apiBase === undefined ? undefined : parseApiBase(options.apiBase),
  };
}

// A user name or a query could carry a token, and everybody on the machine can read a unit and a command line.
function parseApiBase(text: string): string {
  const url = /^[\x21-\x7e]{1,500}$/.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url !== undefined && `${url.username}${url.password}${url.search}${url.hash}` === '';
  if (isPlain && /^https?:[^"'`\\]+$/.test(url.href)) return url.href;
  throw badOption('The address of the team server is not an http or https URL without user name and query');
}

function badOption(message: string): TailnetError {
  return new TailnetError('service/bad-option', message);
}
