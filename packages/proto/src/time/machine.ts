/** A deadline on the caller's monotonic clock in milliseconds, and the reason a log or a test can name. */
export interface Wake {
  readonly atMs: number;
  readonly why: string;
}

/**
 * The contract of everything stateful in this package: inputs and the time go in, outputs are polled.
 *
 * - Times are monotonic milliseconds chosen by the caller. Nothing here blocks, awaits, logs or draws randomness by itself.
 * - Mutate once (`handleX`), drain every `pollX` until `undefined`, then mutate again.
 * - Queued output means that `pollTimeout()` is due now; after `handleTimeout(t)` it is later than `t` or undefined.
 * - A peer's bad bytes are data: they are counted by reason and dropped. Only a caller's mistake throws, with the state unchanged.
 *
 * The data path replaces `pollTransmit(): T` by packet slots of the arena (a number, -1 when drained), because it must
 * not allocate an object per packet.
 */
export interface Machine<I, T, E> {
  handleInput(input: I, nowMs: number): void;
  handleTimeout(nowMs: number): void;
  pollTransmit(): T | undefined;
  pollEvent(): E | undefined;
  pollTimeout(): Wake | undefined;
}

/** Returns the earlier of two wakes; either may be absent. */
export function earliestWake(a: Wake | undefined, b: Wake | undefined): Wake | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return b.atMs < a.atMs ? b : a;
}
