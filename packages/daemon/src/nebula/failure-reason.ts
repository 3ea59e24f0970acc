/**
 * Why a Nebula process ended, told from its last log lines and its exit.
 *
 * Only lines that can end a process count. What peers cause (rejected certificates, refused packets) and what a failed
 * reload says is logged as an error too, but the process lives on.
 */

import type { NebulaLogLine } from './log-line.ts';

/**
 * - `never`: nothing changes until somebody changes a file or a permission.
 * - `few`: what is in the way may be an earlier process that is just dying.
 * - `backoff`: as long as the restart policy allows.
 */
export type RetryAdvice = 'never' | 'few' | 'backoff';

export type FailureCode =
  | 'nebula/pki-missing'
  | 'nebula/pki-invalid'
  | 'nebula/pki-mismatch'
  | 'nebula/certificate-expired'
  | 'nebula/ca-expired'
  | 'nebula/device-busy'
  | 'nebula/device-conflict'
  | 'nebula/device-lost'
  | 'nebula/no-privilege'
  | 'nebula/port-in-use'
  | 'nebula/stats-port-in-use'
  | 'nebula/config-invalid'
  | 'nebula/start-failed'
  | 'nebula/crashed'
  | 'nebula/killed'
  | 'nebula/stopped';

export interface FailureReason {
  readonly code: FailureCode;
  /** One line, what to do included where it is known. Holds no key material. */
  readonly message: string;
  readonly retry: RetryAdvice;
}

/** How the process ended: one of the two is set. */
export interface ProcessExit {
  readonly code: number | null;
  readonly signal: string | null;
}

/**
 * @param lines The last lines of the process, oldest first, standard error included; lines of an earlier process of the
 *   same log file must not be among them.
 */
export function explainExit(lines: readonly NebulaLogLine[], exit: ProcessExit): FailureReason {
  if (exit.signal !== null) {
    return reasonOf('nebula/killed', `Nebula was killed by "${exit.signal}"`);
  }
  if (exit.code === 0) return reasonOf('nebula/stopped', 'Nebula was stopped by somebody else');
  return findReason(lines) ?? explainUnknown(lines, exit.code);
}

function findReason(lines: readonly NebulaLogLine[]): FailureReason | undefined {
  // Nobody reloads a process that is still starting, so what precedes the first reload is the start.
  const reloadAt = lines.findIndex((line) => line.message.startsWith('Caught HUP'));
  for (let i = lines.length - 1; i >= 0; i--) {
    const line = lines[i];
    if (line?.level !== 'error') continue;
    const rule = RULES.find((each) => matches(each, line));
    if (rule === undefined || (rule.isOfStart && reloadAt >= 0 && i > reloadAt)) continue;
    return reasonOf(rule.code, describe(rule.text, line));
  }
  return undefined;
}

function explainUnknown(lines: readonly NebulaLogLine[], code: number | null): FailureReason {
  const dump = lines.find((line) => /^(panic|fatal error): /.test(line.message));
  if (dump !== undefined || code !== 1) {
    return reasonOf('nebula/crashed', describe(`Nebula crashed with exit status ${code}`, dump));
  }
  const last = lines.findLast((line) => line.level === 'error');
  return reasonOf('nebula/start-failed', describe('Nebula ended with exit status 1', last));
}

function reasonOf(code: FailureCode, message: string): FailureReason {
  return { code, message, retry: RETRY[code] ?? 'backoff' };
}

const RETRY: { readonly [C in FailureCode]?: RetryAdvice } = {
  'nebula/pki-missing': 'never',
  'nebula/pki-invalid': 'never',
  'nebula/pki-mismatch': 'never',
  'nebula/certificate-expired': 'never',
  'nebula/ca-expired': 'never',
  'nebula/config-invalid': 'never',
  'nebula/no-privilege': 'never',
  'nebula/device-busy': 'few',
  'nebula/port-in-use': 'few',
};

interface Rule {
  readonly code: FailureCode;
  readonly text: string;
  /** On the message; any when undefined. */
  readonly message?: RegExp;
  /** On the field `error`; any when undefined. */
  readonly error?: RegExp;
  /** True when a failed reload logs the same, without ending the process. */
  readonly isOfStart?: boolean;
}

function matches(rule: Rule, line: NebulaLogLine): boolean {
  if (rule.message !== undefined && !rule.message.test(line.message)) return false;
  return rule.error === undefined || (line.error !== undefined && rule.error.test(line.error));
}

