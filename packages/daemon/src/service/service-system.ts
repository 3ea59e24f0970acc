/** What an installation needs of the machine, and the real one. */

import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface CommandResult {
  /** Exit status; 127 when the program is missing, 124 when it took too long, 126 for other failures to run it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The machine as an installation sees it. File operations reject with the system's errors. */
export interface ServiceSystem {
  readonly platform: NodeJS.Platform;
  /** Undefined where there are no user ids. */
  readonly uid: number | undefined;
  /** Undefined when there is no such file. What cannot be ours, a symbolic link or a large file, reads as empty. */
  readFile(path: string): Promise<string | undefined>;
  /** Replaces the file, or a symbolic link of that name, as a whole. */
  writeFileAtomic(path: string, text: string, mode: number): Promise<void>;
  /** Removes a file; fine when there is none. */
  remove(path: string): Promise<void>;
  /** Removes a file or a folder with all that is in it; fine when there is none. */
  removeTree(path: string): Promise<void>;
  isPresent(path: string): Promise<boolean>;
  /** Names, sorted; none when there is no such folder. */
  listFolder(path: string): Promise<readonly string[]>;
  /** Runs a program without a shell. Never rejects. */
  run(command: string, args: readonly string[]): Promise<CommandResult>;
  pause(durationMs: number): Promise<void>;
}

/** A file larger than this is not ours. */
const FILE_BYTES_MAX = 65_536;
/** The slowest is a start that waits for `READY=1`, 30 s. */
const COMMAND_TIMEOUT_MS = 120_000;
const OUTPUT_BYTES_MAX = 1_048_576;

/** This machine. */
export function createServiceSystem(): ServiceSystem {
  return {
    platform: process.platform,
    uid: process.geteuid?.(),
    readFile: readSmallFile,
    writeFileAtomic,
    remove: (path) => ignoreMissing(unlink(path)),
    removeTree: (path) => rm(path, { recursive: true, force: true }),
    isPresent: (path) =>
      access(path).then(
        () => true,
        () => false,
      ),
    listFolder,
    run,
    pause: (durationMs) => delay(durationMs),
  };
}

// O_NONBLOCK: a FIFO under our name must not hold the installation up. O_NOFOLLOW: a masked unit is a link to /dev/null.
async function readSmallFile(path: string): Promise<string | undefined> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOFOLLOW ?? 0));
  } catch (error) {
    if (codeOf(error) === 'ELOOP') return '';
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const stat = await file.stat();
    return stat.isFile() && stat.size <= FILE_BYTES_MAX ? await file.readFile('utf8') : '';
  } finally {
    await file.close();
  }
}

// The temporary name has no suffix of a unit, so a manager that looks meanwhile passes it over.
async function writeFileAtomic(path: string, text: string, mode: number): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.heddle-${process.pid}`);
  await ignoreMissing(unlink(temporary));
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await ignoreMissing(unlink(temporary));
    throw error;
  }
}

async function listFolder(path: string): Promise<readonly string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

// LC_ALL: what is not there is known by its English message.
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  SYSTEMD_COLORS: '0',
  SYSTEMD_PAGER: '',
};

function run(command: string, args: readonly string[]): Promise<CommandResult> {
  const options = { env: ENVIRONMENT, cwd: '/', timeout: COMMAND_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX };
  return new Promise((resolve) => {
    execFile(command, [...args], { ...options, killSignal: 'SIGKILL', windowsHide: true }, (error, stdout, stderr) => {
      if (error === null) resolve({ code: 0, stdout, stderr });
      else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
      else resolve({ code: statusOf(error), stdout, stderr: stderr === '' ? error.message : stderr });
    });
  });
}

function statusOf(error: { readonly code?: unknown; readonly killed?: boolean }): number {
  if (error.code === 'ENOENT') return 127;
  return error.killed === true ? 124 : 126;
}

async function ignoreMissing(operation: Promise<void>): Promise<void> {
  try {
    await operation;
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}
