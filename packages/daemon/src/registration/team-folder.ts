/**
 * The folder of one team below the config root: 0700, ours, no symbolic link.
 *
 * ```
 * config.yml       the Nebula configuration; holds the private key     config.yml.bak         the same, written second
 * node.key node.crt ca.crt   its parts, as the server's archive has them
 * credentials.json who this node is, and its token                     credentials.json.bak   the same, written second
 * auth-revoked.json  the server does not want the node any more
 * .pending.json    a package that is being installed (node-install.ts)  .lock.N               the writer
 * ```
 */

import { dirname, join, resolve } from 'node:path';
import { acquireInstanceLock } from '@heddle/host/instance-lock';
import { codeOf, type FileSystem, isSomebodyElses } from '@heddle/tailnet/state/state-files';
import { RegistrationError } from './registration-error.ts';
import { isTeamName, type TeamName } from './team-name.ts';

/** Where the files of one team are. */
export interface TeamFolder {
  readonly team: TeamName;
  /** Absolute. */
  readonly path: string;
  readonly fs: FileSystem;
}

/** Default of `--config-root`. */
export const CONFIG_ROOT = '/etc/catalyst-networks';
/** More folders than this are not looked at. */
const TEAM_COUNT_MAX = 1024;
/** As much as the files of one package may need, so that a full disk shows before a token is spent. */
const PROBE_BYTES = 65_536;

/** Names the folder without touching it. The name is a checked one, so the path stays below the root. */
export function teamFolder(configRoot: string, team: TeamName, fs: FileSystem): TeamFolder {
  return { team, path: join(resolve(configRoot), team), fs };
}

/** Folders below the root that have the name of a team, sorted; none where there is no root. */
export function listTeamFolders(configRoot: string, fs: FileSystem): readonly TeamFolder[] {
  let names: string[];
  try {
    names = fs.readdirSync(resolve(configRoot)) as string[];
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw toFileError(error, resolve(configRoot));
  }
  const teams = names.filter(isTeamName).sort().slice(0, TEAM_COUNT_MAX);
  return teams.map((team) => teamFolder(configRoot, team, fs)).filter(hasFolder);
}

/**
 * Makes the root and the folder where they are missing, checks both, and writes something to see whether there is room.
 * @throws {RegistrationError} `registration/unsafe-folder`, `registration/disk-full`, `registration/unwritable`.
 */
export function prepareTeamFolder(folder: TeamFolder): void {
  const { path, fs } = folder;
  try {
    fs.mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    makeFolder(folder);
    checkTeamFolder(folder);
    if (process.platform !== 'win32' && (fs.lstatSync(path).mode & 0o077) !== 0) fs.chmodSync(path, 0o700);
    probe(folder);
  } catch (error) {
    throw toFileError(error, path);
  }
}

/**
 * Refuses a folder that is a symbolic link or belongs to somebody else, and a root in which others could put another in
 * its place. A folder that is not there passes.
 * @throws {RegistrationError} `registration/unsafe-folder`, `registration/unwritable`.
 */
export function checkTeamFolder({ path, fs }: TeamFolder): void {
  try {
    const stat = fs.lstatSync(path);
    if (stat.isSymbolicLink()) throw unsafe(path, 'is a symbolic link');
    if (!stat.isDirectory()) throw unsafe(path, 'is not a directory');
    if (isForeign(stat.uid)) throw unsafe(path, `belongs to user ${stat.uid}`);
    if (isOpenToWriters(stat.mode)) throw unsafe(path, 'can be changed by other users');
    const root = dirname(path);
    // The root itself may be a link: whoever names it decides where it is.
    const fd = fs.openSync(root, 'r');
    try {
      const rootStat = fs.fstatSync(fd);
      if (isForeign(rootStat.uid)) throw unsafe(root, `belongs to user ${rootStat.uid}`);
      if (isOpenToWriters(rootStat.mode)) throw unsafe(root, 'can be changed by other users');
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw toFileError(error, path);
  }
}

/**
 * Runs while this process is the only writer of the folder, which exists.
 * @throws {RegistrationError} `registration/busy`, and those of `run`.
 */
export async function withTeamLock<T>({ path, team }: TeamFolder, run: () => Promise<T>): Promise<T> {
  let attempt: ReturnType<typeof acquireInstanceLock>;
  try {
    attempt = acquireInstanceLock(join(path, '.lock'));
  } catch (error) {
    throw toFileError(error, path);
  }
  if (attempt.kind === 'held') {
    const message = `Process ${attempt.pid} is working on team "${team}"`;
    throw new RegistrationError('registration/busy', message, { isRetryable: true });
  }
  try {
    return await run();
  } finally {
    attempt.lock.release();
  }
}

/** The error a person sees for a failed system call; a RegistrationError passes unchanged. */
export function toFileError(error: unknown, path: string): Error {
  if (error instanceof RegistrationError) return error;
  const code = codeOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'state/disk-full') {
    const message = `No space left to write "${path}"; nothing was lost`;
    return new RegistrationError('registration/disk-full', message, { isRetryable: true, cause: error });
  }
  // A programming fault is no trouble with a file.
  if (code === undefined) return error instanceof Error ? error : new Error(String(error));
  const reason = codeOf((error as Error).cause) ?? code;
  return new RegistrationError('registration/unwritable', `Cannot use "${path}" (${reason})`, { cause: error });
}

export function unsafe(path: string, what: string): RegistrationError {
  return new RegistrationError('registration/unsafe-folder', `"${path}" ${what}, so nothing there is touched`);
}

/** True when a file is neither ours nor root's. */
export function isForeign(uid: number): boolean {
  return uid !== 0 && isSomebodyElses(uid);
}

function hasFolder({ path, fs }: TeamFolder): boolean {
  try {
    return fs.lstatSync(path).isDirectory();
  } catch {
    return false;
  }
}

// With the sticky bit (/tmp) others cannot replace what is ours.
function isOpenToWriters(mode: number): boolean {
  return process.platform !== 'win32' && (mode & 0o022) !== 0 && (mode & 0o1000) === 0;
}

function makeFolder({ path, fs }: TeamFolder): void {
  try {
    fs.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return;
  }
  if (process.platform === 'win32') return;
  const fd = fs.openSync(dirname(path), 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function probe({ path, fs }: TeamFolder): void {
  const file = join(path, '.probe');
  try {
    fs.unlinkSync(file);
  } catch {
    // It is not there.
  }
  const fd = fs.openSync(file, 'wx', 0o600);
  try {
    const bytes = new Uint8Array(PROBE_BYTES);
    for (let offset = 0; offset < bytes.length; ) offset += fs.writeSync(fd, bytes, offset);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
    fs.unlinkSync(file);
  }
}
