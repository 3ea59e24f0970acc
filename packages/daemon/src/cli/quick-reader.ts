/**
 * Reads command lines without commander, which takes longer to load than most commands run. It knows the plain forms
 * (`--name value`, `--name=value`, `--flag`) and gives up on everything else: help, short options, mistakes. Commander
 * then reads the line again and has the words for it.
 */

import type { OptionSpec, OptionValues, VerbSpec } from './verbs.ts';

export interface QuickCall {
  readonly verb: VerbSpec;
  readonly options: OptionValues;
  readonly argument: string;
}

/** Undefined when commander has to decide. */
export function readQuickly(
  args: readonly string[],
  verbs: readonly VerbSpec[],
  common: readonly OptionSpec[],
): QuickCall | undefined {
  const verb = verbs.find(({ name }) => name === (name.includes(' ') ? `${args[0]} ${args[1]}` : args[0]));
  if (verb === undefined) return undefined;
  const known = new Map([...(verb.common ?? common), ...verb.options].map((spec) => [longNameOf(spec), spec]));
  const options = defaultsOf(known);
  const rest: string[] = [];
  for (let i = verb.name.includes(' ') ? 2 : 1; i < args.length; i++) {
    const arg = args[i] as string;
    if (!arg.startsWith('-')) {
      rest.push(arg);
      continue;
    }
    const [name, inline] = splitOption(arg);
    const spec = known.get(name);
    if (spec === undefined) return undefined;
    if (spec.flags.endsWith('>')) {
      const text = inline ?? args[++i];
      if (text === undefined || !store(spec, text, options)) return undefined;
    } else {
      if (inline !== undefined) return undefined;
      options[keyOf(name)] = !name.startsWith('--no-');
    }
  }
  const isOptional = verb.argument?.name.startsWith('[') ?? false;
  const isFit = rest.length === (verb.argument === undefined ? 0 : 1) || (isOptional && rest.length === 0);
  if (!isFit) return undefined;
  return { verb, options, argument: rest[0] ?? '' };
}

function store(spec: OptionSpec, text: string, options: Record<string, unknown>): boolean {
  const key = keyOf(longNameOf(spec));
  try {
    options[key] = spec.parse === undefined ? text : spec.parse(text, options[key]);
    return true;
  } catch {
    return false;
  }
}

function defaultsOf(known: ReadonlyMap<string, OptionSpec>): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const [name, spec] of known) {
    if (name.startsWith('--no-')) options[keyOf(name)] = true;
    else if (spec.default !== undefined) options[keyOf(name)] = spec.default;
  }
  return options;
}

/** `--lines` of `-n, --lines <count>`. */
function longNameOf({ flags }: OptionSpec): string {
  return /--[a-z0-9-]+/.exec(flags)?.[0] ?? flags;
}

/** `loginServer` of `--login-server`, `udp` of `--no-udp`: as commander names them. */
function keyOf(longName: string): string {
  return longName.replace(/^--(no-)?/, '').replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function splitOption(arg: string): [name: string, inline: string | undefined] {
  const at = arg.indexOf('=');
  return at < 0 ? [arg, undefined] : [arg.slice(0, at), arg.slice(at + 1)];
}
