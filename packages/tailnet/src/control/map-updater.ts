import { setTimeout as sleep } from 'node:timers/promises';
import { ControlError } from './control-error.ts';
import type { ControlSession } from './h2-session.ts';
import type { ControlTimings } from './timings.ts';

/** Tries of one update before the session is given up. */
const TRIES_MAX = 3;
/** Changes within this time make one update. */
const COALESCE_MS = 5;

export interface MapUpdaterOptions {
  readonly session: ControlSession;
  /** The request body as of now. */
  readonly createRequest: () => Uint8Array;
  readonly timings: ControlTimings;
  readonly signal: AbortSignal;
}

/**
 * Sends "lite" updates of what the server knows about us, one at a time: what changes meanwhile goes with the next.
 * Also sends one now and then without news, because a server may lose us and keep our stream open.
 */
export class MapUpdater {
  readonly #options: MapUpdaterOptions;
  #wake: (() => void) | undefined;
  #isDirty = true;

  constructor(options: MapUpdaterOptions) {
    this.#options = options;
  }

  /** There is news. */
  request(): void {
    this.#isDirty = true;
    this.#wake?.();
  }

  /** Runs until the signal is aborted. @throws {ControlError} when the session is of no more use. */
  async run(): Promise<never> {
    for (;;) {
      if (!this.#isDirty) await this.#awaitNews();
      this.#isDirty = false;
      await this.#send();
    }
  }

  async #awaitNews(): Promise<void> {
    const { signal, timings } = this.#options;
    signal.throwIfAborted();
    const isOver = new AbortController();
    const news = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const cancel = (): void => isOver.abort();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      await Promise.race([news, sleep(timings.refreshMs, undefined, { signal: isOver.signal })]);
    } finally {
      this.#wake = undefined;
      signal.removeEventListener('abort', cancel);
      isOver.abort();
    }
    await sleep(COALESCE_MS, undefined, { signal });
  }

  async #send(): Promise<void> {
    const { session, createRequest, timings, signal } = this.#options;
    for (let tries = 1; ; tries++) {
      const body = createRequest();
      const answer = await session.request({
        method: 'POST',
        path: '/machine/map',
        body,
        timeoutMs: timings.requestMs,
        signal,
      });
      if (answer.status === 200) return;
      if (answer.status < 500 || tries === TRIES_MAX) throw mapStatusError(answer.status, answer.body.toString('utf8'));
      await sleep(tries * tries * 10 * timings.backoffBaseMs, undefined, { signal });
    }
  }
}

/**
 * What a status of `/machine/map` means. 404, testcontrol's 400 "node not found" and the 500 of Headscale 0.23 all mean
 * that the node is unknown; another 500 is cured by registering again just as well.
 */
export function mapStatusError(status: number, body: string): ControlError {
  const isUnknown = status === 404 || status >= 500 || (status === 400 && body.includes('not found'));
  const message = `The server answered the map request with status ${status}`;
  if (isUnknown) return new ControlError('control/unknown-node', message, { isRetryable: true });
  return new ControlError(status === 400 ? 'control/version-refused' : 'control/server-error', message, {
    isRetryable: status !== 400,
  });
}
