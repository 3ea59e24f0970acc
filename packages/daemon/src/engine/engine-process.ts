/**
 * The process behind `heddle __vpn-daemon`: configuration in by standard input, its start told by a descriptor, then
 * the engine until a signal or a `stop` ends it. The socket file is removed on every way out but SIGKILL; the next
 * engine recognises what that leaves behind.
 */

import { Buffer } from 'node:buffer';
import { readSync } from 'node:fs';
import { Socket } from 'node:net';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { createLogFile } from '../process/log-file.ts';
import { createSocketGuard, installSignals } from '../process/process-guards.ts';
import { CONFIG_BYTES_MAX, type EngineConfig, engineConfigShape } from '../schema/engine-config.ts';
import type { LogRecord } from '../schema/reply.ts';
import { planCompilingSooner } from './compile-sooner.ts';
import { describeState } from './describe.ts';
import { type EngineOutcome, runEngine } from './run-engine.ts';
import type { EngineParts } from './services.ts';
import { openReportPipe, StartReporter } from './start-reporter.ts';

export interface EngineProcessOptions {
  /** On their way already: loading them takes longest. */
  readonly parts: Promise<EngineParts>;
  readonly version: string;
  /** Descriptor of the pipe that waits for the start report; undefined when nobody waits. */
  readonly reportFd: number | undefined;
  /** Descriptor that closes when the supervisor has ended; the engine then ends too. Undefined without supervisor. */
  readonly lifelineFd: number | undefined;
}

/** How long a failed engine that nobody has heard of answers at its socket. */
const LINGER_MS = 5000;

/** Runs the engine and resolves with the exit status: 0 after a stop, 1 after a failure. */
export async function runEngineProcess(options: EngineProcessOptions): Promise<number> {
  planCompilingSooner();
  options.parts.catch(() => {}); // Heard of below.
  const { reportFd } = options;
  const reporter = new StartReporter(reportFd === undefined ? undefined : openReportPipe(reportFd));
  try {
    const outcome = await runConfigured(readConfig(), options, reporter);
    return outcome.kind === 'stopped' ? 0 : 1;
  } catch (error) {
    const code = error instanceof TailnetError ? error.code : 'engine/internal';
    const message = error instanceof Error ? error.message : String(error);
    reporter.start({ ok: false, code, message });
    process.stderr.write(
      `${JSON.stringify({ time: new Date().toISOString(), level: 'error', message, fields: { code } })}\n`,
    );
    return 1;
  } finally {
    await reporter.end();
  }
}

async function runConfigured(
  config: EngineConfig,
  options: EngineProcessOptions,
  reporter: StartReporter,
): Promise<EngineOutcome> {
  const writeRecord = config.logPath === undefined ? writeToStdout : createLogFile(1, config.logPath);
  const writeLog = (record: LogRecord): void => {
    if (record.level === 'warn' || record.level === 'error') reporter.tell({ event: 'log', line: record });
    writeRecord(record);
  };
  const socket = createSocketGuard();
  const { createNode, services } = await options.parts;
  return runEngine({
    config,
    createNode,
    services,
    version: options.version,
    unixMs: () => Date.now(),
    writeLog,
    onSocket: socket.set,
    onStarted: (state) => {
      reporter.start({ ok: true, pid: process.pid });
      reporter.tell(describeState(state));
    },
    onState: (state) => reporter.tell(describeState(state)),
    signal: endSignal(writeLog, options.lifelineFd),
    lingerMs: () => (reporter.isHeard ? 0 : LINGER_MS),
  });
}

function endSignal(writeLog: (record: LogRecord) => void, lifelineFd: number | undefined): AbortSignal {
  const signal = installSignals(writeLog);
  return lifelineFd === undefined ? signal : AbortSignal.any([signal, watchLifeline(lifelineFd)]);
}

/** Aborts when the other end of the descriptor is gone, however that came. */
function watchLifeline(fd: number): AbortSignal {
  const abort = new AbortController();
  const lifeline = new Socket({ fd, readable: true, writable: false });
  lifeline.on('error', () => abort.abort());
  lifeline.on('close', () => abort.abort());
  lifeline.resume();
  lifeline.unref();
  return abort.signal;
}

function writeToStdout(record: LogRecord): void {
  process.stdout.write(`${JSON.stringify(record)}\n`);
}

// Read at one go: whoever starts an engine writes the line at once, and a stream takes longer to make than to read.
function readConfig(): EngineConfig {
  const bytes = Buffer.alloc(CONFIG_BYTES_MAX + 1);
  let length = 0;
  for (;;) {
    const count = readSync(0, bytes, length, bytes.length - length, null);
    if (count === 0) break;
    length += count;
    if (length > CONFIG_BYTES_MAX) throw new TailnetError('engine/bad-config', 'The configuration is too long');
  }
  const text = bytes.toString('utf8', 0, length);
  bytes.fill(0, 0, length);
  return parseConfig(text);
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
