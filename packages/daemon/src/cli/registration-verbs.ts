/** The commands that speak with a team server, as rows of the table in `verbs.ts`. */

import type { OptionSpec, VerbCall, VerbSpec } from './verbs.ts';

const CONFIG_ROOT: OptionSpec = { flags: '--config-root <dir>', description: 'folder with a folder for each team' };
const ORG: OptionSpec = { flags: '--org-slug <team>', description: 'the team; all that are registered without' };
const TEAM: OptionSpec = { flags: '--team <team>', description: 'the same' };
const ALL: OptionSpec = { flags: '--all', description: 'every registered team; the default', default: false };
const DRY_RUN: OptionSpec = { flags: '--dry-run', description: 'say what would be done', default: false };
const API_BASE: OptionSpec = { flags: '--api-base <url>', description: 'address of the team server' };

type Commands = typeof import('./commands/registration.ts');

/** In the order of the help. */
export const REGISTRATION_VERBS: readonly VerbSpec[] = [
  verb('register', 'make this machine a node of a Nebula team of a team server', 'registerNode', [
    API_BASE,
    { flags: '--org-slug <team>', description: 'the team' },
    { flags: '--node-name <name>', description: 'name of this machine in the team' },
    { flags: '--mode <mode>', description: '"server" or "desktop"' },
    {
      flags: '--registration-token <token>',
      description: 'token of the team server; "-" reads it from standard input',
    },
    { flags: '--registration-token-file <file>', description: 'file that holds it' },
    {
      flags: '--access-token <token>',
      description: 'access token of a user instead; "-" reads it from standard input',
    },
    { flags: '--access-token-file <file>', description: 'file that holds it' },
    { flags: '--is-lighthouse', description: 'others find each other through this machine', default: false },
    { flags: '--public-ip <address>', description: 'of a lighthouse' },
    { flags: '--fqdn <name>', description: 'name of a lighthouse' },
    { flags: '--external-port <port>', description: 'UDP port of a lighthouse; default 4242' },
    { flags: '--tls-ca-file <file>', description: 'PEM file of an additional certificate authority' },
    { flags: '--allow-http', description: 'allow a server without TLS', default: false },
    { flags: '--replace', description: 'register again although the old node is still good', default: false },
    CONFIG_ROOT,
    DRY_RUN,
  ]),
  verb('sync-config', 'fetch certificate and configuration of registered teams', 'syncTeams', [
    ORG,
    CONFIG_ROOT,
    DRY_RUN,
  ]),
  verb('check-auth', 'ask whether registered teams are still allowed, and stop those that are not', 'checkTeams', [
    ORG,
    TEAM,
    ALL,
    API_BASE,
    CONFIG_ROOT,
    DRY_RUN,
  ]),
  verb('checkin', 'tell the team server that this machine is there', 'checkInTeams', [ORG, CONFIG_ROOT, DRY_RUN]),
  verb('check-port', 'say which UDP ports of the teams are free', 'checkPorts', [
    { flags: '--port <port>', description: 'this one; may be repeated', parse: collectPort, default: [] },
    CONFIG_ROOT,
  ]),
  {
    name: 'nebula',
    description: 'look at the program Nebula: "heddle nebula check"',
    argument: { name: '<action>', description: 'check' },
    options: [{ flags: '--nebula-binary <path>', description: 'the program' }],
    run: async ({ argument, options, context }) => {
      const { nebula } = await import('./commands/registration.ts');
      await nebula(argument, options as Parameters<typeof nebula>[1], context);
    },
  },
];

function verb(
  name: string,
  description: string,
  command: Exclude<keyof Commands, 'nebula'>,
  options: readonly OptionSpec[],
): VerbSpec {
  const run = async ({ options: flags, context }: VerbCall): Promise<void> => {
    const commands: Commands = await import('./commands/registration.ts');
    await (commands[command] as (flags: unknown, context: VerbCall['context']) => Promise<void>)(flags, context);
  };
  return { name, description, options, run };
}

function collectPort(text: string, previous: unknown): number[] {
  const port = Number(text);
  if (!/^[0-9]{1,5}$/.test(text) || port < 1 || port > 65_535) throw new RangeError('Not a port from 1 to 65535.');
  return [...(previous as readonly number[]), port];
}
