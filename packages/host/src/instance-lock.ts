/**
 * A lock file for which one process at a time is the owner, without help of the kernel: Node has no flock.
 *
 * The lock `x` is the series of entries `x.1`, `x.2`, … beside each other; the highest number decides. Each is a
 * symbolic link whose target names its owner: made atomically together with its content, and without needing a data
 * block on a full disk.
 *
 * - Free: there is no entry, or the owner of the highest is dead or has released it.
 * - To take it, make the next number (one contender wins), then look again: an entry above one's own means that the
 *   look before was stale, so give up one's own and start over.
 * - The highest entry is never removed, only superseded: without that rule a slow contender could make a number that
 *   was already used and forgotten. The winner removes the ones below.
 *
 * Valid within one pid namespace and on one machine.
 */

import { readdirSync, readFileSync, readlinkSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describeOwnProcess, isProcessAlive, type ProcessIdentity } from './process-identity.ts';

/** A lock this process owns. */
export interface InstanceLock {
  /** Frees the lock; further calls do nothing. Never throws: a dead owner frees it as well. */
  release(): void;
}

export type LockAttempt =
  | { readonly kind: 'acquired'; readonly lock: InstanceLock }
  /** Owned by a living process, maybe this one. */
  | { readonly kind: 'held'; readonly pid: number };

const RELEASED = 'released';
const ATTEMPT_COUNT_MAX = 50;

/**
 * Takes the lock at `path`, whose directory exists.
 * @throws {NodeJS.ErrnoException} when the directory cannot be read or written.
 */
export function acquireInstanceLock(path: string): LockAttempt {
  const own = describeOwnProcess();
  for (let attempt = 0; attempt < ATTEMPT_COUNT_MAX; attempt++) {
    const numbers = listNumbers(path);
    const highest = numbers.at(-1) ?? 0;
    const owner = highest === 0 ? undefined : readOwner(`${path}.${highest}`);
    if (owner !== undefined && isProcessAlive(owner)) return { kind: 'held', pid: owner.pid };
    const entry = `${path}.${highest + 1}`;
    if (!makeEntry(entry, `${own.pid}:${own.startMark}`)) continue;
    if (listNumbers(path).at(-1) !== highest + 1) {
      remove(entry);
      continue;
    }
    for (const number of numbers) {
      remove(`${path}.${number}`);
      // Of an owner that was killed while it released.
      remove(`${path}.${number}.released`);
    }
    return { kind: 'acquired', lock: createLock(entry) };
  }
  return { kind: 'held', pid: 0 };
}

/** The process that owns the lock now, without taking it; `undefined` when it is free. */
export function findLockOwner(path: string): number | undefined {
  try {
    const highest = listNumbers(path).at(-1);
    const owner = highest === undefined ? undefined : readOwner(`${path}.${highest}`);
    return owner !== undefined && isProcessAlive(owner) ? owner.pid : undefined;
  } catch {
    return undefined;
  }
}

/** True for the name (no folder) of an entry of the lock with that name. */
export function isLockEntry(lockName: string, fileName: string): boolean {
  return fileName.startsWith(`${lockName}.`) && /^[1-9][0-9]*(\.released)?$/.test(fileName.slice(lockName.length + 1));
}

function createLock(entry: string): InstanceLock {
  let isOwned = true;
  return {
    release(): void {
      if (!isOwned) return;
      isOwned = false;
      try {
        remove(`${entry}.released`);
        if (makeEntry(`${entry}.released`, RELEASED)) renameSync(`${entry}.released`, entry);
      } catch {
        // The entry names this process and start time; it is stale as soon as the process ends.
      }
    },
  };
}

function listNumbers(path: string): number[] {
  const prefix = `${basename(path)}.`;
  const numbers: number[] = [];
  for (const name of readdirSync(dirname(join(path)))) {
    const rest = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    if (/^[1-9][0-9]{0,8}$/.test(rest)) numbers.push(Number(rest));
  }
  return numbers.sort((a, b) => a - b);
}

// Windows keeps symbolic links for administrators, so the owner is the content of a file there.
function makeEntry(path: string, owner: string): boolean {
  try {
    if (process.platform === 'win32') writeFileSync(path, owner, { flag: 'wx', mode: 0o600 });
    else symlinkSync(owner, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function readOwner(path: string): ProcessIdentity | undefined {
  try {
    const text = process.platform === 'win32' ? readFileSync(path, 'utf8') : readlinkSync(path);
    const match = /^([1-9][0-9]{0,9}):(\S*)$/.exec(text);
    return match === null ? undefined : { pid: Number(match[1]), startMark: match[2] ?? '' };
  } catch {
    return undefined;
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else was faster, or will be.
  }
}
