/**
 * The folder of the state database, and what lies beside it. `P` is the path of the user, a folder even if it ends in
 * `.db`: LevelDB is several files.
 *
 * ```
 * P                  LevelDB's files and FORMAT, which says whose they are    0700, files 0600
 * P.lock.N           the owner (host/instance-lock.ts)
 * P.new              a database in the making: worthless until it is renamed
 * P.restored         a complete one on its way to P
 * P.before-restore   the one that the last restore replaced
 * ```
 *
 * `P` comes into being by a rename, complete, so one without a sound FORMAT is somebody else's. To replace it: `P.new` →
 * `P.restored`, `P` → `P.before-restore`, `P.restored` → `P`. A process killed on the way leaves the old database at `P`,
 * or none and the new one at `P.restored`; the next owner tidies up.
 */

import {
  chmodSync,
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  type Stats,
  unlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { acquireInstanceLock, type InstanceLock, isLockEntry } from '@heddle/host/instance-lock';
import { codeOf, isSomebodyElses, nodeFileSystem, readOwnFile, replaceFile } from '@heddle/tailnet/state/state-files';
import { openLevelDatabase } from './level-database.ts';
import { diffEntries, type StoreEntries } from './store-entries.ts';
import { foreign, inUse, newer, toStoreError } from './store-error.ts';

/** `damaged`: ours, but LevelDB's root file is gone, and LevelDB would begin anew. */
export type FolderState = 'missing' | 'empty' | 'sound' | 'damaged';

const FORMAT = 'FORMAT';
/** Of the folder and of how it is read; that of the records is in the database. */
const FORMAT_VERSION = 1;
const FORMAT_TEXT = `heddle teams ${FORMAT_VERSION}\n`;
const OUR_NAME = /^(?:FORMAT|\.FORMAT\.tmp|CURRENT|LOCK|LOG|LOG\.old|MANIFEST-[0-9]+|[0-9]+\.(?:log|ldb|sst|dbtmp))$/;

/**
 * Looks what is at the path, and changes nothing.
 * @throws {TailnetError} `state/foreign`, `state/newer-version`, `state/unwritable`.
 */
export function inspectFolder(path: string): FolderState {
  return guard(path, () => {
    const stat = statOf(path);
    if (stat === undefined) return 'missing';
    refuseForeign(path, stat);
    const names = readdirSync(path);
    if (names.length === 0) return 'empty';
    const format = names.includes(FORMAT) ? readOwnFile(nodeFileSystem, join(path, FORMAT)) : undefined;
    const version = /^heddle teams ([1-9][0-9]{0,5})\n$/.exec(format ?? '')?.[1];
    if (version === undefined) throw foreign(path, `has no sound ${FORMAT}`);
    if (Number(version) > FORMAT_VERSION) throw newer(`State "${path}"`, Number(version));
    return names.includes('CURRENT') ? 'sound' : 'damaged';
  });
}

/**
 * Becomes the owner of the path, and tidies up behind a killed one. Whatever is there has been inspected before.
 * @throws {TailnetError} `state/locked` with the owner's pid, `state/foreign`, `state/disk-full`, `state/unwritable`.
 */
export function claimFolder(path: string): InstanceLock {
  return guard(path, () => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const attempt = acquireInstanceLock(lockOf(path));
    if (attempt.kind === 'held') throw inUse(path, attempt.pid === 0 ? undefined : attempt.pid);
    try {
      settle(path);
      return attempt.lock;
    } catch (error) {
      attempt.lock.release();
      throw error;
    }
  });
}

/**
 * Writes a complete database and puts it at the path, in place of whatever database of ours is there. For the owner.
 * Returns the path where the replaced one is kept, which forgets the one replaced before it.
 * @throws {TailnetError} `state/disk-full`, `state/unwritable`; the path is then as it was.
 */
