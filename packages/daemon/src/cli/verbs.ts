/**
 * Every command with its options, as a table: the quick reader and commander's help are both made of it. What a command
 * does is loaded when it is called, so that `heddle status` starts without the engine.
 */

import type { CommandContext } from './cli-context.ts';
import { HOST_VERBS } from './host-verbs.ts';
import { INTERFACE_GROUPS, INTERFACE_VERBS } from './interface-verbs.ts';
import { parseSeconds, parseWhole } from './option-values.ts';
import { REGISTRATION_VERBS } from './registration-verbs.ts';
import { TEAM_VERBS } from './team-verbs.ts';

/** One option. Its value is a text, or true when the flags name none, or what `parse` makes of the text. */
export interface OptionSpec {
  /** `-n, --lines <count>`, `--no-udp`. */
  readonly flags: string;
  readonly description: string;
  readonly default?: string | boolean | number | readonly string[];
  /** @throws {RangeError} with one sentence for a text that does not fit. */
  readonly parse?: (text: string, previous: unknown) => unknown;
}

/** The values of the options by their names in camel case. */
export type OptionValues = Readonly<Record<string, unknown>>;

export interface VerbSpec {
  /** One word, or two: `tun create` is a command of the group `tun`. */
  readonly name: string;
  readonly description: string;
  /** `<peer>`; undefined when the command takes none. */
  readonly argument?: { readonly name: string; readonly description: string };
  readonly options: readonly OptionSpec[];
  /** In place of {@link COMMON_OPTIONS}, for a command that is not about an engine or a team. */
  readonly common?: readonly OptionSpec[];
  readonly run: (call: VerbCall) => Promise<void>;
}

/** What the help says of the commands whose names begin with one word. */
export interface VerbGroup {
  readonly name: string;
  readonly description: string;
  readonly examples: readonly string[];
  readonly note: string;
}

export interface VerbCall {
  readonly options: OptionValues;
  /** Empty for a command without one. */
  readonly argument: string;
  readonly context: CommandContext;
}

/** Options of every command that has none of its own in their place. */
export const COMMON_OPTIONS: readonly OptionSpec[] = [
  { flags: '--context <name>', description: 'which engine; default "default"' },
  { flags: '--state-dir <dir>', description: 'folder of its keys; its socket is there too' },
  { flags: '--socket-path <path>', description: 'its control socket' },
  { flags: '--timeout <seconds>', description: 'how long to wait', parse: parseSeconds },
  { flags: '--json', description: 'print JSON' },
];

const TEAM_OPTION: OptionSpec = {
  flags: '--team <team>',
  description: 'of this team of the teams daemon, instead of an engine',
};

const CONNECT_OPTIONS: readonly OptionSpec[] = [
  {
    flags: '--login-server <url>',
    description: 'coordination server; default the one of the last time, else Tailscale’s',
  },
  { flags: '--auth-key <key>', description: 'pre-auth key; "-" reads it from standard input' },
  { flags: '--auth-key-file <file>', description: 'file that holds the pre-auth key' },
  { flags: '--hostname <name>', description: 'name in the tailnet; default this machine’s' },
  { flags: '--proxy <address>', description: 'local HTTP and SOCKS5 proxy, or "off"', default: '127.0.0.1:16579' },
  { flags: '--proxy-user <name>', description: 'user name the proxy asks for; default any, with a token' },
  { flags: '--proxy-token-file <file>', description: 'file that holds the token the proxy asks for' },
  {
    flags: '--forward <spec>',
    description: 'ADDRESS:PORT:PEER:PORT, a local port that leads to a peer; may be repeated',
    parse: collect,
    default: [],
  },
  {
    flags: '--serve <spec>',
    description: 'TAILNET-PORT:HOST:PORT, a tailnet port that leads here; may be repeated',
    parse: collect,
    default: [],
  },
  { flags: '--tls-ca <file>', description: 'PEM file of an additional certificate authority' },
  { flags: '--accept-routes', description: 'reach the subnets that peers serve', default: false },
  { flags: '--no-udp', description: 'use relays only' },
  { flags: '--verbose', description: 'log everything', default: false },
  { flags: '--foreground', description: 'stay in the foreground until ctrl-C', default: false },
];

