import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { TEAM_NAME_PATTERN } from '../schema/team-name.ts';

/** Which engine a command is about. */
export interface Target {
  /** A word for people. */
  readonly context: string;
  readonly stateDir: string;
  readonly socketPath: string;
  readonly logPath: string;
}

export interface TargetOptions {
  readonly context?: string | undefined;
  readonly stateDir?: string | undefined;
  readonly socketPath?: string | undefined;
}

/**
 * Finds the files of an engine (docs/guide/commands.md#contexts): a state directory of one's own brings its socket with
 * it; otherwise the socket is in the user's runtime directory, or beside the states where there is none.
 * @throws {TailnetError} `usage/bad-context`.
 */
export function resolveTarget(options: TargetOptions, env: NodeJS.ProcessEnv): Target {
  const stateHome = join(env['XDG_STATE_HOME'] || join(env['HOME'] || homedir(), '.local', 'state'), 'heddle');
  const context = options.context ?? contextOf(options.stateDir) ?? 'default';
  if (!TEAM_NAME_PATTERN.test(context)) {
    throw new TailnetError('usage/bad-context', `Context "${context}" is not a name of letters, digits, "-" and "_"`);
  }
  const stateDir = options.stateDir === undefined ? join(stateHome, context) : resolve(options.stateDir);
  const runtimeDir = env['XDG_RUNTIME_DIR'];
  const socketDir = runtimeDir ? join(runtimeDir, 'heddle') : stateHome;
  const ownSocket = options.stateDir === undefined ? join(socketDir, `${context}.sock`) : join(stateDir, 'engine.sock');
  const socketPath = options.socketPath === undefined ? ownSocket : resolve(options.socketPath);
  return { context, stateDir, socketPath, logPath: join(stateDir, 'engine.log') };
}

function contextOf(stateDir: string | undefined): string | undefined {
  const name = stateDir === undefined ? '' : basename(resolve(stateDir));
  return TEAM_NAME_PATTERN.test(name) ? name : undefined;
}