export async function installDatabase(path: string, entries: StoreEntries): Promise<string | undefined> {
  try {
    await writeDatabase(draftOf(path), entries);
    return swap(path);
  } catch (error) {
    removeQuietly(draftOf(path));
    throw toStoreError(error, path);
  }
}

/**
 * Takes the rights of others away: from the folder, which is what keeps them out, and from each file. LevelDB makes files
 * with the mask of the process, whenever it likes.
 * @throws {TailnetError} `state/unwritable`.
 */
export function tightenModes(path: string): void {
  if (process.platform === 'win32') return;
  guard(path, () => {
    tighten(path, 0o700);
    for (const name of readdirSync(path)) tighten(join(path, name), 0o600);
  });
}

const lockOf = (path: string): string => `${path}.lock`;
const draftOf = (path: string): string => `${path}.new`;
const restoredOf = (path: string): string => `${path}.restored`;
const keptOf = (path: string): string => `${path}.before-restore`;

async function writeDatabase(folder: string, entries: StoreEntries): Promise<void> {
  removeOwnFolder(folder);
  mkdirSync(folder, { mode: 0o700 });
  replaceFile(nodeFileSystem, join(folder, FORMAT), FORMAT_TEXT);
  const database = await openLevelDatabase(folder, { isNew: true });
  try {
    await database.write(diffEntries(new Map(), entries), true);
  } finally {
    await database.close();
  }
  tightenModes(folder);
  syncFolder(folder);
}

function swap(path: string): string | undefined {
  const isReplacing = !isAbsentOrEmpty(path);
  renameSync(draftOf(path), restoredOf(path));
  if (isReplacing) {
    removeOwnFolder(keptOf(path));
    renameSync(path, keptOf(path));
  }
  putInPlace(path);
  return isReplacing ? keptOf(path) : undefined;
}

function settle(path: string): void {
  if (statOf(restoredOf(path)) !== undefined) {
    if (isAbsentOrEmpty(path)) putInPlace(path);
    else removeOwnFolder(restoredOf(path));
  }
  removeOwnFolder(draftOf(path));
  removeHalfReleases(path);
}

// An owner that was killed while it released the lock leaves `P.lock.N.released`, which the lock itself forgets.
function removeHalfReleases(path: string): void {
  const lockName = basename(lockOf(path));
  for (const name of readdirSync(dirname(path))) {
    if (isLockEntry(lockName, name) && name.endsWith('.released')) unlinkSync(join(dirname(path), name));
  }
}

function putInPlace(path: string): void {
  if (statOf(path) !== undefined) rmdirSync(path); // Windows renames onto nothing, not even onto an empty folder.
  renameSync(restoredOf(path), path);
  syncFolder(dirname(path));
}

function isAbsentOrEmpty(path: string): boolean {
  return statOf(path) === undefined || readdirSync(path).length === 0;
}

// File by file, no deeper: a stranger's folder of the same name is refused, not emptied.
function removeOwnFolder(path: string): void {
  const stat = statOf(path);
  if (stat === undefined) return;
  refuseForeign(path, stat);
  const names = readdirSync(path);
  const stranger = names.find((name) => !OUR_NAME.test(name));
  if (stranger !== undefined) throw foreign(path, `contains "${stranger}"`);
  for (const name of names) unlinkSync(join(path, name));
  rmdirSync(path);
}

function removeQuietly(path: string): void {
  try {
    removeOwnFolder(path);
  } catch {
    // The next owner tries again.
  }
}

function refuseForeign(path: string, stat: Stats): void {
  if (!stat.isDirectory()) throw foreign(path, 'is not a directory');
  if (isSomebodyElses(stat.uid)) throw foreign(path, `belongs to user ${stat.uid}`);
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function tighten(path: string, mode: number): void {
  try {
    if ((lstatSync(path).mode & 0o777 & ~mode) !== 0) chmodSync(path, mode);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error; // LevelDB removes what it has merged.
  }
}

// Windows cannot open a directory; its rename is durable on its own.
function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function guard<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw toStoreError(error, path);
  }
}
