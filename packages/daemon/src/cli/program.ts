/**
 * The command line. Commands are loaded when they are called, so that `heddle status` starts without the engine.
 */

import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import type { CliWorld, CommandContext } from './cli-context.ts';
import type { ConnectOptions } from './commands/connect-config.ts';
import { describeFailure, EXIT } from './failure.ts';
import { resolveTarget, type TargetOptions } from './target.ts';
import { printable, type Terminal, writeJson } from './terminal.ts';

type GlobalOptions = TargetOptions & { readonly json?: boolean; readonly timeout?: number };

/** Runs one command line (without program and script) and resolves with its exit status. Never rejects. */
export async function runCli(args: readonly string[], world: CliWorld): Promise<number> {
  let exitStatus: number = EXIT.ok;
  const program = createProgram(world, (status) => {
    exitStatus = status;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitStatus;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return reportFailure(error, { ...terminalOf(world, args.includes('--json')) });
  }
}

function createProgram(world: CliWorld, setExitStatus: (status: number) => void): Command {
  const program = new Command('heddle')
    .description('Join tailnets from one program')
    .version(world.version, '-V, --version')
    .exitOverride()
    .configureOutput({ writeOut: world.out, writeErr: world.err })
    .showHelpAfterError('(heddle help lists the commands)');
  addConnect(program, world);
  addReaders(program, world);
  addActions(program, world);
  program
    .command('__vpn-daemon', { hidden: true })
    .option('--report-fd <fd>', '', parseCount)
    .action(async ({ reportFd }: { reportFd?: number }) => {
      const { runEngineProcess } = await import('../engine/engine-process.ts');
      setExitStatus(await runEngineProcess({ loadParts: world.loadParts, version: world.version, reportFd }));
    });
  return program;
}

function addConnect(program: Command, world: CliWorld): void {
  addVerb(program, world, 'connect', 'join a tailnet and stay in it in the background')
    .option('--login-server <url>', 'coordination server; default the one of the last time, else Tailscale’s')
    .option('--auth-key <key>', 'pre-auth key; "-" reads it from standard input')
    .option('--auth-key-file <file>', 'file that holds the pre-auth key')
    .option('--hostname <name>', 'name in the tailnet; default this machine’s')
    .option('--proxy <address>', 'local HTTP and SOCKS5 proxy, or "off"', '127.0.0.1:16579')
    .option(
      '--forward <spec>',
      'ADDRESS:PORT:PEER:PORT, a local port that leads to a peer; may be repeated',
      collect,
      [],
    )
    .option('--serve <spec>', 'TAILNET-PORT:HOST:PORT, a tailnet port that leads here; may be repeated', collect, [])
    .option('--tls-ca <file>', 'PEM file of an additional certificate authority')
    .option('--no-udp', 'use relays only')
    .option('--verbose', 'log everything', false)
    .option('--foreground', 'stay in the foreground until ctrl-C', false)
    .action(async (_options: unknown, command: Command) => {
      const { connect } = await import('./commands/connect.ts');
      await connect(command.opts<ConnectOptions>(), contextOf(command, world));
    });
}

function addReaders(program: Command, world: CliWorld): void {
  const showStatus = async (_options: unknown, command: Command): Promise<void> => {
    const { status } = await import('./commands/status.ts');
    await status(contextOf(command, world));
  };
  addVerb(program, world, 'status', 'show the state, the addresses and the peers').action(showStatus);
  const vpn = program.command('vpn').description('the same commands under their older name').exitOverride();
  addVerb(vpn, world, 'status', 'show the state, the addresses and the peers').action(showStatus);
  addVerb(program, world, 'peers', 'list the peers and the paths to them').action(
    async (_options, command: Command) => {
      const { peers } = await import('./commands/peers.ts');
      await peers(contextOf(command, world));
    },
  );
  addVerb(program, world, 'routes', 'list which prefix leads to which peer').action(
    async (_options, command: Command) => {
      const { routes } = await import('./commands/routes.ts');
      await routes(contextOf(command, world));
    },
  );
  addVerb(program, world, 'logs', 'show the log of the engine')
    .option('-f, --follow', 'go on with new lines', false)
    .option('-n, --lines <count>', 'how many lines, at most 1000', parseLineCount, 100)
    .action(async (options: { follow: boolean; lines: number }, command: Command) => {
      const { logs } = await import('./commands/logs.ts');
      await logs(options, contextOf(command, world));
    });
  addVerb(program, world, 'version', 'show the version').action(async (_options, command: Command) => {
    const { version } = await import('./commands/version.ts');
    await version(contextOf(command, world));
  });
}

function addActions(program: Command, world: CliWorld): void {
  addVerb(program, world, 'disconnect', 'leave the tailnet; the keys stay').action(
    async (_options, command: Command) => {
      const { disconnect } = await import('./commands/disconnect.ts');
      await disconnect(contextOf(command, world));
    },
  );
  addVerb(program, world, 'reconnect', 'make all connections anew').action(async (_options, command: Command) => {
    const { reconnect } = await import('./commands/reconnect.ts');
    await reconnect(contextOf(command, world));
  });
  addVerb(program, world, 'wait', 'return when the tailnet is up').action(async (_options, command: Command) => {
    const { wait } = await import('./commands/wait.ts');
    await wait(contextOf(command, world));
  });
  addVerb(program, world, 'ping', 'send ICMP echoes to a peer through the tunnel')
    .argument('<peer>', 'name or address')
    .option('-c, --count <count>', 'how many, one a second', parseCount, 1)
    .action(async (peer: string, options: { count: number }, command: Command) => {
      const { ping } = await import('./commands/ping.ts');
      await ping(peer, options, contextOf(command, world));
    });
  addVerb(program, world, 'lab', 'run a small coordination server and relay for trying things out')
    .option('--host <address>', 'address to listen at', '127.0.0.1')
    .option('--port <port>', 'port of the coordination server', parseCount, 0)
    .action(async (options: { host: string; port: number }, command: Command) => {
      const { lab } = await import('./commands/lab.ts');
      await lab(options, contextOf(command, world));
    });
}

function addVerb(parent: Command, world: CliWorld, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .exitOverride()
    .configureOutput({ writeOut: world.out, writeErr: world.err })
    .option('--context <name>', 'which engine; default "default"')
    .option('--state-dir <dir>', 'folder of its keys; its socket is there too')
    .option('--socket-path <path>', 'its control socket')
    .option('--timeout <seconds>', 'how long to wait', parseSeconds)
    .option('--json', 'print JSON');
}

function contextOf(command: Command, world: CliWorld): CommandContext {
  const options = command.opts<GlobalOptions>();
  return {
    world,
    terminal: terminalOf(world, options.json === true),
    target: resolveTarget(options, world.env),
    timeoutMs: options.timeout === undefined ? undefined : options.timeout * 1000,
  };
}

function terminalOf({ out, err, isInteractive }: CliWorld, isJson: boolean): Terminal {
  return { out, err, isInteractive, isJson };
}

function reportFailure(error: unknown, terminal: Terminal): number {
  const { code, message, next, exitStatus } = describeFailure(error);
  if (terminal.isJson) writeJson(terminal, { ok: false, code, message, next });
  else terminal.err(`heddle: ${printable(message)} [${code}]\n  next: ${next}\n`);
  if (!(error instanceof TailnetError) && error instanceof Error) terminal.err(`${error.stack}\n`);
  return exitStatus;
}

function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}

function parseCount(text: string): number {
  const count = Number(text);
  if (/^[0-9]{1,5}$/.test(text) && count <= 65_535) return count;
  throw new InvalidArgumentError('Not a number from 0 to 65535.');
}

function parseLineCount(text: string): number {
  const count = parseCount(text);
  if (count >= 1 && count <= 1000) return count;
  throw new InvalidArgumentError('Not a number from 1 to 1000.');
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (/^[0-9]+(\.[0-9]+)?$/.test(text) && seconds > 0 && seconds <= 86_400) return seconds;
  throw new InvalidArgumentError('Not a number of seconds up to 86400.');
}
