import { ControlClient } from '../../socket/control-client.ts';
import type { CommandContext } from '../cli-context.ts';
import { writeJson } from '../terminal.ts';

/** `heddle version`: of this program, and of the engine when one runs. */
export async function version({ target, terminal, world }: CommandContext): Promise<void> {
  const engine = await fetchEngineVersion(target.socketPath);
  if (terminal.isJson) {
    writeJson(terminal, { version: world.version, node: process.version, engine: engine ?? null });
    return;
  }
  terminal.out(`heddle ${world.version} (Node.js ${process.version})\n`);
  if (engine !== undefined && engine !== world.version) {
    terminal.out(`The running engine is ${engine}: restart it with heddle disconnect and heddle connect\n`);
  }
}

async function fetchEngineVersion(socketPath: string): Promise<string | undefined> {
  try {
    const client = await ControlClient.connect(socketPath);
    try {
      return (await client.request({ action: 'version' })).version;
    } finally {
      client.close();
    }
  } catch {
    return undefined;
  }
}
