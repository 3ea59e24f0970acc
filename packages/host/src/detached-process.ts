import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Readable } from 'node:stream';

export interface DetachedOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Standard output and error are appended here; made 0600 when missing. */
  readonly logPath: string;
  /** Written to the child's standard input, which then ends. The way for secrets: nothing else shows them. */
  readonly input: string;
  readonly env: NodeJS.ProcessEnv;
}

/** A process with a session of its own that outlives its parent. */
export interface DetachedProcess {
  readonly pid: number;
  /** What the child writes to descriptor 3, until it closes it or ends. */
  readonly report: Readable;
  /** True after the child has ended, as long as the parent has not let go of it. */
  hasEnded(): boolean;
  /** Lets the parent end before the child. */
  release(): void;
}

/**
 * Starts a process without a terminal: own session, working directory `/`, descriptor 3 a pipe for its report.
 * @throws {NodeJS.ErrnoException} when the log cannot be opened or the command not be started.
 */
export async function startDetached(options: DetachedOptions): Promise<DetachedProcess> {
  const log = openSync(options.logPath, 'a', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(options.command, options.args, {
      stdio: ['pipe', log, log, 'pipe'],
      detached: true,
      cwd: '/',
      env: withoutServiceManager(options.env),
      windowsHide: true,
    });
  } finally {
    closeSync(log);
  }
  await waitForSpawn(child);
  const report = child.stdio[3] as Readable;
  child.stdin?.on('error', () => {}); // The child ended before it read: its report or its log says why.
  child.stdin?.end(options.input);
  return {
    pid: child.pid as number,
    report,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    release: () => {
      child.unref();
      report.destroy();
      child.stdin?.destroy();
    },
  };
}

/** @throws {NodeJS.ErrnoException} when the program could not be started. */
export function waitForSpawn(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
}

/** Without what would let a child talk to the service manager in our name. */
export function withoutServiceManager(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = ['NOTIFY_SOCKET', 'WATCHDOG_PID', 'WATCHDOG_USEC', 'LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'];
  const kept = { ...env };
  for (const name of names) delete kept[name];
  return kept;
}
