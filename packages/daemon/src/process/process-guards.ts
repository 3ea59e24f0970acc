import { unlinkSync } from 'node:fs';
import type { LogRecord } from '../schema/reply.ts';

const POSIX_ENDING: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT'];
const WINDOWS_ENDING: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGBREAK', 'SIGHUP'];

/** Removes the socket file when the process ends by another way than the engine's own. */
export function createSocketGuard(): { readonly set: (path: string | undefined) => void } {
  let current: string | undefined;
  process.on('exit', () => {
    if (current === undefined) return;
    try {
      unlinkSync(current);
    } catch {
      // Gone already.
    }
  });
  return {
    set: (path) => {
      current = path;
    },
  };
}

/**
 * Turns signals into an abort and a fault into a log line and exit status 1. On Windows these are events of the console:
 * ctrl-C, ctrl-break, and its closing, after which the system ends the process ten seconds later anyway.
 */
export function installSignals(
  writeLog: (record: LogRecord) => void,
  platform: NodeJS.Platform = process.platform,
): AbortSignal {
  const abort = new AbortController();
  const ending = platform === 'win32' ? WINDOWS_ENDING : POSIX_ENDING;
  for (const name of ending) process.on(name, () => abort.abort());
  if (platform !== 'win32') {
    process.on('SIGHUP', () => {}); // The terminal the engine was started from has gone; that is the idea.
    process.on('SIGUSR1', () => {}); // Node would open its debugger for everybody on this machine.
  }
  process.on('uncaughtException', (error) => {
    const fields = { code: 'engine/internal', stack: String(error.stack).slice(0, 2000) };
    writeLog({ time: new Date().toISOString(), level: 'error', message: `Fault: ${error.message}`, fields });
    process.exit(1);
  });
  return abort.signal;
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
