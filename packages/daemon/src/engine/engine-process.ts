/**
 * The process behind `heddle __vpn-daemon`: configuration in by standard input, one report out by a descriptor, then
 * the engine until a signal or a `stop` ends it. The socket file is removed on every way out but SIGKILL; the next
 * engine recognises what that leaves behind.
 */

import { Buffer } from 'node:buffer';
import { closeSync, unlinkSync, writeSync } from 'node:fs';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { CONFIG_BYTES_MAX, type EngineConfig, engineConfigShape, type StartReport } from '../schema/engine-config.ts';
import type { LogRecord } from '../schema/reply.ts';
import { createLogFile } from './log-file.ts';
import { type EngineOutcome, runEngine } from './run-engine.ts';
import type { NodeFactory, ProxyServices } from './services.ts';

/** The parts of an engine that are heavy to load. */
export interface EngineParts {
  readonly createNode: NodeFactory;
  readonly services: ProxyServices;
}

export interface EngineProcessOptions {
  readonly loadParts: () => Promise<EngineParts>;
  readonly version: string;
  /** Descriptor of the pipe that waits for the start report; undefined when nobody waits. */
  readonly reportFd: number | undefined;
}

/** Longer than `connect` needs to subscribe to an engine whose node failed at once. */
const LINGER_MS = 5000;

/** Runs the engine and resolves with the exit status: 0 after a stop, 1 after a failure. */
export async function runEngineProcess(options: EngineProcessOptions): Promise<number> {
  let isReported = false;
  const report = (outcome: StartReport): void => {
    if (isReported || options.reportFd === undefined) return;
    isReported = true;
    sendReport(options.reportFd, outcome);
  };
  try {
    const config = await readConfig();
    const outcome = await runConfigured(config, options, () => report({ ok: true, pid: process.pid }));
    return outcome.kind === 'stopped' ? 0 : 1;
  } catch (error) {
    const code = error instanceof TailnetError ? error.code : 'engine/internal';
    const message = error instanceof Error ? error.message : String(error);
    report({ ok: false, code, message });
    process.stderr.write(
      `${JSON.stringify({ time: new Date().toISOString(), level: 'error', message, fields: { code } })}\n`,
    );
    return 1;
  }
}

async function runConfigured(
  config: EngineConfig,
  options: EngineProcessOptions,
  onStarted: () => void,
): Promise<EngineOutcome> {
  const writeLog = config.logPath === undefined ? writeToStdout : createLogFile(1, config.logPath);
  const socket = createSocketGuard();
  const { createNode, services } = await options.loadParts();
  return runEngine({
    config,
    createNode,
    services,
    version: options.version,
    unixMs: () => Date.now(),
    writeLog,
    onSocket: socket.set,
    onStarted,
    onState: () => {},
    signal: installSignals(writeLog),
    lingerMs: LINGER_MS,
  });
}

function writeToStdout(record: LogRecord): void {
  process.stdout.write(`${JSON.stringify(record)}\n`);
}

/** Removes the socket file when the process ends by another way than the engine's own. */
export function createSocketGuard(): { readonly set: (path: string | undefined) => void } {
  let current: string | undefined;
  process.on('exit', () => {
    if (current === undefined) return;
    try {
      unlinkSync(current);
    } catch {
      // Gone already.
    }
  });
  return {
    set: (path) => {
      current = path;
    },
  };
}

/** Turns signals into an abort and a fault into a log line and exit status 1. */
export function installSignals(writeLog: (record: LogRecord) => void): AbortSignal {
  const abort = new AbortController();
  process.on('SIGTERM', () => abort.abort());
  process.on('SIGINT', () => abort.abort());
  process.on('SIGHUP', () => {}); // The terminal the engine was started from has gone; that is the idea.
  process.on('SIGUSR1', () => {}); // Node would open its debugger for everybody on this machine.
  process.on('uncaughtException', (error) => {
    const fields = { code: 'engine/internal', stack: String(error.stack).slice(0, 2000) };
    writeLog({ time: new Date().toISOString(), level: 'error', message: `Fault: ${error.message}`, fields });
    process.exit(1);
  });
  return abort.signal;
}

async function readConfig(): Promise<EngineConfig> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > CONFIG_BYTES_MAX) throw new TailnetError('engine/bad-config', 'The configuration is too long');
  }
  return parseConfig(Buffer.concat(chunks).toString('utf8'));
}

// The message names fields, never values: the line holds the auth key.
function parseConfig(text: string): EngineConfig {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new TailnetError('engine/bad-config', 'The configuration on standard input is not JSON');
  }
  const result = engineConfigShape(json);
  if (result.kind === 'ok') return result.value;
  throw new TailnetError('engine/bad-config', `The configuration on standard input has a bad "${result.path}"`);
}

function sendReport(fd: number, report: StartReport): void {
  try {
    writeSync(fd, `${JSON.stringify(report)}\n`);
    closeSync(fd);
  } catch {
    // Whoever waited has gone.
  }
}
