import type { DesktopDescription, ServerDescription } from './description.ts';
import type { InterfacesDescription } from './interfaces-description.ts';

/** A program and its arguments, for an exec without a shell. */
export type Command = readonly [program: string, ...args: string[]];

/** The supervisor of all teams. */
export function describeSupervisor(description: DesktopDescription): Command {
  const { nodePath, command, socketPath, configRoot, stateDbPath, nebulaBinary, logFile, isRest } = description;
  return [
    nodePath,
    command,
    ...['--ipc-mode', 'socket', '--socket-path', socketPath],
    ...['--config-root', configRoot, '--state-db-path', stateDbPath, '--autostart'],
    ...(nebulaBinary === undefined ? [] : ['--nebula-binary', nebulaBinary]),
    ...(logFile === undefined ? [] : ['--log-file', logFile]),
    ...(isRest ? ['--rest'] : []),
  ];
}

/** Nebula alone, for one team. */
export function describeTeam({ nebulaBinary, teamConfigPath }: ServerDescription): Command {
  return [nebulaBinary, '-config', teamConfigPath];
}

/** The question whether a team is still allowed; it stops the team's service when it is not. */
export function describeCheck(description: ServerDescription): Command {
  const { nodePath, command, team, configRoot, apiBase } = description;
  return [
    nodePath,
    command,
    ...['check-auth', '--team', team, '--config-root', configRoot],
    ...(apiBase === undefined ? [] : ['--api-base', apiBase]),
  ];
}

/** One of the REST daemons. */
export function describeInterfaceDaemon(description: InterfacesDescription): Command {
  const { nodePath, command, port, stateDbPath, logFile, errFile, configRoot } = description;
  return [
    nodePath,
    command,
    ...['--port', String(port), '--state-db-path', stateDbPath, '--log-file', logFile, '--err-file', errFile],
    ...(configRoot === undefined ? [] : ['--config-root', configRoot]),
  ];
}

/** The same program, to remove every device that it made. It refuses while the daemon runs. */
export function describeRemoveAll({
  nodePath,
  command,
  stateDbPath,
}: Pick<InterfacesDescription, 'nodePath' | 'command' | 'stateDbPath'>): Command {
  return [nodePath, command, '--remove-all', '--state-db-path', stateDbPath];
}

/** The file that the check leaves for a team that is not allowed any more; the team does not start while it is there. */
export function revocationPath({ configRoot, team }: ServerDescription): string {
  return `${configRoot}/${team}/auth-revoked.json`;
}
