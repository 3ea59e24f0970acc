/**
 * What can go wrong between a node and its team server, as stable codes with the next step of each. No message holds a
 * token, a key or a line of a configuration, and no `cause` does either: parsers quote what they could not read, so their
 * errors are dropped here.
 */

import { TailnetError } from '@heddle/tailnet/tailnet-error';

/** Names of the exit statuses in `cli/failure.ts`. */
export type ExitClass = 'failed' | 'usage' | 'forbidden' | 'timeout' | 'auth' | 'network' | 'state' | 'conflict';

/** What the command line says and does about a code. */
export interface RegistrationAdvice {
  readonly next: string;
  readonly exit: ExitClass;
}

const CHECK_API_BASE = 'check --api-base and that this machine reaches it';
const NEW_TOKEN = 'make a new registration token on the team server';
const ASK_ADMIN = 'ask the administrator of the team';
const TRY_LATER = 'try again in a minute; if it stays so, tell the administrator of the server';
const MAYBE_REGISTERED =
  'try again in a minute; look at the nodes on the server first, it may list a half-made one to delete';

/** Every code of this room. */
export type RegistrationCode =
  | 'registration/bad-api-base'
  | 'registration/bad-org-slug'
  | 'registration/bad-node-name'
  | 'registration/bad-mode'
  | 'registration/bad-lighthouse'
  | 'registration/bad-port'
  | 'registration/bad-tls-ca'
  | 'registration/bad-token'
  | 'registration/token-choice'
  | 'registration/plain-http'
  | 'registration/unknown-team'
  | 'registration/already-registered'
  | 'registration/revoked'
  | 'registration/busy'
  | 'registration/unsafe-folder'
  | 'registration/damaged-file'
  | 'registration/disk-full'
  | 'registration/unwritable'
  | 'registration/keyring'
  | 'registration/rate-limited'
  | 'registration/authentication-required'
  | 'registration/token-expired'
  | 'registration/token-used-up'
  | 'registration/invalid-token'
  | 'registration/access-denied'
  | 'registration/organization-not-found'
  | 'registration/organization-required'
  | 'registration/validation'
  | 'registration/ca-missing'
  | 'registration/no-lighthouse'
  | 'registration/no-addresses'
  | 'registration/node-creation-failed'
  | 'registration/certificate-failed'
  | 'registration/registration-failed'
  | 'registration/not-found'
  | 'registration/conflict'
  | 'registration/gone'
  | 'registration/refused'
  | 'registration/server-error'
  | 'registration/redirected'
  | 'registration/not-a-team-server'
  | 'registration/bad-answer'
  | 'registration/answer-too-large'
  | 'registration/timeout'
  | 'registration/unreachable'
  | 'registration/connection-lost'
  | 'registration/tls-certificate'
  | 'registration/answer-lost';

