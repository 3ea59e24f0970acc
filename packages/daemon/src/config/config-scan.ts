import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { TEAM_NAME_PATTERN } from '../schema/team-name.ts';
import { reasonOf } from '../socket/socket-path.ts';
import type { TeamKind } from '../team/driver.ts';
import { isOursAlone } from './owner-check.ts';

/** A folder of the config root that describes a team. */
export interface FoundTeam {
  readonly name: string;
  readonly kind: TeamKind;
  readonly configPath: string;
}

/** What kind a team is, by the file in its folder. */
const KIND_BY_FILE: Readonly<Record<string, TeamKind>> = { 'config.yml': 'nebula', 'tailnet.yml': 'tailnet' };

/**
 * Finds the teams below the config root: `<root>/<team>/config.yml` or `tailnet.yml`. Other files and folders are not
 * looked at.
 * @throws {TailnetError} `team/bad-config-root`, `team/bad-config` for a folder that has both files.
 */
export function scanConfigRoot(root: string): readonly FoundTeam[] {
  let names: string[];
  try {
    names = readdirSync(root).sort();
  } catch (error) {
    if (reasonOf(error) === 'ENOENT') return [];
    throw new TailnetError('team/bad-config-root', `Cannot read the config root "${root}" (${reasonOf(error)})`);
  }
  return names.flatMap((name) => findTeam(root, name) ?? []);
}

/** The team of that name; `undefined` when it has no configuration. @throws {TailnetError} as {@link scanConfigRoot}. */
export function findTeam(root: string, name: string): FoundTeam | undefined {
  if (!TEAM_NAME_PATTERN.test(name)) return undefined;
  const files = Object.keys(KIND_BY_FILE).filter((file) => isFile(join(root, name, file)));
  const [file, second] = files;
  if (file === undefined) return undefined;
  if (second !== undefined) {
    throw new TailnetError(
      'team/bad-config',
      `"${join(root, name)}" has both ${file} and ${second}; a team is one of them`,
    );
  }
  checkOwner(join(root, name));
  checkOwner(join(root, name, file));
  return { name, kind: KIND_BY_FILE[file] as TeamKind, configPath: join(root, name, file) };
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** What others can write to would let them run programs and join networks in our name. */
function checkOwner(path: string): void {
  if (isOursAlone(statSync(path))) return;
  const message = `"${path}" can be changed by other users: it must belong to root or user ${process.geteuid?.()} and be writable for nobody else`;
  throw new TailnetError('team/unsafe-config', message);
}
