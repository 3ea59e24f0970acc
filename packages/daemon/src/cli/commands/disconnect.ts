import { setTimeout as sleep } from 'node:timers/promises';
import { findLockOwner } from '@heddle/host/instance-lock';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { ControlClient } from '../../socket/control-client.ts';
import type { CommandContext } from '../cli-context.ts';
import type { Target } from '../target.ts';
import { writeJson } from '../terminal.ts';

const DISCONNECT_TIMEOUT_MS = 15_000;
const POLL_MS = 20;

/** `heddle disconnect`: stops the engine and waits until it is gone. Nothing to stop is success. */
export async function disconnect(context: CommandContext): Promise<void> {
  const { target, terminal } = context;
  let client: ControlClient;
  try {
    client = await ControlClient.connect(target.socketPath);
  } catch (error) {
    if (!(error instanceof TailnetError) || error.code !== 'ipc/not-running') throw error;
    if (terminal.isJson) writeJson(terminal, { ok: true, wasRunning: false });
    else terminal.out('VPN: not running\n');
    return;
  }
  try {
    const pid = await stopEngine(client, target, context.timeoutMs ?? DISCONNECT_TIMEOUT_MS);
    if (terminal.isJson) writeJson(terminal, { ok: true, wasRunning: true, pid });
    else terminal.out('Disconnected\n');
  } finally {
    client.close();
  }
}

/**
 * Asks an engine to stop and waits until its socket and its state are free. Returns its pid.
 * @throws {TailnetError} `disconnect/timeout`, `ipc/*`.
 */
export async function stopEngine(client: ControlClient, target: Target, timeoutMs: number): Promise<number> {
  const { pid } = await client.request({ action: 'stop' });
  const endMs = performance.now() + timeoutMs;
  await Promise.race([client.waitForClose(), sleep(timeoutMs, undefined, { ref: false })]);
  while (findLockOwner(`${target.socketPath}.lock`) === pid) {
    if (performance.now() > endMs) {
      throw new TailnetError('disconnect/timeout', `Process ${pid} has not ended after ${timeoutMs / 1000} s`);
    }
    await sleep(POLL_MS);
  }
  return pid;
}
