/**
 * What a failure means to the caller: one line, one next step, one exit status (docs/guide/errors.md). Scripts may rely
 * on codes and statuses; the words may change.
 */

import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { REGISTRATION_ADVICE, type RegistrationCode, RegistrationError } from '../registration/registration-error.ts';
import { INTERFACE_CODES, type InterfaceCode } from '../schema/interface-codes.ts';

/** Exit statuses of every command. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  notRunning: 3,
  forbidden: 4,
  timeout: 5,
  auth: 6,
  network: 7,
  state: 8,
  conflict: 9,
  peer: 10,
  interrupted: 130,
} as const;

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly next: string;
  readonly exitStatus: number;
}

/** A failure that the command has told already, in its own words; only the exit status is left. */
export class ReportedFailure extends Error {
  override readonly name = 'ReportedFailure';
  readonly exitStatus: number;

  constructor(exitStatus: number) {
    super(`Exit status ${exitStatus}`);
    this.exitStatus = exitStatus;
  }
}

/** Describes any thrown value; one that is not a TailnetError is a fault of ours. */
export function describeFailure(error: unknown): Failure {
  const code = error instanceof TailnetError ? error.code : 'cli/internal';
  const message = (error instanceof Error ? error.message : String(error)).replaceAll(/\s*\n\s*/g, ' ');
  const room = code.split('/', 1)[0] ?? '';
  const [exitStatus, next] = adviceOf(error, code) ??
    BY_CODE[code] ??
    BY_TEAM_CODE[code] ??
    BY_REST_CODE[code] ??
    BY_ROOM[room] ?? [EXIT.failed, 'see `heddle logs`'];
  return { code, message, next, exitStatus };
}

/** Failures of the team server bring their advice along, because some of it is about the case at hand. */
function adviceOf(error: unknown, code: string): Advice | undefined {
  if (error instanceof RegistrationError) return [EXIT[error.exit], error.nextStep];
  if (Object.hasOwn(INTERFACE_CODES, code)) return adviceOfInterfaces(code as InterfaceCode);
  const advice = Object.hasOwn(REGISTRATION_ADVICE, code) ? REGISTRATION_ADVICE[code as RegistrationCode] : undefined;
  return advice === undefined ? undefined : [EXIT[advice.exit], advice.next];
}

/** The REST API says what is wrong by the HTTP status. */
function adviceOfInterfaces(code: InterfaceCode): Advice {
  const { status, next } = INTERFACE_CODES[code];
  const step = COMMAND_FOR[code] ?? next;
  if (status === 403) return [EXIT.forbidden, step];
  if (status === 409 || status === 503 || status === 507) return [EXIT.conflict, step];
  return [status < 500 ? EXIT.usage : EXIT.failed, step];
}

/** What somebody does who did not write the request: the commands did. */
const COMMAND_FOR: Partial<Record<InterfaceCode, string>> = {
  'rest/bad-field': 'see heddle help tun, heddle help subnet',
  'rest/forbidden': 'be root, an operator of daemon.yml, or pass the token by --token-file',
  'rest/no-identity': 'pass the token by --token-file',
  'tun/unknown': 'see heddle tun list',
  'subnet/unknown': 'see heddle subnet list',
};

type Advice = readonly [exitStatus: number, next: string];

const NEW_KEY = 'make a new key on the coordination server and pass it by --auth-key-file';
const CHECK_SERVER = 'check --login-server and that this machine reaches it';
const REPORT = 'this is a fault of heddle: please report it with the output of heddle logs';
const PATIENCE = 'wait and run the same command again; if it stays so, tell the administrator of the server';