/** What follows from each code. */
export const REGISTRATION_ADVICE: Readonly<Record<RegistrationCode, RegistrationAdvice>> = {
  'registration/bad-api-base': { next: 'give a URL such as https://vpn.example.com', exit: 'usage' },
  'registration/bad-org-slug': { next: 'give the name of the team as in the address of its page', exit: 'usage' },
  'registration/bad-node-name': { next: 'choose another one with --node-name', exit: 'usage' },
  'registration/bad-mode': { next: 'give --mode server or --mode desktop', exit: 'usage' },
  'registration/bad-lighthouse': { next: 'for example --is-lighthouse --public-ip 203.0.113.7', exit: 'usage' },
  'registration/bad-port': { next: 'give a port from 1 to 65535', exit: 'usage' },
  'registration/bad-tls-ca': { next: 'pass the path of a PEM file', exit: 'usage' },
  'registration/bad-token': { next: 'write the token alone into a file only you can read', exit: 'usage' },
  'registration/token-choice': { next: 'give one of --registration-token and --access-token', exit: 'usage' },
  'registration/plain-http': { next: 'use https, or allow it with --allow-http', exit: 'usage' },
  'registration/unknown-team': { next: 'register first: heddle register', exit: 'state' },
  'registration/already-registered': { next: 'nothing to do; --replace registers a second node', exit: 'conflict' },
  'registration/revoked': { next: 'delete auth-revoked.json and register anew', exit: 'auth' },
  'registration/busy': { next: 'wait for the other command and run this one again', exit: 'conflict' },
  'registration/unsafe-folder': { next: 'correct its owner and mode, or choose another --config-root', exit: 'state' },
  'registration/damaged-file': { next: 'delete the file and register anew', exit: 'state' },
  'registration/disk-full': { next: 'free some space and run the same command again', exit: 'state' },
  'registration/unwritable': { next: 'run as the owner of the config root, or choose another one', exit: 'state' },
  'registration/keyring': { next: 'unlock the keyring and run the same command again', exit: 'state' },
  'registration/rate-limited': { next: 'wait an hour: 5 registrations of an address, 10 of a team', exit: 'conflict' },
  'registration/authentication-required': { next: 'pass a token: --registration-token-file', exit: 'auth' },
  'registration/token-expired': { next: NEW_TOKEN, exit: 'auth' },
  'registration/token-used-up': { next: NEW_TOKEN, exit: 'auth' },
  'registration/invalid-token': { next: `compare it and --org-slug with the server, or ${NEW_TOKEN}`, exit: 'auth' },
  'registration/access-denied': { next: 'see whether the node is still good: heddle check-auth', exit: 'auth' },
  'registration/organization-not-found': { next: 'check --org-slug and --api-base', exit: 'usage' },
  'registration/organization-required': { next: 'check --org-slug and --api-base', exit: 'usage' },
  'registration/validation': { next: 'correct the named options', exit: 'usage' },
  'registration/ca-missing': { next: 'make a certificate authority for the team on the server', exit: 'failed' },
  'registration/no-lighthouse': { next: 'register a lighthouse first: --is-lighthouse --public-ip', exit: 'failed' },
  'registration/no-addresses': { next: 'enlarge the network range of the team on the server', exit: 'failed' },
  'registration/node-creation-failed': { next: MAYBE_REGISTERED, exit: 'failed' },
  'registration/certificate-failed': { next: MAYBE_REGISTERED, exit: 'failed' },
  'registration/registration-failed': { next: MAYBE_REGISTERED, exit: 'failed' },
  'registration/not-found': { next: 'see whether the node is still good: heddle check-auth', exit: 'auth' },
  'registration/conflict': {
    next: 'choose another --node-name, or delete the old node on the server',
    exit: 'conflict',
  },
  'registration/gone': { next: ASK_ADMIN, exit: 'failed' },
  'registration/refused': { next: ASK_ADMIN, exit: 'failed' },
  'registration/server-error': { next: TRY_LATER, exit: 'network' },
  'registration/redirected': { next: 'give the address it leads to as --api-base, if you trust it', exit: 'network' },
  'registration/not-a-team-server': { next: CHECK_API_BASE, exit: 'network' },
  'registration/bad-answer': { next: 'update heddle, or the server', exit: 'network' },
  'registration/answer-too-large': { next: CHECK_API_BASE, exit: 'network' },
  'registration/timeout': { next: CHECK_API_BASE, exit: 'network' },
  'registration/unreachable': { next: CHECK_API_BASE, exit: 'network' },
  'registration/connection-lost': { next: TRY_LATER, exit: 'network' },
  'registration/tls-certificate': {
    next: 'pass the CA of the server by --tls-ca, or correct its clock',
    exit: 'network',
  },
  'registration/answer-lost': { next: MAYBE_REGISTERED, exit: 'network' },
};

/** What an error may carry beside code and message. */
export interface RegistrationErrorOptions {
  readonly isRetryable?: boolean;
  /** Never the error of a parser: those quote their input. */
  readonly cause?: unknown;
  /** Status of the server's answer. */
  readonly status?: number | undefined;
  /** How long the server asked us to stay away. */
  readonly retryAfterMs?: number | undefined;
  /** Replaces the next step of the code. */
  readonly next?: string | undefined;
}

/** A failed operation of this room, with the step that helps. */
export class RegistrationError extends TailnetError {
  declare readonly code: RegistrationCode;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  readonly nextStep: string;
  readonly exit: ExitClass;

  constructor(code: RegistrationCode, message: string, options: RegistrationErrorOptions = {}) {
    super(code, message, { isRetryable: options.isRetryable ?? false, cause: options.cause });
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
    this.nextStep = options.next ?? REGISTRATION_ADVICE[code].next;
    this.exit = REGISTRATION_ADVICE[code].exit;
  }
}
