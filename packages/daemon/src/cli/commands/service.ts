import { realpathSync } from 'node:fs';
import { runServiceCommand, type ServiceVerb } from '../../service/service-commands.ts';
import { createServiceSystem } from '../../service/service-system.ts';
import type { CommandContext } from '../cli-context.ts';

export interface ServiceFlags {
  readonly mode?: string | undefined;
  readonly team?: string | undefined;
  readonly socketPath?: string | undefined;
  readonly configRoot?: string | undefined;
  readonly stateDbPath?: string | undefined;
  readonly logFile?: string | undefined;
  readonly nebulaBinary?: string | undefined;
  readonly teamConfig?: string | undefined;
  readonly apiBase?: string | undefined;
  readonly dryRun?: boolean | undefined;
  readonly purge?: boolean | undefined;
}

/** `heddle install-systemd`, `install-launchd` and `uninstall`. */
export async function service(
  verb: ServiceVerb,
  flags: ServiceFlags,
  { world, terminal }: CommandContext,
): Promise<void> {
  const [nodePath, ...rest] = world.engineCommand;
  const options = {
    mode: flags.mode,
    team: flags.team,
    nodePath: realpathSync(nodePath),
    command: realpathSync(rest.at(-1) as string),
    socketPath: flags.socketPath,
    configRoot: flags.configRoot,
    stateDbPath: flags.stateDbPath,
    logFile: flags.logFile,
    nebulaBinary: flags.nebulaBinary,
    teamConfigPath: flags.teamConfig,
    apiBase: flags.apiBase,
    isDryRun: flags.dryRun ?? false,
    isJson: terminal.isJson,
    isPurge: flags.purge ?? false,
  };
  await runServiceCommand(verb, options, { out: terminal.out, system: createServiceSystem() });
}
