/**
 * `heddle connect`: starts an engine in a session of its own, waits until it runs, and leaves it behind. When it does
 * not come to run, or ctrl-C ends the wait, what was started is stopped again.
 */

import { lstatSync, readFileSync, statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DetachedProcess, startDetached } from '@heddle/host/detached-process';
import { prepareStateDir } from '@heddle/tailnet/state/state-dir';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { type EngineConfig, type StartReport, startReportShape } from '../../schema/engine-config.ts';
import { type ControlEvent, eventShape, type StateEvent } from '../../schema/event.ts';
import { readJsonLines } from '../../socket/json-lines.ts';
import { checkSocketPath, reasonOf } from '../../socket/socket-path.ts';
import type { CommandContext } from '../cli-context.ts';
import { Progress, printable, writeJson } from '../terminal.ts';
import { awaitRunning } from './await-state.ts';
import { buildConfig, type ConnectOptions } from './connect-config.ts';
import { formatConnected } from './format-connected.ts';

const CONNECT_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 8000;
const REPORT_LINE_BYTES_MAX = 65_536;
/** Its socket closes a moment before a process is known to have ended. */
const DEATH_NOTICE_MS = 500;
const POLL_MS = 20;

export async function connect(options: ConnectOptions, context: CommandContext): Promise<void> {
  const { target } = context;
  checkSocketPath(target.socketPath);
  const config = await buildConfig(options, context);
  prepareStateDir(target.stateDir);
  await refuseSecond(context);
  if (options.foreground) {
    const { runForeground } = await import('./foreground.ts');
    return runForeground(config, context);
  }
  const logStart = sizeOf(target.logPath);
  const child = await startEngine(config, context);
  try {
    const event = await waitForEngine(child, context).catch(async (error: unknown) => {
      throw await explainDeath(error, child, target.logPath, logStart);
    });
    printConnected(event, child.pid, context);
  } catch (error) {
    await stopStarted(child);
    throw error;
  } finally {
    child.release();
  }
}

// Anything at that path is worth a question; it is loaded only then.
async function refuseSecond(context: CommandContext): Promise<void> {
  if (isAbsent(context.target.socketPath)) return;
  const { stopFailedEngine } = await import('./stop-failed-engine.ts');
  await stopFailedEngine(context.target, STOP_TIMEOUT_MS);
}

function isAbsent(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) === undefined;
  } catch {
    return false;
  }
}

async function startEngine(config: EngineConfig, { world, target }: CommandContext): Promise<DetachedProcess> {
  const [command, ...args] = world.engineCommand;
  try {
    return await startDetached({
      command,
      args: [...args, '__vpn-daemon', '--report-fd', '3'],
      logPath: target.logPath,
      input: `${JSON.stringify(config)}\n`,
      env: world.env,
    });
  } catch (error) {
    const reason = reasonOf(error);
    const code = reason === 'ENOSPC' || reason === 'EDQUOT' ? 'state/disk-full' : 'engine/died';
    throw new TailnetError(code, `Cannot start the engine (${reason})`, { cause: error });
  }
}

async function waitForEngine(child: DetachedProcess, context: CommandContext): Promise<StateEvent> {
  const { world, terminal } = context;
  const progress = new Progress(terminal);
  progress.show('starting');
  try {
    return await awaitRunning({
      events: readReport(child.report),
      close: () => child.report.destroy(),
      timeoutMs: context.timeoutMs ?? CONNECT_TIMEOUT_MS,
      isLoginUntimed: context.timeoutMs === undefined,
      interrupt: world.interrupt,
      timeoutCode: 'connect/timeout',
      onState: (event) => showState(event, progress, context),
    });
  } finally {
    progress.clear();
  }
}

/** @throws {TailnetError} the reason an engine could not start, `engine/died` when it ended without a word. */
async function* readReport(report: Readable): AsyncGenerator<ControlEvent, void, undefined> {
  const lines = readJsonLines(report, REPORT_LINE_BYTES_MAX);
  const start = toStartReport((await lines.next()).value);
  if (!start.ok) throw new TailnetError(start.code, start.message);
  for await (const line of lines) {
    const event = eventShape(line);
    if (event.kind === 'ok') yield event.value;
  }
}

function toStartReport(line: unknown): StartReport {
  const result = startReportShape(line);
  if (result.kind === 'ok') return result.value;
  return { ok: false, code: 'engine/died', message: 'The engine ended before it had started' };
}

function showState(event: StateEvent, progress: Progress, { terminal }: CommandContext): void {
  if (event.state !== 'needs_login') {
    progress.show(event.state.replace('_', ' '));
    return;
  }
  progress.clear();
  const text = `To log in, open:\n\n    ${printable(event.auth_url ?? '')}\n\n`;
  if (terminal.isJson) terminal.err(text);
  else terminal.out(text);
  progress.show('waiting for the login');
}

// An engine that is gone took its reason with it, but for what it has written since it was started.
async function explainDeath(error: unknown, child: DetachedProcess, path: string, logStart: number): Promise<unknown> {
  const code = error instanceof TailnetError ? error.code : '';
  if (code !== 'engine/died' && !code.startsWith('ipc/')) return error;
  await untilEnded(child, DEATH_NOTICE_MS);
  const line = child.hasEnded() ? lastErrorLine(path, logStart) : undefined;
  return line === undefined ? error : new TailnetError(line.code, line.message);
}

function lastErrorLine(path: string, start: number): { readonly code: string; readonly message: string } | undefined {
  let text: string;
  try {
    text = readFileSync(path).subarray(start).toString('utf8');
  } catch {
    return undefined;
  }
  for (const line of text.trimEnd().split('\n').reverse()) {
    const record = parseObject(line) as { level?: unknown; message?: unknown; fields?: { code?: unknown } } | undefined;
    if (record?.level !== 'error' || typeof record.message !== 'string') continue;
    const code = record.fields?.code;
    return { code: typeof code === 'string' ? code : 'engine/died', message: record.message };
  }
  return undefined;
}

function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

async function untilEnded(child: DetachedProcess, timeoutMs: number): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!child.hasEnded() && performance.now() < endMs) await sleep(POLL_MS);
}

async function stopStarted(child: DetachedProcess): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (child.hasEnded()) return;
    try {
      process.kill(child.pid, signal);
    } catch {
      return;
    }
    await untilEnded(child, STOP_TIMEOUT_MS);
  }
}

function printConnected(event: StateEvent, pid: number, { terminal, target }: CommandContext): void {
  if (!terminal.isJson) {
    terminal.out(`${formatConnected(event)}\n`);
    return;
  }
  const { state, addresses = [], peer_count: peerCount = 0, derp_home: derpHome = 0 } = event;
  const { context, socketPath, stateDir, logPath } = target;
  writeJson(terminal, { ok: true, state, addresses, peerCount, derpHome, pid, context, socketPath, stateDir, logPath });
}
