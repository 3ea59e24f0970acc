/**
 * A lock on a file by flock(2): the kernel frees it when its holder ends, however that happens. For keeping two daemons
 * apart for a moment; an instance of a program that runs for days is marked by `acquireInstanceLock`, which needs no FFI.
 *
 * The file is made where it is missing and stays, because removing it would let two processes hold two files of one
 * name. It is empty, for nobody but its owner to open, and must be where only that user can make or rename files.
 */

import { closeSync, constants, fstatSync, lstatSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { flock } from './descriptor-calls.ts';

/** How long to wait for a lock. */
export interface LockWait {
  /** 0: one attempt. */
  readonly timeoutMs: number;
  /** Ends the wait early. */
  readonly signal: AbortSignal | undefined;
}

/** A lock that this process holds. No child inherits it. */
export interface FileLock {
  /** Frees the lock; further calls do nothing. Never throws. */
  release(): void;
}

/**
 * A lock that is not held. `code` is stable:
 *
 * - `file-lock/busy`: another holder, maybe in this process, kept it for the whole time;
 * - `file-lock/unsupported`: Windows, no FFI, or a file system without locks;
 * - `file-lock/failed`: the file cannot be opened, or is no plain file.
 */
export class FileLockError extends Error {
  override readonly name = 'FileLockError';
  readonly code: `file-lock/${'busy' | 'unsupported' | 'failed'}`;
  /** True when the same call may succeed later without anybody changing anything. */
  readonly isRetryable: boolean;

  constructor(code: FileLockError['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.isRetryable = code === 'file-lock/busy';
  }
}

/**
 * Takes the lock `path`, whose folder exists. Who waits is served in no particular order.
 * @throws {FileLockError} @throws {RangeError} when the timeout is not finite or below 0.
 * @throws whatever reason `signal` gives.
 */
export async function lockFile(path: string, { timeoutMs, signal }: LockWait): Promise<FileLock> {
  if (!(timeoutMs >= 0 && Number.isFinite(timeoutMs)))
    throw new RangeError(`A timeout of ${timeoutMs} ms is impossible`);
  const deadlineAtMs = performance.now() + timeoutMs;
  for (let pauseMs = PAUSE_MS_MIN; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX)) {
    signal?.throwIfAborted();
    const lock = tryLock(path);
    if (lock !== undefined) return lock;
    const restMs = deadlineAtMs - performance.now();
    if (restMs <= 0) throw new FileLockError('file-lock/busy', `Another process holds the lock "${path}"`);
    await pause(Math.min(pauseMs, restMs), signal);
  }
}

const PAUSE_MS_MIN = 5;
const PAUSE_MS_MAX = 100;

async function pause(timeMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(timeMs, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

/** Undefined while somebody else holds it, or has put another file in its place since it was opened. */
function tryLock(path: string): FileLock | undefined {
  const fd = openLockFile(path);
  let isLocked = false;
  try {
    isLocked = tryFlock(fd, path) && isFileAt(path, fd);
  } finally {
    if (!isLocked) closeSync(fd);
  }
  return isLocked ? createLock(fd) : undefined;
}

// Node.js adds close-on-exec. Without O_NONBLOCK opening could wait for the other end of a pipe of that name.
function openLockFile(path: string): number {
  if (process.platform === 'win32') throw describeFailure(path, { code: 'ENOSYS' });
  const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  let fd: number;
  try {
    fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  } catch (cause) {
    throw describeFailure(path, cause);
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new FileLockError('file-lock/failed', `The lock "${path}" is no plain file`);
}

function tryFlock(fd: number, path: string): boolean {
  try {
    flock(fd, LOCK_EX | LOCK_NB);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EAGAIN') return false;
    throw describeFailure(path, cause);
  }
}

function isFileAt(path: string, fd: number): boolean {
  const locked = fstatSync(fd);
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found !== undefined && found.ino === locked.ino && found.dev === locked.dev;
}

// Unlocked before it is closed: a child that is just being started has a copy of the descriptor until it runs.
function createLock(fd: number): FileLock {
  let isHeld = true;
  return {
    release: () => {
      if (!isHeld) return;
      isHeld = false;
      try {
        flock(fd, LOCK_UN);
      } catch {
        // Closing frees it as well, unless a child is being started.
      } finally {
        closeSync(fd);
      }
    },
  };
}

const UNSUPPORTED_CODES: ReadonlySet<unknown> = new Set(['ENOSYS', 'ENOLCK', 'ENOTSUP', 'EOPNOTSUPP']);

function describeFailure(path: string, cause: unknown): FileLockError {
  const errno = (cause as NodeJS.ErrnoException).code;
  const code = UNSUPPORTED_CODES.has(errno) ? 'file-lock/unsupported' : 'file-lock/failed';
  return new FileLockError(code, `Cannot lock the file "${path}" (${errno})`, cause);
}
