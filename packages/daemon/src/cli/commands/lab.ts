import { once } from 'node:events';
import type { CommandContext } from '../cli-context.ts';
import { writeJson } from '../terminal.ts';

export interface LabCommandOptions {
  readonly host: string;
  readonly port: number;
}

/** `heddle lab`: a coordination server and a relay of our own until ctrl-C, for trying things out. */
export async function lab(options: LabCommandOptions, { terminal, world }: CommandContext): Promise<void> {
  const { startLab } = await import('@heddle/lab');
  const running = await startLab({ host: options.host, port: options.port });
  try {
    const { controlUrl, authKey, domain } = running;
    if (terminal.isJson) writeJson(terminal, { controlUrl, authKey, domain });
    else terminal.out(formatWelcome(controlUrl, authKey));
    if (!world.interrupt.aborted) await once(world.interrupt, 'abort');
  } finally {
    await running.close();
  }
}

// The key opens nothing but this throw-away server.
function formatWelcome(controlUrl: string, authKey: string): string {
  const join = (name: string, port: number): string =>
    `  echo ${authKey} | heddle connect --login-server ${controlUrl} --auth-key - --context ${name} --hostname ${name} --proxy 127.0.0.1:${port}\n`;
  return [
    `A tailnet for trying things out is running at ${controlUrl}\n\n`,
    'Join it from other terminals, as often as you like:\n',
    join('alpha', 16579),
    join('beta', 16580),
    '\nThen: heddle status --context alpha, heddle ping beta --context alpha\n',
    'Ctrl-C ends it.\n',
  ].join('');
}
