import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { until } from './processes.ts';

const BINARY = fileURLToPath(new URL('../../node_modules/.bin/heddle', import.meta.url));

/** False before `npm run build`: there is nothing to run then. */
export const IS_BUILT: boolean = existsSync(
  fileURLToPath(new URL('../../packages/daemon/dist/cli/main.js', import.meta.url)),
);

export interface CommandResult {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** What a failure looks like to a person: everything the command wrote, taken apart. */
export interface Told {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly next: string;
}

/** A home folder of its own with one context in it, and the built command line. */
export class HeddleCommand {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'heddle-bad-'));
  /** Changed by tests that put it elsewhere. */
  stateDir: string = join(this.folder, 'state');
  readonly socketPath: string = join(this.folder, 'engine.sock');
  /** Put in front of the command: `unshare -n`. */
  wrapper: readonly string[] = [];

  run(args: readonly string[], input = ''): Promise<CommandResult> {
    const [command, ...rest] = [...this.wrapper, BINARY, ...args] as [string, ...string[]];
    const env = { PATH: process.env['PATH'], HOME: this.folder };
    return new Promise((resolve) => {
      const child = execFile(command, rest, { env }, (error, out, err) => {
        resolve({ status: error === null ? 0 : Number(error.code ?? -1), out, err });
      });
      child.stdin?.end(input);
    });
  }

  /** `heddle connect` in four seconds at most; the key, if any, goes in by standard input. */
  connect(server: string, args: readonly string[] = [], authKey?: string): Promise<CommandResult> {
    const key = authKey === undefined ? [] : ['--auth-key', '-'];
    const place = ['--state-dir', this.stateDir, '--socket-path', this.socketPath, '--proxy', '127.0.0.1:0'];
    return this.run(['connect', '--login-server', server, '--timeout', '4', ...place, ...key, ...args], authKey);
  }

  /** Pids of the engines that were started here and run still. */
  engines(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => isEngineOf(pid, this.folder));
  }

  disconnect(): Promise<CommandResult> {
    return this.run(['disconnect', '--socket-path', this.socketPath]);
  }

  /** No process, no socket, no fault in the log, and the secret nowhere. An engine that gave its socket up may take a moment. */
  async expectNothingLeft(secret?: string): Promise<void> {
    await until('the engine is gone', 3000, () => this.engines().length === 0);
    expect(readdirSync(this.folder).filter((name) => name.endsWith('.sock'))).toEqual([]);
    expect(this.log()).not.toMatch(/Fault:|\n\s+at |engine\/internal|tailnet\/internal/);
    if (secret !== undefined) expect(this.log()).not.toContain(secret);
  }

  /** The text of every file of the state directory, by name; locks are left out. */
  stateFiles(): Record<string, string> {
    const names = readdirSync(this.stateDir).filter((name) => name.startsWith('state.json'));
    return Object.fromEntries(names.map((name) => [name, readFileSync(join(this.stateDir, name), 'utf8')]));
  }

  log(): string {
    const path = join(this.stateDir, 'engine.log');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  close(): void {
    for (const pid of this.engines()) process.kill(pid, 'SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** @throws {Error} when the output is anything but one short line with a code, and a next step: a stack trace fails it. */
export function toldBy({ status, out, err }: CommandResult): Told {
  const match =
    /^heddle: (?<message>[^\n]{1,300}) \[(?<code>[a-z]+\/[a-z-]+)\]\n {2}next: (?<next>[^\n]{5,160})\n$/.exec(err);
  const { message = '', code = '', next = '' } = match?.groups ?? {};
  if (match === null || out !== '') throw new Error(`not a failure as it should be:\n${out}${err}`);
  if (/SECRET/.test(err)) throw new Error('the failure tells a secret');
  return { status, code, message, next };
}

function isEngineOf(pid: number, folder: string): boolean {
  try {
    const isOurs = readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`HOME=${folder}\0`);
    const isEngine = readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('__vpn-daemon');
    return isOurs && isEngine && !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}
