import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { startChild } from '@heddle/host/child-process';
import { formatHostPort, parseForwardSpec, parseListen } from '@heddle/tailnet/proxy/listen-spec';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { parseControlUrl, readAuthKeyFile, readCaFile, readProxyTokenFile } from '../config/config-files.ts';
import { parseTailnetConfig, type TailnetConfig } from '../config/tailnet-config.ts';
import type { TeamClaims } from '../plan/claims.ts';
import { type EngineConfig, PROXY_OFF } from '../schema/engine-config.ts';
import { reasonOf } from '../socket/socket-path.ts';
import type { Assignment, TeamChild, TeamDriver, TeamNeeds } from '../team/driver.ts';
import { TailnetChild } from './tailnet-child.ts';
import type { TeamPaths } from './team-paths.ts';

export interface TailnetDriverOptions {
  readonly team: string;
  readonly paths: TeamPaths;
  /** Program and arguments that run this version of heddle. */
  readonly engineCommand: readonly [command: string, ...args: string[]];
  readonly env: NodeJS.ProcessEnv;
}

/** As of `heddle connect`; a second tailnet gets another port. */
const DEFAULT_PROXY = { host: '127.0.0.1', port: 16_579 };

/** Runs a tailnet in an engine process of its own. */
export class TailnetDriver implements TeamDriver {
  readonly kind = 'tailnet';
  readonly #options: TailnetDriverOptions;

  constructor(options: TailnetDriverOptions) {
    this.#options = options;
  }

  async inspect(): Promise<TeamNeeds> {
    const { proxy, forwards, udpPort } = this.#readConfig();
    const given = proxy === undefined || proxy === PROXY_OFF ? undefined : parseListen(proxy);
    const claims: TeamClaims = {
      team: this.#options.team,
      kind: 'tailnet',
      networks: [],
      unsafeRoutes: [],
      device: undefined,
      wantsDevice: false,
      listenPort: udpPort,
      isListenPortFixed: false,
      proxyPort: proxy === PROXY_OFF ? undefined : (given?.port ?? DEFAULT_PROXY.port),
      forwardPorts: forwards.map(toForwardPort),
    };
    return { claims, isProxyPortGiven: given !== undefined, certNotAfterUnixMs: undefined };
  }

  /** What can be judged without starting is judged by {@link inspect}, except for the files it names. */
  async verify(): Promise<void> {
    this.#toEngineConfig(this.#readConfig(), PROXY_OFF, undefined);
  }

  async start(assignment: Assignment): Promise<TeamChild> {
    const { paths, engineCommand, env } = this.#options;
    const config = this.#readConfig();
    const proxy = proxyAddress(config, assignment.proxyPort);
    const engine = this.#toEngineConfig(config, proxy, assignment.listenPort);
    const [command, ...args] = engineCommand;
    try {
      mkdirSync(paths.dir, { recursive: true, mode: 0o700 });
      const child = await startChild({
        command,
        // The last argument is for the next supervisor, should this one be killed.
        args: [...args, '__vpn-daemon', '--report-fd', '3', '--lifeline-fd', '4', paths.renderedPath],
        logPath: paths.logPath,
        env,
        input: `${JSON.stringify(engine)}\n`,
        isReporting: true,
      });
      return new TailnetChild({ child, socketPath: paths.socketPath, proxy: proxy === PROXY_OFF ? undefined : proxy });
    } catch (error) {
      throw new TailnetError('engine/died', `Cannot start the engine (${reasonOf(error)})`, { isRetryable: true });
    }
  }

  async removeFiles(): Promise<void> {
    rmSync(this.#options.paths.dir, { recursive: true, force: true });
  }

  #readConfig(): TailnetConfig {
    const path = join(this.#options.paths.configDir, 'tailnet.yml');
    try {
      return parseTailnetConfig(readFileSync(path, 'utf8'), path);
    } catch (error) {
      if (error instanceof TailnetError) throw error;
      throw new TailnetError('team/bad-config', `Cannot read "${path}" (${reasonOf(error)})`);
    }
  }

  #toEngineConfig(config: TailnetConfig, proxy: string, udpPort: number | undefined): EngineConfig {
    const { team, paths } = this.#options;
    return {
      context: team,
      socketPath: paths.socketPath,
      stateDir: paths.stateDir,
      logPath: paths.logPath,
      controlUrl: parseControlUrl(config.loginServer),
      authKey: config.authKeyFile === undefined ? undefined : readAuthKeyFile(config.authKeyFile),
      hostname: config.hostname,
      tlsCa: config.tlsCa === undefined ? undefined : readCaFile(config.tlsCa),
      udpPort: udpPort ?? config.udpPort,
      isUdpEnabled: config.isUdpEnabled,
      acceptsRoutes: config.acceptsRoutes,
      proxy,
      proxyToken: config.proxyTokenFile === undefined ? undefined : readProxyTokenFile(config.proxyTokenFile),
      forwards: config.forwards,
      serves: config.serves,
      isVerbose: false,
      isSupervised: true,
    };
  }
}

/** The address of the configuration with the port of the plan. */
function proxyAddress({ proxy }: TailnetConfig, port: number | undefined): string {
  if (proxy === PROXY_OFF || port === undefined) return PROXY_OFF;
  const host = proxy === undefined ? DEFAULT_PROXY.host : parseListen(proxy).address.text;
  return formatHostPort({ host, port });
}

/** `127.0.0.1:15432:db:5432` claims 127.0.0.1 port 15432. */
function toForwardPort(spec: string): { readonly address: string; readonly port: number } {
  const { address, port } = parseListen(parseForwardSpec(spec).listen);
  return { address: address.text, port };
}
