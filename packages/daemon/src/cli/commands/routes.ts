import { ControlClient } from '../../socket/control-client.ts';
import type { CommandContext } from '../cli-context.ts';
import { formatTable, writeJson } from '../terminal.ts';

/** `heddle routes`: which prefix leads to which peer. */
export async function routes({ asked, terminal }: CommandContext): Promise<void> {
  const client = await ControlClient.connect(asked.socketPath);
  try {
    const answer = await client.request({ action: 'routes', team: asked.team });
    if (terminal.isJson) {
      writeJson(terminal, { routes: answer.routes });
      return;
    }
    const rows = answer.routes.map((route) => [
      route.prefix,
      route.peer,
      route.kind,
      route.used ? (route.online ? 'online' : 'offline') : 'not used',
    ]);
    terminal.out(rows.length === 0 ? 'No routes\n' : formatTable([['PREFIX', 'PEER', 'KIND', 'STATE'], ...rows]));
  } finally {
    client.close();
  }
}
