import { setTimeout as sleep } from 'node:timers/promises';
import { type FileSystem, nodeFileSystem } from '@heddle/tailnet/state/state-files';
import { runCommand } from './command-runner.ts';
import { exchangeHttp, type HttpExchange } from './http-exchange.ts';
import { findKeyring, type Keyring } from './keyring.ts';
import { CONFIG_ROOT } from './team-folder.ts';

/** What the operations of this room need of the world; tests replace parts. */
export interface TeamWorld {
  readonly configRoot: string;
  readonly fs: FileSystem;
  /** `undefined`: files keep the secrets. */
  readonly keyring: Keyring | undefined;
  readonly exchange: HttpExchange;
  readonly sleep: (delayMs: number, signal: AbortSignal | undefined) => Promise<void>;
  readonly unixMs: () => number;
  /** How long heddle, or this command, has been running. */
  readonly uptimeSeconds: () => number;
  /** Of heddle. */
  readonly version: string;
  /** Of one attempt of a call; `undefined` for 30 s. */
  readonly timeoutMs: number | undefined;
  /** Ends waits and calls. */
  readonly signal: AbortSignal | undefined;
  /** Show, change nothing. */
  readonly isDryRun: boolean;
}

/** The real world, with `given` in place of its parts. */
export function createTeamWorld(given: Partial<TeamWorld> & Pick<TeamWorld, 'version'>): TeamWorld {
  return {
    configRoot: CONFIG_ROOT,
    fs: nodeFileSystem,
    keyring: findKeyring({ platform: process.platform, uid: process.geteuid?.(), run: runCommand }),
    exchange: exchangeHttp,
    sleep: async (delayMs, signal) => {
      await sleep(delayMs, undefined, signal === undefined ? {} : { signal });
    },
    unixMs: () => Date.now(),
    uptimeSeconds: () => process.uptime(),
    timeoutMs: undefined,
    signal: undefined,
    isDryRun: false,
    ...given,
  };
}