/** In the order of the help. */
export const VERBS: readonly VerbSpec[] = [
  {
    name: 'connect',
    description: 'join a tailnet and stay in it in the background',
    options: CONNECT_OPTIONS,
    run: async ({ options, context }) => {
      const { connect } = await import('./commands/connect.ts');
      await connect(options as unknown as Parameters<typeof connect>[0], context);
    },
  },
  {
    name: 'status',
    description: 'show the state, the addresses and the peers',
    options: [],
    run: async ({ context }) => (await import('./commands/status.ts')).status(context),
  },
  {
    name: 'peers',
    description: 'list the peers and the paths to them',
    options: [TEAM_OPTION],
    run: async ({ context }) => (await import('./commands/peers.ts')).peers(context),
  },
  {
    name: 'routes',
    description: 'list which prefix leads to which peer',
    options: [TEAM_OPTION],
    run: async ({ context }) => (await import('./commands/routes.ts')).routes(context),
  },
  {
    name: 'logs',
    description: 'show the log of the engine',
    options: [
      TEAM_OPTION,
      { flags: '-f, --follow', description: 'go on with new lines', default: false },
      {
        flags: '-n, --lines <count>',
        description: 'how many lines, at most 1000',
        parse: (text) => parseWhole(text, 1, 1000),
        default: 100,
      },
    ],
    run: async ({ options, context }) => {
      const { logs } = await import('./commands/logs.ts');
      await logs(options as unknown as Parameters<typeof logs>[0], context);
    },
  },
  {
    name: 'version',
    description: 'show the version',
    options: [],
    run: async ({ context }) => (await import('./commands/version.ts')).version(context),
  },
  {
    name: 'disconnect',
    description: 'leave the tailnet; the keys stay',
    options: [],
    run: async ({ context }) => (await import('./commands/disconnect.ts')).disconnect(context),
  },
  {
    name: 'reconnect',
    description: 'make all connections anew',
    options: [],
    run: async ({ context }) => (await import('./commands/reconnect.ts')).reconnect(context),
  },
  {
    name: 'wait',
    description: 'return when the tailnet is up',
    options: [],
    run: async ({ context }) => (await import('./commands/wait.ts')).wait(context),
  },
  {
    name: 'ping',
    description: 'send ICMP echoes to a peer through the tunnel',
    argument: { name: '<peer>', description: 'name or address' },
    options: [
      TEAM_OPTION,
      { flags: '-c, --count <count>', description: 'how many, one a second', parse: parseCount, default: 1 },
    ],
    run: async ({ options, argument, context }) => {
      const { ping } = await import('./commands/ping.ts');
      await ping(argument, options as unknown as Parameters<typeof ping>[1], context);
    },
  },
  ...TEAM_VERBS,
  ...HOST_VERBS,
  ...INTERFACE_VERBS,
  ...REGISTRATION_VERBS,
  {
    name: 'lab',
    description: 'run a small coordination server and relay for trying things out',
    options: [
      { flags: '--host <address>', description: 'address to listen at', default: '127.0.0.1' },
      { flags: '--port <port>', description: 'port of the coordination server', parse: parseCount, default: 0 },
    ],
    run: async ({ options, context }) => {
      const { lab } = await import('./commands/lab.ts');
      await lab(options as unknown as Parameters<typeof lab>[0], context);
    },
  },
];

/** One for every first word of a command of two. */
export const GROUPS: readonly VerbGroup[] = INTERFACE_GROUPS;

function collect(value: string, previous: unknown): string[] {
  return [...(previous as readonly string[]), value];
}

function parseCount(text: string): number {
  return parseWhole(text, 0, 65_535);
}
