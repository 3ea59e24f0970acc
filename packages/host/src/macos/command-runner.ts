import { execFile } from 'node:child_process';
import type { Command } from './interface-commands.ts';

/** How a program ended. */
export interface CommandResult {
  /** Undefined when it could not be started, was killed, took too long or wrote too much. */
  readonly status: number | undefined;
  readonly stdout: string;
  /** With the reason in a line of its own where there is no status. */
  readonly stderr: string;
}

/** Runs a program to its end. Never rejects. */
export type CommandRunner = (command: Command) => Promise<CommandResult>;

const TIMEOUT_MS = 5000;
/** A table of 50,000 routes; of each stream. */
const OUTPUT_BYTES_MAX = 8 * 1024 * 1024;

/** Runs a program without a shell, in the folder `/`, in the C locale and without our environment; kills it after 5 s. */
export function runCommand(command: Command, timeoutMs: number = TIMEOUT_MS): Promise<CommandResult> {
  const [program, ...args] = command;
  const options = {
    cwd: '/',
    env: { LC_ALL: 'C', PATH: '/usr/bin:/bin:/usr/sbin:/sbin' },
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: OUTPUT_BYTES_MAX,
    encoding: 'utf8',
  } as const;
  return new Promise((resolve) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ status: 0, stdout, stderr });
      else if (typeof error.code === 'number') resolve({ status: error.code, stdout, stderr });
      else resolve({ status: undefined, stdout, stderr: `${stderr}\n${describeEnd(error, timeoutMs)}` });
    });
  });
}

interface EndError {
  readonly code?: string | number | null | undefined;
  readonly killed?: boolean | undefined;
  readonly signal?: string | null | undefined;
}

function describeEnd({ code, killed, signal }: EndError, timeoutMs: number): string {
  if (typeof code === 'string') return `It ended with ${code}`;
  return killed === true ? `It took more than ${timeoutMs} ms` : `It was ended by ${signal ?? 'something'}`;
}
