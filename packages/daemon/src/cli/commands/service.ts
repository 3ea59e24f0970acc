import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runServiceCommand, type ServiceVerb } from '../../service/service-commands.ts';
import { createServiceSystem } from '../../service/service-system.ts';
import type { CommandContext } from '../cli-context.ts';

export interface ServiceFlags {
  readonly mode?: string | undefined;
  readonly team?: string | undefined;
  readonly daemon?: string | undefined;
  readonly socketPath?: string | undefined;
  readonly configRoot?: string | undefined;
  readonly stateDbPath?: string | undefined;
  readonly logFile?: string | undefined;
  readonly errFile?: string | undefined;
  readonly port?: string | undefined;
  readonly nebulaBinary?: string | undefined;
  readonly teamConfig?: string | undefined;
  readonly apiBase?: string | undefined;
  readonly dryRun?: boolean | undefined;
  readonly purge?: boolean | undefined;
  readonly rest?: boolean | undefined;
}

/** `heddle install-systemd`, `install-launchd` and `uninstall`. */
export async function service(
  verb: ServiceVerb,
  flags: ServiceFlags,
  { world, terminal }: CommandContext,
): Promise<void> {
  const [nodePath, ...rest] = world.engineCommand;
  const command = realpathSync(rest.at(-1) as string);
  const options = {
    mode: flags.mode,
    team: flags.team,
    daemon: flags.daemon,
    nodePath: realpathSync(nodePath),
    command,
    // From `dist/bundle` and `dist/cli` alike.
    packageFolder: join(dirname(command), '../..'),
    socketPath: flags.socketPath,
    configRoot: flags.configRoot,
    stateDbPath: flags.stateDbPath,
    logFile: flags.logFile,
    errFile: flags.errFile,
    port: flags.port,
    logGroup: undefined,
    nebulaBinary: flags.nebulaBinary,
    teamConfigPath: flags.teamConfig,
    apiBase: flags.apiBase,
    isDryRun: flags.dryRun ?? false,
    isJson: terminal.isJson,
    isPurge: flags.purge ?? false,
    isRest: flags.rest ?? false,
  };
  await runServiceCommand(verb, options, { out: terminal.out, system: createServiceSystem() });
}
