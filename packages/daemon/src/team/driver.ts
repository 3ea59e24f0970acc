import type { ProcessIdentity } from '@heddle/host/process-identity';
import type { TeamClaims } from '../plan/claims.ts';

/** How a team is run. */
export type TeamKind = 'nebula' | 'tailnet';

/** What the configuration of a team says. */
export interface TeamNeeds {
  readonly claims: TeamClaims;
  /** True when the user's file names the port of the proxy: that counts more than a remembered one. */
  readonly isProxyPortGiven: boolean;
  /** Undefined without a certificate of its own. */
  readonly certNotAfterUnixMs: number | undefined;
}

/** What the plan gave to a team; undefined where it needs none. */
export interface Assignment {
  readonly device: string | undefined;
  /** 0: any. */
  readonly listenPort: number | undefined;
  readonly proxyPort: number | undefined;
}

/** What is known about a network that is up. */
export interface TeamFacts {
  readonly device: string | undefined;
  readonly addresses: readonly string[];
  /** CIDR text. */
  readonly networks: readonly string[];
  /** `host:port` of the local proxy. */
  readonly proxy: string | undefined;
  /** Of the external program that runs it. */
  readonly version: string | undefined;
}

/** Whether a failure goes away: never without a change, perhaps within a few tries, or with time. */
export type Retry = 'never' | 'few' | 'backoff';

/** Why a team is not up. */
export interface TeamFailure {
  /** Stable (docs/guide/errors.md). */
  readonly code: string;
  readonly message: string;
  readonly retry: Retry;
}

export type Health =
  | { readonly kind: 'ok' }
  /** Works, and somebody should know. */
  | { readonly kind: 'warning'; readonly code: string; readonly message: string }
  /** Does not work: three in a row restart the team. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

/** A running child of a team. */
export interface TeamChild {
  readonly identity: ProcessIdentity;
  /** Resolves when the network is up. Stays pending for a child that ends before, or waits for a person. */
  readonly ready: Promise<TeamFacts>;
  /** Resolves once, when the process is gone, with why. Never rejects. */
  readonly exited: Promise<TeamFailure>;
  /** Resolves when a child that is not ready waits for a person, with for what: an address to log in at. */
  readonly waiting: Promise<string>;
  /**
   * Takes over the configuration as it is now without an interruption; false when that needs another child. Only for one
   * that is ready.
   * @throws {TailnetError} of a configuration that cannot be used, or that the child refused; the old one then goes on.
   */
  reload(): Promise<boolean>;
  /** Cheap and read-only. Never rejects. */
  checkHealth(): Promise<Health>;
  signal(name: 'SIGTERM' | 'SIGKILL'): void;
}

/** One way of running one team. It keeps no state of its own between two children. */
export interface TeamDriver {
  readonly kind: TeamKind;
  /**
   * Reads the team's configuration. Changes nothing.
   * @throws {TailnetError} with the file, line and key of a configuration that cannot be used.
   */
  inspect(): Promise<TeamNeeds>;
  /**
   * Lets the program that would run the team judge the configuration, where there is such a program. Starts nothing.
   * @throws {TailnetError} why it would not run.
   */
  verify(): Promise<void>;
  /**
   * Starts the child. What it needs on disk is written first.
   * @throws {TailnetError} when it could not be started; `isRetryable` if trying again may help.
   */
  start(assignment: Assignment): Promise<TeamChild>;
  /** Removes what `start` wrote. The user's own files stay. */
  removeFiles(): Promise<void>;
}
