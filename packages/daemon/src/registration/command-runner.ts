import { spawn } from 'node:child_process';

/** A program to run to its end, without a shell. Secrets go in by `input` and come out by `stdout`, never by `args`. */
export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  /** Written to standard input, which then ends. */
  readonly input: string;
  readonly timeoutMs: number;
  /** More output ends the program. */
  readonly outputBytesMax: number;
}

export type CommandOutcome =
  | { readonly kind: 'exited'; readonly status: number; readonly stdout: string }
  /** Not found, not executable, ended by a signal, too slow or too talkative. */
  | { readonly kind: 'failed'; readonly reason: string };

/** Runs a program; tests replace it. Never rejects. */
export type CommandRunner = (command: Command) => Promise<CommandOutcome>;

/** Runs a program with this process' environment; what it writes to standard error is dropped. */
export function runCommand({ command, args, input, timeoutMs, outputBytesMax }: Command): Promise<CommandOutcome> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'], windowsHide: true });
    const chunks: Buffer[] = [];
    let byteCount = 0;
    const stop = (reason: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      // A grandchild may hold the pipe open for ever.
      child.stdout.destroy();
      child.stdin.destroy();
      resolve({ kind: 'failed', reason });
    };
    const timer = setTimeout(() => stop('timeout'), timeoutMs);
    child.on('error', (error: NodeJS.ErrnoException) => stop(error.code ?? 'not started'));
    child.stdin.on('error', () => {}); // It ended before it read: its status tells why.
    child.stdout.on('data', (chunk: Buffer) => {
      byteCount += chunk.length;
      if (byteCount > outputBytesMax) stop('too much output');
      else chunks.push(chunk);
    });
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      if (status === null) resolve({ kind: 'failed', reason: signal ?? 'ended' });
      else resolve({ kind: 'exited', status, stdout: Buffer.concat(chunks).toString('utf8') });
    });
    child.stdin.end(input);
  });
}
