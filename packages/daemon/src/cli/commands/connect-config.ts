import { readFileSync } from 'node:fs';
import { parseForwardSpec, parseListen, parseServeSpec } from '@heddle/tailnet/proxy/listen-spec';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { type EngineConfig, PROXY_OFF } from '../../schema/engine-config.ts';
import { reasonOf } from '../../socket/socket-path.ts';
import type { CommandContext } from '../cli-context.ts';

/** The options of `heddle connect` as the command line has them. */
export interface ConnectOptions {
  readonly loginServer?: string | undefined;
  readonly authKey?: string | undefined;
  readonly authKeyFile?: string | undefined;
  readonly hostname?: string | undefined;
  readonly proxy: string;
  readonly proxyUser?: string | undefined;
  readonly proxyTokenFile?: string | undefined;
  readonly forward: readonly string[];
  readonly serve: readonly string[];
  readonly tlsCa?: string | undefined;
  readonly acceptRoutes: boolean;
  readonly udp: boolean;
  readonly verbose: boolean;
  readonly foreground: boolean;
}

const DEFAULT_SERVER = 'https://controlplane.tailscale.com';

/**
 * Builds the configuration of an engine, with every mistake that can be found without starting one.
 * @throws {TailnetError} `usage/*`, `proxy/bad-*`, `connect/auth-key-file`, `connect/proxy-token-file`, `connect/tls-ca-file`.
 */
export async function buildConfig(options: ConnectOptions, context: CommandContext): Promise<EngineConfig> {
  if (options.proxy !== PROXY_OFF) parseListen(options.proxy);
  options.forward.map(parseForwardSpec);
  options.serve.map(parseServeSpec);
  const { target } = context;
  return {
    context: target.context,
    socketPath: target.socketPath,
    stateDir: target.stateDir,
    logPath: options.foreground ? undefined : target.logPath,
    controlUrl: toControlUrl(options.loginServer ?? (await rememberedServer(target.stateDir)) ?? DEFAULT_SERVER),
    authKey: await readAuthKey(options, context),
    hostname: options.hostname,
    tlsCa: readCa(options.tlsCa),
    isUdpEnabled: options.udp,
    acceptsRoutes: options.acceptRoutes,
    proxy: options.proxy,
    proxyUser: options.proxyUser,
    proxyToken: readProxyToken(options),
    forwards: options.forward,
    serves: options.serve,
    isVerbose: options.verbose,
  };
}

function toControlUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url !== undefined && (url.pathname === '/' || url.pathname === '') && url.search === '';
  if (isPlain && (url.protocol === 'https:' || url.protocol === 'http:') && url.username === '') return url.origin;
  const message = 'The login server is not a URL like https://headscale.example.com (no path, no user name)';
  throw new TailnetError('usage/bad-login-server', message);
}

async function rememberedServer(stateDir: string): Promise<string | undefined> {
  const { readRememberedServer } = await import('./remembered-server.ts');
  return readRememberedServer(stateDir);
}

async function readAuthKey(options: ConnectOptions, { world }: CommandContext): Promise<string | undefined> {
  if (options.authKey !== undefined && options.authKeyFile !== undefined) {
    throw new TailnetError('usage/two-auth-keys', 'Both --auth-key and --auth-key-file are given');
  }
  if (options.authKey === '-') return checkAuthKey(await world.readInput(), 'standard input');
  if (options.authKey !== undefined) return checkAuthKey(options.authKey, '--auth-key');
  if (options.authKeyFile === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(options.authKeyFile, 'utf8');
  } catch (error) {
    const message = `Cannot read the auth key file "${options.authKeyFile}" (${reasonOf(error)})`;
    throw new TailnetError('connect/auth-key-file', message);
  }
  return checkAuthKey(text, `"${options.authKeyFile}"`);
}

// The key itself is never part of a message.
function checkAuthKey(text: string, source: string): string {
  const key = text.trim();
  if (key === '') throw new TailnetError('connect/auth-key-file', `There is no auth key in ${source}`);
  if (/\s/.test(key) || key.length > 1024) {
    throw new TailnetError('connect/auth-key-file', `What is in ${source} is not one auth key`);
  }
  return key;
}

// As with the auth key, what the file holds is never part of a message.
function readProxyToken({ proxyUser, proxyTokenFile }: ConnectOptions): string | undefined {
  if (proxyTokenFile === undefined) {
    if (proxyUser === undefined) return undefined;
    throw new TailnetError('connect/proxy-token-file', '--proxy-user needs --proxy-token-file');
  }
  let token: string;
  try {
    token = readFileSync(proxyTokenFile, 'utf8').trim();
  } catch (error) {
    const message = `Cannot read the proxy token file "${proxyTokenFile}" (${reasonOf(error)})`;
    throw new TailnetError('connect/proxy-token-file', message);
  }
  // RFC 1929: a SOCKS5 password has 1 to 255 bytes.
  if (token !== '' && !/\s/.test(token) && Buffer.byteLength(token) <= 255) return token;
  throw new TailnetError(
    'connect/proxy-token-file',
    `What is in "${proxyTokenFile}" is not one token of 1 to 255 bytes`,
  );
}

function readCa(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    const text = readFileSync(path, 'utf8');
    if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  } catch (error) {
    throw new TailnetError('connect/tls-ca-file', `Cannot read the CA file "${path}" (${reasonOf(error)})`);
  }
  throw new TailnetError('connect/tls-ca-file', `There is no PEM certificate in "${path}"`);
}
