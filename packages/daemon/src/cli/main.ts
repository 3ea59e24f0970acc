#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';
import type { CliWorld } from './cli-context.ts';
import { ENGINE_COMMAND, runCli } from './program.ts';

// Node 22 and later keep compiled code between runs: a third off the start of `heddle status`.
(nodeModule as { enableCompileCache?: () => unknown }).enableCompileCache?.();

const world: CliWorld = {
  env: process.env,
  version: readVersion(),
  out: writeOut,
  err: (text) => void process.stderr.write(text),
  isInteractive: isatty(2),
  readInput,
  unixMs: () => Date.now(),
  engineCommand: [process.execPath, ...process.execArgv, fileURLToPath(import.meta.url)],
  loadParts: async () => (await import('../engine/parts.ts')).engineParts,
  interrupt: interruptSignal(),
};

process.exitCode = await runCli(process.argv.slice(2), world);
// What a library left open does not keep a finished command alive.
setTimeout(() => process.exit(), 1000).unref();

// `heddle logs | head`: the reader has seen enough.
function writeOut(text: string): void {
  if (process.stdout.listenerCount('error') === 0) {
    process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  }
  process.stdout.write(text);
}

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

async function readInput(): Promise<string> {
  let text = '';
  process.stdin.setEncoding('utf8');
  for await (const chunk of process.stdin) text += chunk;
  return text;
}

// The engine process installs its own handlers; a second ctrl-C ends any command at once.
function interruptSignal(): AbortSignal {
  const abort = new AbortController();
  if (process.argv[2] === ENGINE_COMMAND) return abort.signal;
  const stop = (): void => {
    if (abort.signal.aborted) process.exit(130);
    abort.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return abort.signal;
}
