import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { ControlClient } from '../../socket/control-client.ts';
import type { Target } from '../target.ts';
import { stopEngine } from './disconnect.ts';

/**
 * Makes room for a new engine: one that has failed is stopped. The engine itself refuses to be the second one; asking
 * first saves a process.
 * @throws {TailnetError} `ipc/already-running` beside an engine that has not failed, `ipc/*`, `disconnect/timeout`.
 */
export async function stopFailedEngine(target: Target, timeoutMs: number): Promise<void> {
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
    await stopEngine(client, target, timeoutMs);
  } finally {
    client.close();
  }
}
