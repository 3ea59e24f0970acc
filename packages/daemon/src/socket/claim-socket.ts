import { unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { acquireInstanceLock, type InstanceLock, type LockAttempt } from '@heddle/host/instance-lock';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { checkSocketPath, inspectSocketPath, isPipePath, prepareSocketDir, reasonOf } from './socket-path.ts';

/** The right to listen at a path; the path is free now. */
export interface SocketClaim {
  readonly path: string;
  /** Call it after the server has closed. */
  release(): void;
}

/**
 * Claims a socket path for this process, in a folder that all may enter or we alone, and removes the file a killed predecessor left. The lock decides who may, so two
 * engines that start at once cannot remove each other's file.
 * @throws {TailnetError} `ipc/already-running` with the other's pid, `ipc/not-a-socket`, `ipc/path-too-long`,
 * `ipc/unsafe-directory`, `ipc/socket-failed`.
 */
export async function claimSocket(path: string, isOpenToAll: boolean): Promise<SocketClaim> {
  checkSocketPath(path);
  if (isPipePath(path)) return claimPipe(path);
  prepareSocketDir(path, isOpenToAll);
  const lock = lockPath(path);
  try {
    await removeStale(path);
    return { path, release: () => lock.release() };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * The pipe is its own lock: Windows gives its first instance to one process, and takes it back when that ends. Who comes
 * second is refused by `listen()`; this only finds out whom to name.
 */
async function claimPipe(path: string): Promise<SocketClaim> {
  const answer = await probe(path);
  if (answer.kind === 'stale') return { path, release: () => {} };
  throw alreadyRunning(path, answer.kind === 'alive' ? answer.pid : undefined);
}

function lockPath(path: string): InstanceLock {
  let attempt: LockAttempt;
  try {
    attempt = acquireInstanceLock(`${path}.lock`);
  } catch (error) {
    throw new TailnetError('ipc/socket-failed', `Cannot lock "${path}" (${reasonOf(error)})`, { cause: error });
  }
  if (attempt.kind === 'acquired') return attempt.lock;
  throw alreadyRunning(path, attempt.pid);
}

async function removeStale(path: string): Promise<void> {
  const found = inspectSocketPath(path);
  if (found === 'nothing') return;
  if (found === 'other') throw new TailnetError('ipc/not-a-socket', `"${path}" exists and is not a socket`);
  const answer = await probe(path);
  if (answer.kind === 'alive') throw alreadyRunning(path, answer.pid);
  if (answer.kind === 'failed') {
    throw new TailnetError('ipc/socket-failed', `Cannot tell whether "${path}" is in use (${answer.reason})`);
  }
  unlinkSync(path);
}

type Answer =
  | { readonly kind: 'alive'; readonly pid: number | undefined }
  | { readonly kind: 'stale' }
  | { readonly kind: 'failed'; readonly reason: string };

const PROBE_TIMEOUT_MS = 1000;

// Somebody listens without holding our lock: an engine whose lock file was removed, or another program. Asking for its
// version names the former's pid; any connection at all means that the file is not ours to remove.
function probe(path: string): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let text = '';
    let isConnected = false;
    const finish = (answer: Answer): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => finish(isConnected ? alive(text) : FAILED_TIMEOUT), PROBE_TIMEOUT_MS);
    socket.on('connect', () => {
      isConnected = true;
      socket.write('"version"\n');
    });
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.includes('\n') || text.length > 10_000) finish(alive(text));
    });
    socket.on('end', () => finish(alive(text)));
    socket.on('error', (error) => {
      const reason = reasonOf(error);
      if (isConnected) finish(alive(text));
      else finish(reason === 'ECONNREFUSED' || reason === 'ENOENT' ? { kind: 'stale' } : { kind: 'failed', reason });
    });
  });
}

const FAILED_TIMEOUT: Answer = { kind: 'failed', reason: 'no answer' };

function alive(text: string): Answer {
  const pid = /"pid":([1-9][0-9]{0,9})/.exec(text)?.[1];
  return { kind: 'alive', pid: pid === undefined ? undefined : Number(pid) };
}

/** The error for a path that somebody else listens at. */
export function alreadyRunning(path: string, pid: number | undefined): TailnetError {
  const owner = pid === undefined || pid === 0 ? 'another process' : `process ${pid}`;
  return new TailnetError('ipc/already-running', `heddle is already running at "${path}" (${owner})`);
}
