/** The commands that change how this machine runs the teams daemon, as rows of the table in `verbs.ts`. */

import type { OptionSpec, VerbSpec } from './verbs.ts';

const CONFIG_ROOT: OptionSpec = { flags: '--config-root <dir>', description: 'folder with a folder for each team' };
const STATE_DB: OptionSpec = { flags: '--state-db-path <path>', description: 'state database of the daemon' };
const MODE: OptionSpec = {
  flags: '--mode <mode>',
  description: '"desktop": one daemon for all teams; "server": one service a team',
};
const SERVICE_TEAM: OptionSpec = { flags: '--team <team>', description: 'the team of a service in server mode' };
const DAEMON: OptionSpec = {
  flags: '--daemon <daemon>',
  description: 'in place of the teams daemon "tun" or "subnet", the REST daemon of that name',
};
const LOG_FILE: OptionSpec = {
  flags: '--log-file <file>',
  description: 'log of the daemon; default the service manager’s, of a REST daemon /var/log/NAME_daemon.log',
};
const ERR_FILE: OptionSpec = { flags: '--err-file <file>', description: 'warnings and errors of a REST daemon' };
const DRY_RUN: OptionSpec = { flags: '--dry-run', description: 'print what would be done', default: false };

const INSTALL_OPTIONS: readonly OptionSpec[] = [
  MODE,
  SERVICE_TEAM,
  DAEMON,
  CONFIG_ROOT,
  STATE_DB,
  LOG_FILE,
  ERR_FILE,
  { flags: '--port <port>', description: 'port of a REST daemon; default 3030 of "tun", 3031 of "subnet"' },
  { flags: '--nebula-binary <path>', description: 'the program Nebula' },
  { flags: '--team-config <file>', description: 'configuration of the team in server mode' },
  { flags: '--api-base <url>', description: 'server that says whether the team is still allowed to run' },
  { flags: '--rest', description: 'serve devices and subnets at localhost:3030 and :3031 too', default: false },
  DRY_RUN,
];

/** In the order of the help. */
export const HOST_VERBS: readonly VerbSpec[] = [
  serviceVerb('install-systemd', 'install the teams daemon, or a REST daemon, as a systemd service', INSTALL_OPTIONS),
  serviceVerb('install-launchd', 'install the teams daemon, or a REST daemon, as a launchd job', INSTALL_OPTIONS),
  serviceVerb(
    'uninstall',
    'remove the service that was installed; a REST daemon goes with its devices, logs and state',
    [
      MODE,
      SERVICE_TEAM,
      DAEMON,
      CONFIG_ROOT,
      STATE_DB,
      LOG_FILE,
      ERR_FILE,
      { flags: '--purge', description: 'remove configuration and state too', default: false },
      DRY_RUN,
    ],
  ),
  {
    name: 'state',
    description: 'dump or restore the state database of the teams daemon',
    argument: { name: '<action>', description: 'dump or restore' },
    options: [STATE_DB, { flags: '--file <file>', description: 'what to restore; default standard input' }],
    run: async ({ argument, options, context }) => {
      const { state } = await import('./commands/state.ts');
      await state(argument, options as unknown as Parameters<typeof state>[1], context);
    },
  },
];

function serviceVerb(
  name: 'install-systemd' | 'install-launchd' | 'uninstall',
  description: string,
  options: readonly OptionSpec[],
): VerbSpec {
  return {
    name,
    description,
    options,
    run: async ({ options: flags, context }) => {
      const { service } = await import('./commands/service.ts');
      await service(name, flags as unknown as Parameters<typeof service>[1], context);
    },
  };
}
