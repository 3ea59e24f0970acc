import type { EngineParts } from '../engine/services.ts';
import type { Target } from './target.ts';
import type { Terminal } from './terminal.ts';

/** What the commands need of the world; tests replace it. */
export interface CliWorld {
  readonly env: NodeJS.ProcessEnv;
  readonly version: string;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly isInteractive: boolean;
  /** Standard input to its end, for `--auth-key -`. */
  readonly readInput: () => Promise<string>;
  readonly unixMs: () => number;
  /** Program and arguments before `__vpn-daemon`. */
  readonly engineCommand: readonly [command: string, ...args: string[]];
  readonly loadParts: () => Promise<EngineParts>;
  /** Aborted by ctrl-C. */
  readonly interrupt: AbortSignal;
}

/** What every command gets. */
export interface CommandContext {
  readonly world: CliWorld;
  readonly terminal: Terminal;
  readonly target: Target;
  /** Whom a question about a tailnet goes to: its engine, or with `--team` the supervisor, which knows it by that name. */
  readonly asked: { readonly socketPath: string; readonly team: string | undefined };
  /** Control socket of the supervisor. */
  readonly supervisorPath: string;
  /** `--timeout` in milliseconds; undefined for the command's own. */
  readonly timeoutMs: number | undefined;
}
