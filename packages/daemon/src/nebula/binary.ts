/**
 * Finds the Nebula program. It runs with the daemon's rights, so nobody else may be able to replace it: the file, its
 * folder and every folder above must be writable by their owner only, and the owner is root or the daemon's user.
 */

import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';

export interface FindNebulaOptions {
  /** What the user configured, absolute; undefined to look in the search path. */
  readonly path: string | undefined;
  /** As in the environment variable PATH; entries that are not absolute are skipped. */
  readonly searchPath: string;
  /** The daemon's effective user; undefined where files have no such owner, and then nothing is checked. */
  readonly uid: number | undefined;
}

/**
 * The absolute path, symbolic links resolved.
 * @throws {TailnetError} nebula/binary-missing, nebula/binary-unsafe.
 */
export function findNebula(options: FindNebulaOptions): string {
  const found = options.path === undefined ? search(options.searchPath) : options.path;
  if (found === undefined) {
    throw new TailnetError('nebula/binary-missing', 'No "nebula" in PATH; install it or give --nebula-binary');
  }
  if (!isAbsolute(found)) {
    throw new TailnetError('nebula/binary-missing', `The path of nebula must be absolute, not "${found}"`);
  }
  if (!isProgram(found)) throw new TailnetError('nebula/binary-missing', `No program at "${found}"`);
  const real = realpathSync(found);
  if (options.uid === undefined) return real;
  // The link decides which file it is, so its folders count as well.
  for (const path of new Set([real, ...foldersOf(real), ...foldersOf(found)])) {
    const risk = findRisk(path, options.uid, path === dirname(real));
    if (risk !== undefined)
      throw new TailnetError('nebula/binary-unsafe', `Will not run "${found}": "${path}" ${risk}`);
  }
  return real;
}

const PROGRAM = process.platform === 'win32' ? 'nebula.exe' : 'nebula';

function search(searchPath: string): string | undefined {
  const folders = searchPath.split(delimiter).filter((folder) => isAbsolute(folder));
  return folders.map((folder) => join(folder, PROGRAM)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function foldersOf(path: string): string[] {
  const folders: string[] = [];
  for (let folder = dirname(path); folder !== folders.at(-1); folder = dirname(folder)) folders.push(folder);
  return folders;
}

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

function findRisk(path: string, uid: number, isOwnFolder: boolean): string | undefined {
  const stat = statSync(path);
  if (stat.uid !== 0 && stat.uid !== uid) return `belongs to user ${stat.uid}`;
  if ((stat.mode & WRITABLE_BY_OTHERS) === 0) return undefined;
  // In a sticky folder such as /tmp others cannot rename a folder that is not theirs.
  if (stat.isDirectory() && (stat.mode & STICKY) !== 0 && !isOwnFolder) return undefined;
  return 'is writable by others than its owner';
}
