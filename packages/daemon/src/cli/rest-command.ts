/** What all commands have in common that speak with a REST daemon. */

import { readTokenFile } from '../config/token-file.ts';
import type { Shape } from '../schema/shape.ts';
import { askRest, type RestAnswer, type RestTarget } from './rest-client.ts';
import type { RestQuestion } from './rest-connection.ts';
import { formatAge, printable, writeJson } from './terminal.ts';
import type { VerbCall } from './verbs.ts';

interface RestOptions {
  readonly port?: number | undefined;
  readonly tokenFile?: string | undefined;
}

const USUAL_PORT: Readonly<Record<RestTarget['daemon'], number>> = { 'tun-daemon': 3030, 'subnet-daemon': 3031 };
/** Longer than the daemon itself takes at most for one request. */
const TIMEOUT_MS = 15_000;

/** Asks the daemon that the options name. @throws {TailnetError} as `askRest`, and `rest/bad-token-file`. */
export function askDaemon<T>(
  daemon: RestTarget['daemon'],
  question: RestQuestion,
  shape: Shape<T>,
  { options, context }: VerbCall,
): Promise<RestAnswer<T>> {
  const { port, tokenFile } = options as RestOptions;
  return askRest(question, shape, {
    daemon,
    port: port ?? USUAL_PORT[daemon],
    token: tokenFile === undefined ? undefined : readTokenFile(tokenFile),
    timeoutMs: context.timeoutMs ?? TIMEOUT_MS,
    signal: context.world.interrupt,
  });
}

/** Prints an answer: all of it as JSON, or a text for people and the warnings it brings. */
export function report<T>(
  { value, said }: RestAnswer<T>,
  format: (value: T) => string,
  { context: { terminal } }: VerbCall,
): void {
  if (terminal.isJson) writeJson(terminal, said);
  else {
    terminal.out(format(value));
    const { warnings = [] } = value as { readonly warnings?: readonly string[] };
    for (const warning of warnings) terminal.err(`warning: ${printable(warning)}\n`);
  }
}

/** Says that something was deleted, which the daemon answers with nothing. */
export function reportDeleted(what: string, { context: { terminal } }: VerbCall): void {
  if (terminal.isJson) writeJson(terminal, { ok: true });
  else terminal.out(`Deleted ${printable(what)}\n`);
}

/** The facts about one thing, a line each. */
export function formatFacts(facts: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts.map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}\n`).join('');
}

/** When and by whom something was made. */
export function formatMade(
  { created_at, created_by }: { readonly created_at: string; readonly created_by: number | null },
  nowUnixMs: number,
): string {
  const whose = created_by === null ? 'with the token' : `by uid ${created_by}`;
  return `${formatAge(Date.parse(created_at) || 0, nowUnixMs)}, ${whose}`;
}
