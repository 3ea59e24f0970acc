import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './processes.ts';

const BIN = fileURLToPath(new URL('../../packages/daemon/bin/', import.meta.url));

export interface RestAnswer {
  readonly status: number;
  /** `undefined` without a body. */
  readonly body: unknown;
}

/** The real `tun-daemon` or `subnet-daemon`, in the network namespace of this process. */
export class InterfaceDaemon {
  readonly kind: 'tun' | 'subnet';
  readonly port: number;
  /** Where its state and its logs are. */
  readonly folder: string;
  readonly #flags: readonly string[];
  #child: ChildProcess | undefined;

  constructor(kind: 'tun' | 'subnet', folder: string, flags: readonly string[] = []) {
    this.kind = kind;
    this.port = kind === 'tun' ? 3030 : 3031;
    this.folder = folder;
    this.#flags = flags;
    mkdirSync(folder, { recursive: true });
  }

  get arguments(): readonly string[] {
    const { folder, kind } = this;
    return [
      join(BIN, `${kind}-daemon.js`),
      ...['--state-db-path', join(folder, `${kind}.db`)],
      ...['--config-root', join(folder, 'config')],
      ...['--log-file', join(folder, `${kind}.log`), '--err-file', join(folder, `${kind}.err`)],
      ...this.#flags,
    ];
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const output = openSync(join(this.folder, `${this.kind}.out`), 'a');
    const child = spawn(process.execPath, this.arguments, { stdio: ['ignore', output, output] });
    this.#child = child;
    await until(`${this.kind}-daemon`, 10_000, async () => {
      if (child.exitCode !== null) throw new Error(`${this.kind}-daemon ended with ${child.exitCode}`);
      return (await this.ask('GET', '/healthz')).status === 200;
    });
  }

  /** Ends it and waits until it is gone; resolves with its exit status. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
    return child.exitCode;
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Rejects when the daemon is not there, or goes away meanwhile. */
  ask(method: string, path: string, body?: unknown): Promise<RestAnswer> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const options = { host: '127.0.0.1', port: this.port, method, path, headers, agent: false as const };
      const call = request(options, (answer) => void readAnswer(answer).then(resolve, reject));
      call.on('error', reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** As {@link ask}, for what must succeed. */
  async must<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.ask(method, path, body);
    if (answer.status < 300) return answer.body as T;
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }
}

async function readAnswer(answer: IncomingMessage): Promise<RestAnswer> {
  let text = '';
  answer.setEncoding('utf8');
  for await (const chunk of answer) text += chunk as string;
  return { status: answer.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) };
}