const BY_CODE: Readonly<Record<string, Advice>> = {
  'ipc/not-running': [EXIT.notRunning, 'start it: heddle connect'],
  'ipc/closed': [EXIT.notRunning, 'see why it ended: heddle logs'],
  'ipc/already-running': [EXIT.conflict, 'look at it: heddle status; or end it: heddle disconnect'],
  'ipc/forbidden': [EXIT.forbidden, 'use the account that started the engine, or root'],
  'ipc/no-identity': [EXIT.forbidden, 'run heddle on the machine of the engine, with koffi installed'],
  'ipc/timeout': [EXIT.timeout, 'see what it is doing: heddle logs; or end it: heddle disconnect'],
  'ipc/rate-limited': [EXIT.conflict, 'wait a minute; to wait for a state use heddle wait'],
  'ipc/path-too-long': [EXIT.usage, 'choose a shorter one with --socket-path'],
  'ipc/not-a-socket': [EXIT.usage, 'choose another path with --socket-path'],
  'ipc/unsafe-directory': [EXIT.usage, 'choose a folder of your own with --socket-path'],
  'proxy/bad-listen': [EXIT.usage, 'for example --proxy 127.0.0.1:16579, or --proxy off'],
  'proxy/bad-forward': [EXIT.usage, 'for example --forward 127.0.0.1:15432:db:5432'],
  'proxy/bad-serve': [EXIT.usage, 'for example --serve 8080:127.0.0.1:3000'],
  'connect/timeout': [EXIT.timeout, 'see what it tried: heddle logs; then check --login-server and the network'],
  'cli/interrupted': [EXIT.interrupted, 'nothing is left running that this command started; run it again'],
  'connect/auth-key-file': [EXIT.usage, 'write the key into a file only you can read and pass its path'],
  'connect/proxy-token-file': [EXIT.usage, 'write a token into a file only you can read and pass its path'],
  'connect/tls-ca-file': [EXIT.usage, 'pass the path of a PEM file'],
  'wait/timeout': [EXIT.timeout, 'see what it is doing: heddle logs'],
  'disconnect/timeout': [EXIT.timeout, 'end the process by its pid: heddle status shows it'],
  'control/auth-key-required': [EXIT.auth, 'pass a key by --auth-key-file, or open the login page'],
  'control/invalid-auth-key': [EXIT.auth, NEW_KEY],
  'control/registration-refused': [EXIT.auth, NEW_KEY],
  'control/key-expired': [EXIT.auth, 'log in again: heddle connect, with a new key if you use one'],
  'control/unknown-node': [EXIT.auth, 'the server has forgotten this node: heddle connect with a new key'],
  'control/unreachable': [EXIT.network, CHECK_SERVER],
  'control/connection-lost': [EXIT.network, CHECK_SERVER],
  'control/timeout': [EXIT.network, CHECK_SERVER],
  'control/certificate': [EXIT.network, 'pass the CA of the server by --tls-ca'],
  'control/redirected': [EXIT.network, 'pass the URL of the server itself by --login-server'],
  'control/server-error': [EXIT.network, PATIENCE],
  'control/rate-limited': [EXIT.network, PATIENCE],
  'control/version-refused': [EXIT.network, 'update heddle, or the server'],
  'control/unsupported-server': [EXIT.network, 'check --login-server, or update that server'],
  'control/key-not-saved': [
    EXIT.state,
    'see why: heddle logs; then free space or check the owner of the state directory',
  ],
  'derp/tls-certificate': [EXIT.network, 'pass the CA of the relay by --tls-ca, or correct the relay map'],
  'state/foreign': [EXIT.state, 'choose another --state-dir or --context'],
  'state/locked': [EXIT.conflict, 'look at it: heddle status; or choose another --state-dir'],
  'state/disk-full': [EXIT.state, 'free some space and run the same command again'],
  'state/corrupt': [EXIT.state, 'restore state.json, or move the directory away and join as a new node'],
  'state/newer-version': [EXIT.state, 'use the heddle that wrote it, or a later one'],
  'state/unwritable': [EXIT.state, 'check owner and mode of the directory, or choose another --state-dir'],
  'dial/unknown-host': [EXIT.peer, 'list the names: heddle peers'],
  'ping/timeout': [EXIT.peer, 'see whether it is online: heddle peers'],
  'tailnet/not-running': [EXIT.notRunning, 'wait for it: heddle wait'],
  'engine/died': [EXIT.failed, 'see its last lines: heddle logs'],
  'engine/internal': [EXIT.failed, REPORT],
  'tailnet/internal': [EXIT.failed, REPORT],
  'ipc/internal': [EXIT.failed, REPORT],
  'cli/internal': [EXIT.failed, REPORT],
};

const BY_REST_CODE: Readonly<Record<string, Advice>> = {
  'usage/bad-command': [EXIT.usage, 'see heddle help tun, heddle help subnet'],
  'usage/two-networks': [EXIT.usage, 'give the network alone, or the options alone'],
  'rest/not-running': [EXIT.notRunning, 'start it: tun-daemon, subnet-daemon, or the teams daemon with --rest'],
  'rest/timeout': [EXIT.timeout, 'see whether it was done: heddle tun list, heddle subnet list'],
  'rest/foreign-server': [EXIT.forbidden, 'see what listens there; the daemon does not, or runs as that user'],
  'rest/bad-answer': [EXIT.failed, 'see what listens there, or choose another port with --port'],
};

const PROVISION = 'correct it, then: heddle provision';
const RENEW = 'renew it on the machine of the authority, then: heddle up TEAM';

