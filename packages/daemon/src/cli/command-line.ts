import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { defaultSupervisorPath } from '../socket/socket-path.ts';
import type { CliWorld, CommandContext } from './cli-context.ts';
import { readQuickly } from './quick-reader.ts';
import { resolveTarget } from './target.ts';
import { COMMON_OPTIONS, type OptionValues, VERBS } from './verbs.ts';

/** Runs one command and resolves with its exit status. Never rejects. */
export async function runCommandLine(args: readonly string[], world: CliWorld): Promise<number> {
  try {
    return await runVerb(args, world);
  } catch (error) {
    return reportFailure(error, args.includes('--json'), world);
  }
}

async function runVerb(args: readonly string[], world: CliWorld): Promise<number> {
  const isOldName = args[0] === 'vpn' && args[1] === 'status';
  const call = readQuickly(isOldName ? args.slice(1) : args, VERBS, COMMON_OPTIONS);
  if (call !== undefined) {
    const { verb, options, argument } = call;
    await verb.run({ options, argument, context: createContext(options, world) });
    return 0;
  }
  const { readWithHelp } = await import('./help-reader.ts');
  return readWithHelp(args, world, async (verb, options, argument) =>
    verb.run({ options, argument, context: createContext(options, world) }),
  );
}

function createContext(options: OptionValues, world: CliWorld): CommandContext {
  const { out, err, isInteractive, env } = world;
  const { timeout, socketPath, team } = options as {
    readonly timeout?: number;
    readonly socketPath?: string;
    readonly team?: string;
  };
  const target = resolveTarget(options, env);
  const supervisorPath = socketPath ?? defaultSupervisorPath();
  return {
    world,
    terminal: { out, err, isInteractive, isJson: options['json'] === true },
    target,
    asked: { socketPath: team === undefined ? target.socketPath : supervisorPath, team },
    supervisorPath,
    timeoutMs: timeout === undefined ? undefined : timeout * 1000,
  };
}

/** Says why a command failed and what to do; resolves with the exit status. */
export async function reportFailure(error: unknown, isJson: boolean, { out, err }: CliWorld): Promise<number> {
  const [{ describeFailure, ReportedFailure }, { printable, writeJson }] = await Promise.all([
    import('./failure.ts'),
    import('./terminal.ts'),
  ]);
  if (error instanceof ReportedFailure) return error.exitStatus;
  const { code, message, next, exitStatus } = describeFailure(error);
  if (isJson) writeJson({ out, err, isInteractive: false, isJson }, { ok: false, code, message, next });
  else err(`heddle: ${printable(message)} [${code}]\n  next: ${next}\n`);
  if (!(error instanceof TailnetError) && error instanceof Error) err(`${error.stack}\n`);
  return exitStatus;
}
