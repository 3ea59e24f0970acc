/**
 * `heddle connect`: starts an engine in a session of its own, waits until it runs, and leaves it behind. When it does
 * not come to run, or ctrl-C ends the wait, what was started is stopped again.
 */

import { readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DetachedProcess, startDetached } from '@heddle/host/detached-process';
import { prepareStateDir } from '@heddle/tailnet/state/state-dir';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { type EngineConfig, type StartReport, startReportShape } from '../../schema/engine-config.ts';
import type { StateEvent } from '../../schema/event.ts';
import { ControlClient } from '../../socket/control-client.ts';
import { checkSocketPath, reasonOf } from '../../socket/socket-path.ts';
import type { CommandContext } from '../cli-context.ts';
import { Progress, printable, writeJson } from '../terminal.ts';
import { awaitRunning } from './await-state.ts';
import { buildConfig, type ConnectOptions } from './connect-config.ts';
import { stopEngine } from './disconnect.ts';

const CONNECT_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 8000;
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

/** The line that says it worked. */
export function formatConnected(event: StateEvent): string {
  const count = event.peer_count ?? 0;
  return `Connected (${(event.addresses ?? []).join(', ')}) — ${count} ${count === 1 ? 'peer' : 'peers'} visible`;
}

// The engine itself refuses to be the second one; asking first saves a process and makes room for one that has failed.
async function refuseSecond({ target }: CommandContext): Promise<void> {
  let client: ControlClient;
  try {
    client = await ControlClient.connect(target.socketPath);
  } catch (error) {
    if (error instanceof TailnetError && error.code === 'ipc/not-running') return;
    throw error;
  }
  try {
    const status = await client.request({ action: 'status' });
    if (status.state !== 'error') {
      const message = `An engine is already running for "${target.context}" (process ${status.pid}, ${status.state})`;
      throw new TailnetError('ipc/already-running', message);
    }
    await stopEngine(client, target, STOP_TIMEOUT_MS);
  } finally {
    client.close();
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
  const { world, target, terminal } = context;
  const progress = new Progress(terminal);
  progress.show('starting');
  try {
    await readStartReport(child, context);
    return await awaitRunning({
      socketPath: target.socketPath,
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

async function readStartReport(child: DetachedProcess, { world }: CommandContext): Promise<void> {
  const interrupted = new Promise<never>((_, reject) => {
    const fail = (): void => reject(new TailnetError('cli/interrupted', 'Interrupted'));
    if (world.interrupt.aborted) fail();
    world.interrupt.addEventListener('abort', fail, { once: true });
  });
  const text = await Promise.race([child.report, interrupted]);
  const report = parseReport(text);
  if (!report.ok) throw new TailnetError(report.code, report.message);
}

function parseReport(text: string): StartReport {
  try {
    const result = startReportShape(JSON.parse(text));
    if (result.kind === 'ok') return result.value;
  } catch {
    // Ended before it could say anything.
  }
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
