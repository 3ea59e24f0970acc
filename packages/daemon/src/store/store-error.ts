/** The failures of the state database. Every message says what to do; none was raised after a half-done change. */

import { toStateError } from '@heddle/tailnet/state/state-files';
import { TailnetError } from '@heddle/tailnet/tailnet-error';

/** @param pid Of the owner; undefined when the system does not tell. */
export function inUse(path: string, pid: number | undefined): TailnetError {
  const owner = pid === undefined ? 'another process' : `process ${pid}`;
  return new TailnetError('state/locked', `State "${path}" is in use by ${owner}`, { isRetryable: true });
}

export function foreign(path: string, what: string): TailnetError {
  return new TailnetError('state/foreign', `State "${path}" ${what}: not heddle's own; choose another --state-db-path`);
}

/** @param what The state, or the dump. */
export function newer(what: string, schemaVersion: number): TailnetError {
  const message = `${what} was written by a later version of heddle (schema ${schemaVersion}); use that one`;
  return new TailnetError('state/newer-version', message);
}

/** @param what Names the key, or the file, that cannot be read. */
export function corrupt(path: string, what: string, cause?: unknown): TailnetError {
  const message = `State "${path}" is damaged: ${what}; restore a dump with heddle state restore`;
  return new TailnetError('state/corrupt', message, { cause });
}

/** Turns a failure of LevelDB or of the system into the error the user sees; a TailnetError passes unchanged. */
export function toStoreError(error: unknown, path: string): TailnetError {
  if (error instanceof TailnetError) return error;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const mapped = fromLevel(cause, path);
    if (mapped !== undefined) return mapped;
  }
  return toStateError(error, path);
}

// LevelDB tells the errno only in words, those of strerror(3): glibc, musl and macOS agree on these.
const FULL = /No space left on device|[Qq]uota exceeded/;
/** A file that is missing, or too short to be mapped. */
const DAMAGED = /No such file or directory|Invalid argument/;

function fromLevel(error: Error & { readonly code?: unknown }, path: string): TailnetError | undefined {
  if (error.code === 'LEVEL_LOCKED') return inUse(path, undefined);
  if (error.code === 'LEVEL_CORRUPTION' || isDamage(error)) return corrupt(path, reasonOf(error), error);
  if (error.code !== 'LEVEL_IO_ERROR') return undefined;
  if (FULL.test(error.message)) return toStateError(Object.assign(new Error(error.message), { code: 'ENOSPC' }), path);
  return new TailnetError('state/unwritable', `Cannot use state "${path}" (${reasonOf(error)})`, { cause: error });
}

function isDamage({ code, message }: Error & { readonly code?: unknown }): boolean {
  return code === 'LEVEL_IO_ERROR' && DAMAGED.test(message);
}

function reasonOf(error: Error): string {
  return error.message.replace(/\s+/g, ' ').slice(0, 200);
}
