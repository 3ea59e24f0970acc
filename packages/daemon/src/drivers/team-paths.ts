import { join } from 'node:path';

/** Where everything of one team lies. What is below `dir` is ours; `configDir` is the user's. */
export interface TeamPaths {
  /** `<config root>/<team>`. */
  readonly configDir: string;
  /** 0700, beside the state database. */
  readonly dir: string;
  /** The rendered configuration, which also marks the child's command line. */
  readonly renderedPath: string;
  readonly logPath: string;
  /** Keys of a tailnet. */
  readonly stateDir: string;
  /** Control socket of an engine. */
  readonly socketPath: string;
}

export interface TeamRoots {
  readonly configRoot: string;
  /** Folder of all teams' files. */
  readonly teamsDir: string;
  /** Folder of the engines' sockets. */
  readonly runDir: string;
}

/** In a team's folder while Nebula judges a configuration. */
export const TEST_FILE = 'test.json';

/** @param name Checked: it becomes a part of paths. */
export function teamPaths(name: string, { configRoot, teamsDir, runDir }: TeamRoots): TeamPaths {
  const dir = join(teamsDir, name);
  return {
    configDir: join(configRoot, name),
    dir,
    renderedPath: join(dir, 'config.json'),
    logPath: join(dir, 'team.log'),
    stateDir: join(dir, 'state'),
    socketPath: join(runDir, `${name}.team`),
  };
}
