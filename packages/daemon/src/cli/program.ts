import type { CliWorld } from './cli-context.ts';

/** First argument of the process that `connect` starts. Not for people. */
export const ENGINE_COMMAND = '__vpn-daemon';

/** First argument of what `bin/tun-daemon.js` and `bin/subnet-daemon.js` start. */
const INTERFACE_COMMANDS: ReadonlyMap<string, 'tun' | 'subnet'> = new Map([
  ['__tun-daemon', 'tun'],
  ['__subnet-daemon', 'subnet'],
]);

/**
 * Runs one command line (without program and script) and resolves with its exit status. Never rejects. What the engine
 * needs and what the commands need are loaded apart: both start in a moment.
 */
export async function runCli(args: readonly string[], world: CliWorld): Promise<number> {
  if (args[0] === ENGINE_COMMAND) return runEngine(args, world);
  const daemon = INTERFACE_COMMANDS.get(args[0] ?? '');
  if (daemon !== undefined)
    return (await import('./run-interface-daemon.ts')).runInterfaceCommand(daemon, args.slice(1), world);
  if (isDaemonCommand(args)) return (await import('./run-daemon.ts')).runDaemonCommand(args, world);
  const { runCommandLine } = await import('./command-line.ts');
  return runCommandLine(args, world);
}

/** True for a command line that starts the supervisor instead of a verb. */
function isDaemonCommand(args: readonly string[]): boolean {
  return args.some((arg) => arg === '--ipc-mode' || arg.startsWith('--ipc-mode='));
}

async function runEngine(args: readonly string[], { loadParts, version }: CliWorld): Promise<number> {
  const parts = loadParts();
  const { runEngineProcess } = await import('../engine/engine-process.ts');
  return runEngineProcess({
    parts,
    version,
    reportFd: descriptorOf(args, '--report-fd'),
    lifelineFd: descriptorOf(args, '--lifeline-fd'),
  });
}

function descriptorOf(args: readonly string[], name: string): number | undefined {
  const at = args.indexOf(name);
  return at < 0 ? undefined : Number(args[at + 1]);
}
