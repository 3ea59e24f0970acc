import { ControlError } from './control-error.ts';

export interface DeadlineOptions {
  readonly timeoutMs: number;
  /** Cancels earlier; the task then fails with its reason. */
  readonly signal: AbortSignal;
  /** What is being waited for, for the message: `the answer of example.com to /machine/map`. */
  readonly what: string;
}

/**
 * Runs a task and aborts its signal after the timeout. Returns at that moment, even if the task does not heed the
 * signal; its late result is dropped, so what it opened must hang on the signal.
 * @throws {ControlError} `control/timeout` when the time is over.
 */
export async function withDeadline<T>(options: DeadlineOptions, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { timeoutMs, signal, what } = options;
  signal.throwIfAborted();
  const controller = new AbortController();
  const cancel = (): void => controller.abort(signal.reason);
  signal.addEventListener('abort', cancel, { once: true });
  let isOver = false;
  const timer = setTimeout(() => {
    isOver = true;
    controller.abort();
  }, timeoutMs);
  const aborted = new Promise<never>((_resolve, reject) => {
    controller.signal.addEventListener('abort', () => reject(controller.signal.reason), { once: true });
  });
  try {
    return await Promise.race([run(controller.signal), aborted]);
  } catch (error) {
    if (!isOver) throw error;
    throw new ControlError('control/timeout', `Timed out waiting for ${what}`, { isRetryable: true, cause: error });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', cancel);
  }
}