const BY_TEAM_CODE: Readonly<Record<string, Advice>> = {
  'state/bad-dump': [EXIT.state, 'pass the output of: heddle state dump'],
  'state/missing': [EXIT.state, 'pass the path of one by --state-db-path'],
  'state/busy': [EXIT.conflict, 'run the same command again'],
  'team/no-daemon': [EXIT.notRunning, 'start it: heddle --ipc-mode socket; or pass its --socket-path'],
  'team/unknown': [EXIT.usage, 'see heddle list; a new one is taken over by heddle provision'],
  'team/gone': [EXIT.usage, 'see heddle list'],
  'team/no-config': [EXIT.usage, 'write config.yml or tailnet.yml into a folder of that name below the config root'],
  'team/bad-config': [EXIT.usage, PROVISION],
  'team/unsafe-config': [EXIT.usage, 'chown root and chmod go-w, then: heddle provision'],
  'team/bad-config-root': [EXIT.usage, 'choose another one with --config-root'],
  'team/bad-daemon-file': [EXIT.usage, 'correct it or its owner and mode, or move it away'],
  'team/kind-changed': [EXIT.conflict, 'take it down first: heddle down TEAM'],
  'team/not-running': [EXIT.notRunning, 'bring it up: heddle up TEAM'],
  'team/not-supported': [EXIT.usage, 'see heddle list for the kinds'],
  'team/internal': [EXIT.failed, REPORT],
  'nebula/pki-missing': [EXIT.usage, PROVISION],
  'nebula/pki-invalid': [EXIT.usage, PROVISION],
  'nebula/pki-mismatch': [EXIT.usage, PROVISION],
  'nebula/config-invalid': [EXIT.usage, PROVISION],
  'nebula/certificate-expired': [EXIT.usage, RENEW],
  'nebula/ca-expired': [EXIT.usage, RENEW],
  'nebula/no-privilege': [EXIT.forbidden, 'run the daemon as root, or give it CAP_NET_ADMIN and /dev/net/tun'],
  'nebula/device-busy': [EXIT.conflict, 'end the process that holds the device'],
  'nebula/device-conflict': [EXIT.conflict, 'remove that device, or rename the team'],
  'nebula/port-in-use': [EXIT.conflict, 'end that program, or change listen.port'],
  'nebula/stats-port-in-use': [EXIT.conflict, 'change stats.listen'],
  'rest/port-in-use': [EXIT.conflict, 'end that program, or choose another port'],
  'rest/listen-failed': [EXIT.failed, 'choose another port'],
  'rest/bad-token-file': [EXIT.usage, 'write a token of 16 characters or more into a file of mode 600'],
  'service/not-root': [EXIT.forbidden, 'run it with sudo'],
  'service/bad-path': [EXIT.usage, 'choose a path that only root can change, without special characters'],
  'service/bad-option': [EXIT.usage, 'see heddle help install-systemd'],
  'service/devices-left': [EXIT.failed, 'end the daemon if it was started by hand, then run the same command again'],
  'service/foreign-unit': [EXIT.conflict, 'move that unit away, or keep it'],
};

const BY_ROOM: Readonly<Record<string, Advice>> = {
  usage: [EXIT.usage, 'see heddle help'],
  ipc: [EXIT.failed, 'see heddle logs'],
  control: [EXIT.network, CHECK_SERVER],
  derp: [EXIT.network, 'see heddle logs'],
  state: [EXIT.state, 'choose another --state-dir'],
  dial: [EXIT.peer, 'see whether it is online: heddle peers'],
  ping: [EXIT.peer, 'see whether it is online: heddle peers'],
  proxy: [EXIT.conflict, 'choose another address with --proxy, or --proxy off'],
  forward: [EXIT.conflict, 'choose another local port with --forward'],
  serve: [EXIT.conflict, 'choose another port with --serve'],
  listen: [EXIT.conflict, 'choose another port with --serve'],
  team: [EXIT.failed, 'see heddle list and heddle logs'],
  plan: [EXIT.conflict, 'see heddle plan'],
  nebula: [EXIT.failed, 'see heddle list'],
  service: [EXIT.failed, 'see what it would do: --dry-run'],
  rest: [EXIT.failed, 'see the log of the daemon'],
  tun: [EXIT.failed, 'see heddle tun list and the log of the daemon'],
  subnet: [EXIT.failed, 'see heddle subnet list and the log of the daemon'],
  allocation: [EXIT.conflict, 'choose another network'],
  interface: [EXIT.failed, 'see the log of the daemon'],
  lab: [EXIT.conflict, 'choose another --port or --host'],
};
