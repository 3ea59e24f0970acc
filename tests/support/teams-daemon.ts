import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { appendFile, cp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './processes.ts';

const HEDDLE = fileURLToPath(new URL('../../packages/daemon/dist/bundle/heddle.js', import.meta.url));

export interface TeamsDaemonOptions {
  /** Gets the socket, the state and the log. */
  readonly folder: string;
  readonly configRoot: string;
  readonly nebula: string;
  /** Network namespace to run in; undefined for our own. */
  readonly namespace: string | undefined;
  /** False: tests ask more than the thirty times a minute that users have. */
  readonly isRateLimited: boolean;
}

export type Answer = Record<string, unknown> & { readonly ok: boolean; readonly message: string };

export interface TeamStatus {
  readonly state: string;
  readonly pid?: number;
  readonly restarts: number;
}

/** The real command as the teams daemon. */
export class TeamsDaemon {
  readonly socketPath: string;
  readonly logPath: string;
  readonly #o: TeamsDaemonOptions;
  #child: ChildProcess | undefined;

  constructor(options: TeamsDaemonOptions) {
    this.#o = options;
    this.socketPath = join(options.folder, 'run', 'cmd.sock');
    this.logPath = join(options.folder, 'daemon.log');
  }

  /** Resolves when it listens. */
  async start(...flags: string[]): Promise<void> {
    const { folder, configRoot, nebula, namespace, isRateLimited } = this.#o;
    const log = openSync(this.logPath, 'a');
    const args = [
      ['--ipc-mode', 'socket'],
      ['--socket-path', this.socketPath],
      ['--config-root', configRoot],
      ['--state-db-path', join(folder, 'state', 'state.db')],
      ['--nebula-binary', nebula],
    ].flat();
    const env = { ...process.env, ...(isRateLimited ? {} : { HEDDLE_RATE_LIMIT: 'off' }) };
    const inside = namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace];
    const [command, ...rest] = [...inside, process.execPath, HEDDLE, ...args, ...flags] as [string, ...string[]];
    this.#child = spawn(command, rest, { stdio: ['ignore', log, log], env });
    await until('the daemon', 10_000, async () => (await this.ask({ action: 'version' })).ok);
  }

  /** Of the process itself; only without a namespace. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  ask(request: Record<string, unknown>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const socket = connect({ path: this.socketPath, allowHalfOpen: true });
      let text = '';
      socket.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      socket.on('error', reject);
      socket.on('end', () => (text === '' ? reject(new Error('no answer')) : resolve(JSON.parse(text) as Answer)));
      socket.end(`${JSON.stringify(request)}\n`);
    });
  }

  async status(team: string): Promise<TeamStatus> {
    return (await this.ask({ action: 'status', team })) as unknown as TeamStatus;
  }

  /** Another team with the configuration of one that is there. */
  async copyTeam(from: string, to: string, moreConfig = ''): Promise<void> {
    await cp(join(this.#o.configRoot, from), join(this.#o.configRoot, to), { recursive: true });
    await appendFile(join(this.#o.configRoot, to, 'config.yml'), moreConfig);
  }

  async removeTeam(name: string): Promise<void> {
    await rm(join(this.#o.configRoot, name), { recursive: true });
  }

  /** SIGTERM; with how it ended and how long that took. Harmless when it does not run. */
  async stop(): Promise<{ code: number | null; elapsedMs: number }> {
    const startedAtMs = performance.now();
    const code = await this.#end('SIGTERM');
    return { code, elapsedMs: performance.now() - startedAtMs };
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return null;
    const exit = once(child, 'exit');
    child.kill(signal);
    return ((await exit) as [number | null])[0];
  }
}
