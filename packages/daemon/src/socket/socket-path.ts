import { Buffer } from 'node:buffer';
import { chmodSync, lstatSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';

/** sun_path is 104 bytes on macOS and 108 on Linux, with its NUL; older Node cuts longer paths silently. */
export const SOCKET_PATH_BYTES_MAX = 103;

/** Where the supervisor listens unless it is told otherwise; clients of many years know it. */
export const SUPERVISOR_SOCKET = '/var/run/tech.deltaops.cvpn/cmd.sock';
/** The same for Windows, without {@link PIPE_FOLDER}. */
export const SUPERVISOR_PIPE = 'tech.deltaops.cvpn.cmd';

/** What the names of all pipes of a Windows machine begin with. It is not a folder of any disk. */
export const PIPE_FOLDER = '\\\\.\\pipe\\';
/** CreateNamedPipe: 256 characters for the whole name. */
const PIPE_NAME_CHARACTERS_MAX = 256;

/** True for the name of a Windows pipe: it has no folder, no mode, and does not outlive its process. */
export function isPipePath(path: string, platform: NodeJS.Platform = process.platform): boolean {
  return platform === 'win32' && path.toLowerCase().startsWith(PIPE_FOLDER);
}

/** Where clients look for the supervisor unless they are told otherwise. */
export function defaultSupervisorPath(platform: NodeJS.Platform = process.platform): string {
  return platform === 'win32' ? `${PIPE_FOLDER}${SUPERVISOR_PIPE}` : SUPERVISOR_SOCKET;
}

/** @throws {TailnetError} `ipc/path-too-long`. */
export function checkSocketPath(path: string): void {
  if (isPipePath(path)) {
    if (path.length <= PIPE_NAME_CHARACTERS_MAX) return;
    const message = `Pipe "${path}" has ${path.length} characters, the system allows ${PIPE_NAME_CHARACTERS_MAX}`;
    throw new TailnetError('ipc/path-too-long', message);
  }
  const length = Buffer.byteLength(path);
  if (length <= SOCKET_PATH_BYTES_MAX) return;
  const message = `Socket path "${path}" has ${length} bytes, the system allows ${SOCKET_PATH_BYTES_MAX}`;
  throw new TailnetError('ipc/path-too-long', message);
}

/**
 * Makes the folder of a socket, 0755 if it is for all users and else 0700, or checks one that exists: in a folder others can write to, anybody could put a
 * socket of his own in our place. Folders with the sticky bit (/tmp) are safe in that respect.
 * @throws {TailnetError} `ipc/unsafe-directory`, `ipc/socket-failed`.
 */
export function prepareSocketDir(socketPath: string, isOpenToAll: boolean): void {
  const path = dirname(socketPath);
  try {
    const made = mkdirSync(path, { recursive: true, mode: 0o700 });
    // The mask of the process does not decide who may enter.
    if (made !== undefined && isOpenToAll) for (const folder of new Set([made, path])) chmodSync(folder, 0o755);
    if (process.platform === 'win32') return;
    const { mode, uid } = statSync(path);
    const own = process.geteuid?.();
    const isWritableForOthers = (mode & 0o022) !== 0 && (mode & 0o1000) === 0;
    if (!isWritableForOthers && (uid === own || uid === 0)) return;
  } catch (error) {
    throw new TailnetError('ipc/socket-failed', `Cannot make the folder "${path}" (${reasonOf(error)})`);
  }
  const message = `Folder "${path}" can be changed by other users; a control socket there would not be safe`;
  throw new TailnetError('ipc/unsafe-directory', message);
}

/** What is at this path now. */
export function inspectSocketPath(path: string): 'nothing' | 'socket' | 'other' {
  try {
    return lstatSync(path).isSocket() ? 'socket' : 'other';
  } catch (error) {
    if (reasonOf(error) === 'ENOENT') return 'nothing';
    throw new TailnetError('ipc/socket-failed', `Cannot look at "${path}" (${reasonOf(error)})`);
  }
}

/** The system's code of an error, or its message. */
export function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code ?? (error instanceof Error ? error.message : String(error));
}
