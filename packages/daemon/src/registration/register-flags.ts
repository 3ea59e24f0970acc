import { readFileSync } from 'node:fs';
import type { LighthouseRequest } from './api-client.ts';
import type { NodeMode } from './credentials.ts';
import type { RegisterOptions } from './register.ts';
import { RegistrationError } from './registration-error.ts';
import { readCredential, type TokenFlags } from './token-source.ts';

/** `heddle register` as the command line has it. */
export interface RegisterFlags extends Partial<TokenFlags> {
  readonly apiBase: string | undefined;
  readonly orgSlug: string | undefined;
  readonly nodeName: string | undefined;
  readonly mode: string | undefined;
  readonly isLighthouse: boolean;
  readonly publicIp: string | undefined;
  readonly fqdn: string | undefined;
  /** Text or number; `undefined` for 4242. */
  readonly externalPort: string | number | undefined;
  readonly tlsCaFile: string | undefined;
  readonly allowHttp: boolean;
  readonly replace: boolean;
}

const EXTERNAL_PORT = 4242;

/**
 * Checks the flags and takes the token from where it is.
 * @param readInput Standard input to its end, for a token given as `-`.
 * @throws {RegistrationError} codes of exit class `usage`.
 */
export async function parseRegisterFlags(
  flags: RegisterFlags,
  readInput: () => Promise<string>,
): Promise<RegisterOptions> {
  const apiBase = required(flags.apiBase, 'registration/bad-api-base', 'The API base is missing: --api-base');
  const orgSlug = required(flags.orgSlug, 'registration/bad-org-slug', 'The team is missing: --org-slug');
  const nodeName = required(flags.nodeName, 'registration/bad-node-name', 'The node name is missing: --node-name');
  const mode = parseMode(flags.mode);
  const lighthouse = parseLighthouse(flags);
  const tlsCa = readCa(flags.tlsCaFile);
  const tokens: TokenFlags = {
    registrationToken: flags.registrationToken,
    registrationTokenFile: flags.registrationTokenFile,
    accessToken: flags.accessToken,
    accessTokenFile: flags.accessTokenFile,
  };
  return {
    apiBase,
    orgSlug,
    nodeName,
    mode,
    lighthouse,
    tlsCa,
    allowsPlainHttp: flags.allowHttp,
    replacesGoodNode: flags.replace,
    // Last, so that nobody types a token into a command that fails anyway.
    credential: await readCredential(tokens, readInput),
  };
}

function required(
  value: string | undefined,
  code: 'registration/bad-api-base' | 'registration/bad-org-slug' | 'registration/bad-node-name',
  message: string,
): string {
  if (value !== undefined && value !== '') return value;
  throw new RegistrationError(code, message);
}

function parseMode(text: string | undefined): NodeMode {
  if (text === 'server' || text === 'desktop') return text;
  const message =
    text === undefined ? 'The mode is missing: --mode' : `There is no mode ${JSON.stringify(text.slice(0, 40))}`;
  throw new RegistrationError('registration/bad-mode', message);
}

function parseLighthouse(flags: RegisterFlags): LighthouseRequest | undefined {
  const { publicIp, fqdn, externalPort } = flags;
  if (flags.isLighthouse) return { publicIp, fqdn, externalPort: parsePort(externalPort) };
  if (publicIp === undefined && fqdn === undefined && externalPort === undefined) return undefined;
  const message = '--public-ip, --fqdn and --external-port are for a lighthouse, --is-lighthouse is missing';
  throw new RegistrationError('registration/bad-lighthouse', message);
}

function parsePort(value: string | number | undefined): number {
  if (value === undefined) return EXTERNAL_PORT;
  if (/^[0-9]{1,5}$/.test(String(value)) && Number(value) >= 1 && Number(value) <= 65_535) return Number(value);
  throw new RegistrationError('registration/bad-port', `${JSON.stringify(String(value).slice(0, 40))} is not a port`);
}

function readCa(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    const text = readFileSync(path, 'utf8');
    if (text.includes('-----BEGIN CERTIFICATE-----') && text.length <= CA_LENGTH_MAX) return text;
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new RegistrationError('registration/bad-tls-ca', `Cannot read the CA file "${path}" (${reason})`);
  }
  throw new RegistrationError('registration/bad-tls-ca', `There is no PEM certificate in "${path}"`);
}

const CA_LENGTH_MAX = 262_144;
