#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { fileURLToPath } from 'node:url';
import type { CliWorld } from './cli-context.ts';

// Node 22 and later keep compiled code between runs: a third off the start of `heddle status`.
(nodeModule as { enableCompileCache?: () => unknown }).enableCompileCache?.();

const world: CliWorld = {
  env: process.env,
  version: readVersion(),
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  isInteractive: process.stderr.isTTY === true,
  readInput,
  unixMs: () => Date.now(),
  engineCommand: [process.execPath, ...process.execArgv, fileURLToPath(import.meta.url)],
  loadParts: async () => (await import('../engine/parts.ts')).engineParts,
  interrupt: interruptSignal(),
};

process.stdout.on('error', endQuietly);
const { runCli } = await import('./program.ts');
process.exitCode = await runCli(process.argv.slice(2), world);
// What a library left open does not keep a finished command alive.
setTimeout(() => process.exit(), 1000).unref();

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
  if (process.argv.includes('__vpn-daemon')) return abort.signal;
  const stop = (): void => {
    if (abort.signal.aborted) process.exit(130);
    abort.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return abort.signal;
}

// `heddle logs | head`: the reader has seen enough.
function endQuietly(error: NodeJS.ErrnoException): void {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
}
