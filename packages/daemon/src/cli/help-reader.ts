/** Reads any command line with commander, made from the table of commands: help, short options, words for mistakes. */

import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import type { CliWorld } from './cli-context.ts';
import { EXIT } from './failure.ts';
import {
  COMMON_OPTIONS,
  GROUPS,
  type OptionSpec,
  type OptionValues,
  VERBS,
  type VerbGroup,
  type VerbSpec,
} from './verbs.ts';

const DAEMON_HELP = `
The teams daemon is started by flags instead of a command:
  heddle --ipc-mode <socket|pipe> [--socket-path <path>] [--pipe-name <name>]
         [--config-root <dir>] [--state-db-path <path>] [--nebula-binary <path>]
         [--log-file <file>] [--autostart] [--dry-run] [--verbose]
         [--rest] [--tun-port <port>] [--subnet-port <port>] [--token-file <file>]
`;

/** Called for the command of a line that was understood. */
export type RunVerb = (verb: VerbSpec, options: OptionValues, argument: string) => Promise<void>;

/**
 * Resolves with the exit status of the reading itself: 2 for what cannot be understood, which has been explained.
 * Rejects with what `run` rejects with.
 */
export async function readWithHelp(args: readonly string[], world: CliWorld, run: RunVerb): Promise<number> {
  const program = new Command('heddle')
    .description('Join tailnets, and run every overlay network of this machine')
    .version(world.version, '-V, --version')
    .exitOverride()
    .configureOutput({ writeOut: world.out, writeErr: world.err })
    .showHelpAfterError('(heddle help lists the commands)')
    .addHelpText('after', DAEMON_HELP);
  const groups = new Map<string, Command>();
  for (const verb of VERBS) {
    const group = GROUPS.find(({ name }) => verb.name.startsWith(`${name} `));
    if (group !== undefined && !groups.has(group.name)) groups.set(group.name, addGroup(program, group, world));
    addVerb(groups.get(group?.name ?? '') ?? program, verb, world, run);
    if (verb.name !== 'status') continue;
    const vpn = program.command('vpn').description('the same commands under their older name').exitOverride();
    addVerb(vpn, verb, world, run);
  }
  try {
    await program.parseAsync(helpOf(args) ?? args, { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
}

/** `heddle help tun create`, in the words commander has for it. */
function helpOf([help, group, action]: readonly string[]): readonly string[] | undefined {
  const isKnown = help === 'help' && VERBS.some(({ name }) => name === `${group} ${action}`);
  return isKnown ? [group as string, 'help', action as string] : undefined;
}

function addGroup(program: Command, { name, description, examples, note }: VerbGroup, world: CliWorld): Command {
  const group = program
    .command(name)
    .description(description)
    .exitOverride()
    .configureOutput({ writeOut: world.out, writeErr: world.err })
    .usage('<command> [options]')
    .helpCommand(true)
    .addHelpText('after', `\nExamples:\n  ${examples.join('\n  ')}\n\n${note}`)
    .allowUnknownOption()
    .allowExcessArguments();
  const actions = VERBS.flatMap((verb) => (verb.name.startsWith(`${name} `) ? [verb.name.slice(name.length + 1)] : []));
  return group.action(() => {
    const asked = group.args.find((arg) => !arg.startsWith('-'));
    const lead = `After "heddle ${name}" comes one of ${actions.join(', ')}`;
    throw new TailnetError('usage/bad-command', asked === undefined ? lead : `${lead}, not "${asked}"`);
  });
}

function addVerb(parent: Command, verb: VerbSpec, world: CliWorld, run: RunVerb): void {
  const command = parent
    .command(verb.name.slice(verb.name.indexOf(' ') + 1))
    .description(verb.description)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeOut: world.out, writeErr: world.err });
  if (verb.argument !== undefined) command.argument(verb.argument.name, verb.argument.description);
  for (const spec of [...(verb.common ?? COMMON_OPTIONS), ...verb.options]) addOption(command, spec);
  command.action(() => run(verb, command.opts(), command.args[0] ?? ''));
}

function addOption(command: Command, { flags, description, parse, default: value }: OptionSpec): void {
  if (parse === undefined) command.option(flags, description, value as string | boolean | undefined);
  else command.option(flags, description, explaining(parse), value);
}

function explaining(parse: NonNullable<OptionSpec['parse']>): (text: string, previous: unknown) => unknown {
  return (text, previous) => {
    try {
      return parse(text, previous);
    } catch (error) {
      throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
    }
  };
}
