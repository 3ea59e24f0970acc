import { ControlClient } from '../../socket/control-client.ts';
import type { CommandContext } from '../cli-context.ts';
import { Progress, writeJson } from '../terminal.ts';
import { awaitRunning } from './await-state.ts';
import { formatConnected } from './format-connected.ts';

/** `heddle wait`: returns when the engine runs; never polls. */
export async function wait({ target, terminal, world, timeoutMs }: CommandContext): Promise<void> {
  const progress = new Progress(terminal);
  const client = await ControlClient.connect(target.socketPath);
  try {
    const event = await awaitRunning({
      events: client.subscribe(['log', 'state']),
      close: () => client.close(),
      timeoutMs,
      isLoginUntimed: false,
      interrupt: world.interrupt,
      timeoutCode: 'wait/timeout',
      onState: (change) => progress.show(change.state.replace('_', ' ')),
    });
    progress.clear();
    const { addresses = [], peer_count: peerCount = 0 } = event;
    if (terminal.isJson) writeJson(terminal, { ok: true, state: event.state, addresses, peerCount });
    else terminal.out(`${formatConnected(event)}\n`);
  } finally {
    progress.clear();
  }
}
