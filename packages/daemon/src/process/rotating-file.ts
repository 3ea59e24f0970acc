import { closeSync, fchmodSync, fchownSync, fstatSync, ftruncateSync, openSync, renameSync, writeSync } from 'node:fs';

/** Owner writes, group reads. */
export const LOG_FILE_MODE = 0o640;

export interface RotatingFileOptions {
  readonly path: string;
  /** A line that would make the file longer goes into a new one. */
  readonly bytesMax: number;
  /** Older files that are kept, `path`.1 the youngest. */
  readonly keptCount: number;
  /** `writeSync`, unless a test fills the disk. */
  readonly writeBytes: (fd: number, bytes: Uint8Array) => number;
}

/**
 * A file that lines are appended to, at once and without a buffer of ours, so that nothing is lost when the process dies.
 * It opens itself anew when it is full; somebody else may rename it and have it reopened.
 */
export class RotatingFile {
  readonly #options: RotatingFileOptions;
  #fd: number;
  #writtenBytes: number;
  /** True after half a line, which the disk had no room to end. */
  #isTorn = false;

  /** Opens or makes the file. @throws the system's error. */
  constructor(options: RotatingFileOptions) {
    this.#options = options;
    this.#fd = openForAppending(options.path, undefined);
    this.#writtenBytes = fstatSync(this.#fd).size;
  }

  /** Writes one line, which ends with a line break. False: the disk has no room, and the line is lost. */
  append(line: string): boolean {
    const bytes = new TextEncoder().encode(this.#isTorn ? `\n${line}` : line);
    if (this.#writtenBytes > 0 && this.#writtenBytes + bytes.length > this.#options.bytesMax) this.#rotate();
    let count: number;
    try {
      count = this.#options.writeBytes(this.#fd, bytes);
    } catch {
      return false;
    }
    this.#writtenBytes += count;
    if (count > 0) this.#isTorn = count < bytes.length;
    return count === bytes.length;
  }

  /**
   * Opens the path again, after somebody else has renamed the file. A file that is not there is made, with the group of
   * the one before where that is allowed. When the path cannot be opened, lines go where they went before.
   * @returns False when it failed.
   */
  reopen(): boolean {
    let fd: number;
    try {
      fd = openForAppending(this.#options.path, fstatSync(this.#fd).gid);
    } catch {
      return false;
    }
    closeSync(this.#fd);
    this.#fd = fd;
    this.#writtenBytes = fstatSync(fd).size;
    this.#isTorn = false;
    return true;
  }

  /** Nothing may be appended afterwards. */
  close(): void {
    closeSync(this.#fd);
  }

  #rotate(): void {
    if (this.#renameAll() && this.reopen()) return;
    // The folder takes no new name: the old lines go, for an ever growing log would be worse.
    try {
      ftruncateSync(this.#fd);
    } catch {
      // Not a regular file.
    }
    this.#writtenBytes = 0;
    this.#isTorn = false;
  }

  #renameAll(): boolean {
    const { path, keptCount } = this.#options;
    for (let i = keptCount - 1; i >= 1; i--) tryRename(`${path}.${i}`, `${path}.${i + 1}`);
    return tryRename(path, `${path}.1`);
  }
}

// The mode only of a file that is new: on others it is the administrator's. It is not left to the umask.
function openForAppending(path: string, gid: number | undefined): number {
  try {
    const fd = openSync(path, 'ax', LOG_FILE_MODE);
    // The group first: the mode opens the file for it.
    if (gid !== undefined) tryGroup(fd, gid);
    fchmodSync(fd, LOG_FILE_MODE);
    return fd;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return openSync(path, 'a', LOG_FILE_MODE);
  }
}

const SAME_OWNER = -1;

function tryGroup(fd: number, gid: number): void {
  try {
    fchownSync(fd, SAME_OWNER, gid);
  } catch {
    // Not a member of it.
  }
}

function tryRename(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch {
    return false;
  }
}

/** The real `writeBytes`. @throws the system's error. */
export function writeToFile(fd: number, bytes: Uint8Array): number {
  return writeSync(fd, bytes);
}
