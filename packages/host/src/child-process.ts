import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { waitForSpawn, withoutServiceManager } from './detached-process.ts';
import { describeProcess, type ProcessIdentity } from './process-identity.ts';

export interface ChildOptions {
  /** Absolute path of the program. */
  readonly command: string;
  readonly args: readonly string[];
  /** Standard output and error are appended here, by the child itself: no pipe that could fill up. Made 0600. */
  readonly logPath: string;
  readonly env: NodeJS.ProcessEnv;
  /** Written to standard input, which then ends. Undefined: there is none. */
  readonly input: string | undefined;
  /** True gives descriptor 3 for what the child reports, and descriptor 4, which closes when this process ends. */
  readonly isReporting: boolean;
}

export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program that runs for this process and is to end before it. */
export interface Child {
  readonly identity: ProcessIdentity;
  /** What it writes to descriptor 3; undefined without. */
  readonly report: Readable | undefined;
  /** Resolves once, when it is gone. Never rejects. */
  readonly exited: Promise<ChildExit>;
  /** Does nothing to a child that is gone. */
  kill(signal: NodeJS.Signals): void;
}

/**
 * Starts a program without a shell, in the folder `/`, in our process group.
 * @throws {NodeJS.ErrnoException} when the log cannot be opened or the program not be started.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const log = openSync(options.logPath, 'a', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(options.command, options.args, {
      stdio: stdioOf(options, log),
      cwd: '/',
      env: withoutServiceManager(options.env),
      windowsHide: true,
    });
  } finally {
    closeSync(log);
  }
  const exited = new Promise<ChildExit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  await waitForSpawn(child);
  child.stdin?.on('error', () => {}); // It ended before it read: its report or its log says why.
  if (options.input !== undefined) child.stdin?.end(options.input);
  child.stdio[4]?.on('error', () => {});
  return {
    identity: describeProcess(child.pid as number),
    report: options.isReporting ? (child.stdio[3] as Readable) : undefined,
    exited,
    kill: (signal) => void child.kill(signal),
  };
}

function stdioOf({ input, isReporting }: ChildOptions, log: number): StdioOptions {
  const stdin = input === undefined ? 'ignore' : 'pipe';
  return isReporting ? [stdin, log, log, 'pipe', 'pipe'] : [stdin, log, log];
}
