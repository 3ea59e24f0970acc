import { posix } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { ServiceOptions } from './description.ts';
import { checkServicePath } from './service-path.ts';
import type { InterfaceDaemon } from './unit-names.ts';

/** One of the REST daemons. All paths are absolute and safe to write. */
export interface InterfacesDescription {
  readonly mode: 'interfaces';
  readonly daemon: InterfaceDaemon;
  /** The Node.js binary. */
  readonly nodePath: string;
  /** The program Node.js runs: the daemon itself. */
  readonly command: string;
  /** What people call the daemon by; an installation writes it, a removal removes it. */
  readonly program: string;
  readonly port: number;
  readonly stateDbPath: string;
  /** Undefined: the daemon's own default. */
  readonly configRoot: string | undefined;
  readonly logFile: string;
  readonly errFile: string;
  /** Group that keeps the log when it is rotated; undefined: root's. */
  readonly logGroup: string | undefined;
}

/** Where existing installations have them. */
const PORTS: Readonly<Record<InterfaceDaemon, number>> = { tun: 3030, subnet: 3031 };

/**
 * Checks the options of a REST daemon and fills in the defaults.
 * @throws {TailnetError} `service/bad-path`, `service/bad-option`.
 */
export function describeInterfaces(daemon: InterfaceDaemon, options: ServiceOptions): InterfacesDescription {
  refuseOptionsOfTeams(options);
  const { configRoot } = options;
  const command = checkServicePath(
    `the ${daemon} daemon`,
    posix.join(options.packageFolder, 'bin', `${daemon}-daemon.js`),
  );
  const stateDbPath = options.stateDbPath ?? `/var/lib/tech.deltaops.cvpn/${daemon}.db`;
  return {
    mode: 'interfaces',
    daemon,
    nodePath: checkServicePath('Node.js', options.nodePath),
    command,
    program: findProgram(daemon, command),
    port: options.port === undefined ? PORTS[daemon] : parsePort(options.port),
    stateDbPath: checkServicePath('the state database', stateDbPath),
    configRoot: configRoot === undefined ? undefined : checkServicePath('the config root', configRoot),
    logFile: checkServicePath('the log file', options.logFile ?? `/var/log/${daemon}_daemon.log`),
    errFile: checkServicePath('the error file', options.errFile ?? `/var/log/${daemon}_daemon.err`),
    logGroup: options.logGroup,
  };
}

function refuseOptionsOfTeams({ nebulaBinary, teamConfigPath, apiBase }: ServiceOptions): void {
  const given = { '--nebula-binary': nebulaBinary, '--team-config': teamConfigPath, '--api-base': apiBase };
  const [name] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
  if (name !== undefined) throw badOption(`A REST daemon runs no teams: leave ${name} out`);
}

// `make install` puts the package below the same prefix as the programs.
function findProgram(daemon: InterfaceDaemon, command: string): string {
  const [, prefix] = /^(.*)\/lib\/heddle\/bin\/[^/]+$/.exec(command) ?? [];
  return `${prefix ?? '/usr/local'}/bin/${daemon}-daemon`;
}

function parsePort(text: string): number {
  const port = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw badOption(`Port ${JSON.stringify(text.slice(0, 20))} is not a number from 1 to 65535`);
}

function badOption(message: string): TailnetError {
  return new TailnetError('service/bad-option', message);
}
