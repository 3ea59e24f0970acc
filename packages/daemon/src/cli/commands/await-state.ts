import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { ControlEvent, StateEvent } from '../../schema/event.ts';
import type { LogRecord } from '../../schema/reply.ts';

export interface AwaitStateOptions {
  /** Where the engine tells of itself: states, and warnings of its log. */
  readonly events: AsyncIterable<ControlEvent>;
  /** Ends the events, from this side. Called in any case. */
  readonly close: () => void;
  /** Undefined waits for ever. */
  readonly timeoutMs: number | undefined;
  /** True stops the clock while a person has to log in. */
  readonly isLoginUntimed: boolean;
  readonly interrupt: AbortSignal;
  /** Code of the failure when the time is over. */
  readonly timeoutCode: string;
  readonly onState: (event: StateEvent) => void;
}

/**
 * Follows an engine until it runs. The last warning of its log explains a time-out.
 * @throws {TailnetError} the failure of the node, the time-out code, `cli/interrupted`, those of the events.
 */
export async function awaitRunning(options: AwaitStateOptions): Promise<StateEvent> {
  const watch = new Watch(options);
  try {
    for await (const event of options.events) {
      if (event.event === 'log') watch.noteLine(event.line);
      else if (watch.noteState(event)) return event;
    }
  } catch (error) {
    throw watch.reason ?? error;
  } finally {
    watch.stop();
    options.close();
  }
  throw watch.reason ?? new TailnetError('ipc/closed', 'The engine ended while it was waited for');
}

/** What may end the wait before the state does. */
class Watch {
  readonly #options: AwaitStateOptions;
  readonly #handleInterrupt: () => void;
  #timer: NodeJS.Timeout | undefined;
  #lastState = 'starting';
  #lastWarning: LogRecord | undefined;
  /** Why the connection was closed from this side. */
  reason: TailnetError | undefined;

  constructor(options: AwaitStateOptions) {
    this.#options = options;
    this.#handleInterrupt = () => this.#end(new TailnetError('cli/interrupted', 'Interrupted'));
    if (options.interrupt.aborted) this.#handleInterrupt();
    options.interrupt.addEventListener('abort', this.#handleInterrupt, { once: true });
    if (options.timeoutMs !== undefined) {
      this.#timer = setTimeout(() => this.#end(this.#describeTimeout()), options.timeoutMs);
    }
  }

  // What was wrong with the keys and has been mended does not explain why the node does not run.
  noteLine(line: LogRecord): void {
    if (String(line.fields?.['code']).startsWith('state/')) return;
    if (line.level === 'warn' || line.level === 'error') this.#lastWarning = line;
  }

  /** True when the wait is over. @throws {TailnetError} when it never will be. */
  noteState(event: StateEvent): boolean {
    this.#lastState = event.state;
    this.#options.onState(event);
    if (event.state === 'needs_login' && this.#options.isLoginUntimed) clearTimeout(this.#timer);
    if (event.state === 'error') throw new TailnetError(event.code ?? 'engine/died', event.message ?? 'Failed');
    if (event.state === 'stopped' || event.state === 'shutting_down') {
      throw this.reason ?? new TailnetError('ipc/closed', 'The engine was stopped while it was waited for');
    }
    return event.state === 'running';
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#options.interrupt.removeEventListener('abort', this.#handleInterrupt);
  }

  #end(reason: TailnetError): void {
    this.reason ??= reason;
    this.#options.close();
  }

  // The code of the warning is more use to a script than "it took too long".
  #describeTimeout(): TailnetError {
    const seconds = (this.#options.timeoutMs ?? 0) / 1000;
    const cause = this.#lastWarning === undefined ? '' : `: ${this.#lastWarning.message}`;
    const code = this.#lastWarning?.fields?.['code'];
    const message = `Not running after ${seconds} s (${this.#lastState.replace('_', ' ')})${cause}`;
    return new TailnetError(typeof code === 'string' ? code : this.#options.timeoutCode, message, {
      isRetryable: true,
    });
  }
}