const TUN = /^Failed to get a tun\/tap device/;
const RUNNING = /^Error while running/;
const UDP = /^Failed to open udp listener/;

/** The first that fits decides. The `error` texts end alike in 1.6 and 1.11, which only puts words in front. */
const RULES: readonly Rule[] = [
  {
    code: 'nebula/certificate-expired',
    text: 'The certificate of this machine has expired; renew it',
    error: /nebula certificate for this host is expired/,
    isOfStart: true,
  },
  {
    code: 'nebula/ca-expired',
    text: 'The certificate authority has expired; put its successor into pki.ca',
    error: /no valid CA certificates present/,
    isOfStart: true,
  },
  {
    code: 'nebula/pki-mismatch',
    text: 'The private key does not belong to the certificate',
    error: /private key is not a pair with public key/,
    isOfStart: true,
  },
  {
    code: 'nebula/pki-missing',
    text: 'A file of the section "pki" is missing or not readable',
    error: /no pki\.\w+ path or PEM data|unable to read pki\.\w+ file/,
    isOfStart: true,
  },
  {
    code: 'nebula/pki-invalid',
    text: 'A file of the section "pki" does not hold what it should',
    error: /error while unmarshaling|error while adding CA certificate|no networks encoded|host certificate is a CA/,
    isOfStart: true,
  },
  {
    code: 'nebula/no-privilege',
    text: 'Nebula may not make a network device; it needs the capability CAP_NET_ADMIN and /dev/net/tun',
    message: TUN,
    error: /operation not permitted$|permission denied$/,
  },
  {
    code: 'nebula/no-privilege',
    text: 'Nebula may not configure its network device; it needs the capability CAP_NET_ADMIN',
    message: RUNNING,
    error: /^operation not permitted$/,
  },
  {
    code: 'nebula/no-privilege',
    text: 'Nebula may not configure its network device; it needs the capability CAP_NET_ADMIN',
    message: /^failed to set .*: operation not permitted$/,
  },
  {
    code: 'nebula/device-busy',
    text: 'The network device is in use by another process',
    message: TUN,
    error: /device or resource busy$/,
  },
  {
    code: 'nebula/device-conflict',
    text: 'The name of the network device belongs to a device of another kind, or is not valid',
    message: TUN,
    error: /invalid argument$/,
  },
  {
    code: 'nebula/port-in-use',
    text: 'The UDP port (listen.port) is in use by another process',
    message: UDP,
    error: /address already in use$/,
  },
  {
    code: 'nebula/stats-port-in-use',
    text: 'The port of the metrics (stats.listen) is in use by another process',
    message: /^\d{4}\/\d\d\/\d\d .*listen .*address already in use$/,
  },
  {
    code: 'nebula/device-lost',
    text: 'The network device was deleted under the running process',
    message: /^Error while reading outbound packet/,
  },
  { code: 'nebula/config-invalid', text: 'The configuration is not valid', message: UDP },
  {
    code: 'nebula/config-invalid',
    text: 'The configuration is not valid',
    message: RUNNING,
    error: /invalid argument$|default route MTU/,
  },
  {
    code: 'nebula/config-invalid',
    text: 'The configuration is not valid',
    message:
      /^(failed to load config|failed to apply logging config|no default config found|no config files found|Failed to configure the logger|Failed to start$|Failed to start stats emitter|unknown cipher|Error while configuring the sshd|Failed to resolve listen\.host)/,
  },
  {
    code: 'nebula/config-invalid',
    text: 'The configuration is not valid',
    message:
      /^(Error while loading firewall rules|Failed to initialize lighthouse|lighthouse\.|Invalid lighthouse|Unable to (parse|lookup)|Static host|Could not parse tun\.)/,
    isOfStart: true,
  },
  {
    code: 'nebula/config-invalid',
    text: 'The configuration is not valid',
    error: /pki\.initiating_version/,
    isOfStart: true,
  },
];

const QUOTE_CHARACTERS_MAX = 240;

function describe(text: string, line: NebulaLogLine | undefined): string {
  if (line === undefined) return text;
  const said = line.error === undefined ? line.message : `${line.message}: ${line.error}`;
  const quote = said.replace(/\s+/g, ' ').trim();
  return `${text} (Nebula: "${quote.length > QUOTE_CHARACTERS_MAX ? `${quote.slice(0, QUOTE_CHARACTERS_MAX)}…` : quote}")`;
}
