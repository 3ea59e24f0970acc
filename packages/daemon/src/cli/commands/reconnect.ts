import { ControlClient } from '../../socket/control-client.ts';
import type { CommandContext } from '../cli-context.ts';
import { writeJson } from '../terminal.ts';

/** `heddle reconnect`: a new connection to everything, the same engine. */
export async function reconnect({ target, terminal }: CommandContext): Promise<void> {
  const client = await ControlClient.connect(target.socketPath);
  try {
    const { message, pid } = await client.request({ action: 'reconnect' });
    if (terminal.isJson) writeJson(terminal, { ok: true, message, pid });
    else terminal.out('Reconnecting; heddle wait returns when it is done\n');
  } finally {
    client.close();
  }
}
