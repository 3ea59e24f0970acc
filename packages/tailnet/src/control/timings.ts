import type { Rng } from '@heddle/proto/crypto/provider';

/** Every wait of the control client, in milliseconds. Tests shorten them. */
export interface ControlTimings {
  /** Reconnect attempt n waits n² times this, with jitter. */
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
  /** Longest wait while the server refuses TCP, as a restarting one does. */
  readonly refusedBackoffMaxMs: number;
  /** Connect, TLS, `/key`, upgrade and handshake together. */
  readonly dialMs: number;
  /** The same with the key of the last time, before the server is asked for its key again. */
  readonly rememberedKeyMs: number;
  /** One request and its answer; not for a held follow-up. */
  readonly requestMs: number;
  /** How long a server may hold a follow-up registration. */
  readonly followUpMs: number;
  /** Least time between two follow-ups: old servers answer without the login being done. */
  readonly followUpPauseMs: number;
  /** Silence that ends a stream. Servers send something every 60 s. */
  readonly watchdogMs: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** Between updates without news, to notice that the server has lost us. */
  readonly refreshMs: number;
  /** A stream that lived this long makes the next attempt the first again. */
  readonly stableMs: number;
}

export const DEFAULT_TIMINGS: ControlTimings = {
  backoffBaseMs: 10,
  backoffMaxMs: 30_000,
  refusedBackoffMaxMs: 2_000,
  dialMs: 10_000,
  rememberedKeyMs: 3_000,
  requestMs: 30_000,
  followUpMs: 15 * 60_000,
  followUpPauseMs: 2_000,
  watchdogMs: 120_000,
  pingIntervalMs: 30_000,
  pingTimeoutMs: 15_000,
  refreshMs: 12 * 60_000,
  stableMs: 10_000,
};

/** Milliseconds before attempt `attempt` (1, 2, …): n² times the base, times 0.5 to 1.5, at most `maxMs`. */
export function backoffMs(attempt: number, baseMs: number, maxMs: number, rng: Rng): number {
  const random = new Uint8Array(2);
  rng.fill(random);
  const jitter = 0.5 + (((random[0] as number) << 8) | (random[1] as number)) / 65_536;
  return Math.min(attempt * attempt * baseMs * jitter, maxMs);
}
