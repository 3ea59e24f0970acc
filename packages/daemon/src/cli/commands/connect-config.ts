import { parseForwardSpec, parseListen, parseServeSpec } from '@heddle/tailnet/proxy/listen-spec';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import {
  checkAuthKey,
  parseControlUrl,
  readAuthKeyFile,
  readCaFile,
  readProxyTokenFile,
} from '../../config/config-files.ts';
import { type EngineConfig, PROXY_OFF } from '../../schema/engine-config.ts';
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
    controlUrl: parseControlUrl(options.loginServer ?? (await rememberedServer(target.stateDir)) ?? DEFAULT_SERVER),
    authKey: await readAuthKey(options, context),
    hostname: options.hostname,
    tlsCa: options.tlsCa === undefined ? undefined : readCaFile(options.tlsCa),
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
  return options.authKeyFile === undefined ? undefined : readAuthKeyFile(options.authKeyFile);
}

function readProxyToken({ proxyUser, proxyTokenFile }: ConnectOptions): string | undefined {
  if (proxyTokenFile !== undefined) return readProxyTokenFile(proxyTokenFile);
  if (proxyUser === undefined) return undefined;
  throw new TailnetError('connect/proxy-token-file', '--proxy-user needs --proxy-token-file');
}
