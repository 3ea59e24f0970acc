/**
 * What an engine tells the process that started it, as JSON lines on an inherited descriptor: first a
 * {@link StartReport}, then events like those of `subscribe`, until the engine runs or nobody listens any more.
 * Starting needs no connection to the control socket that way, and thus no FFI for the identity of a client.
 *
 *   silent ──start(ok)──▶ reporting ──running, start(failure), end()──▶ closed
 *
 * Error contract: never throws. A reader that is gone closes it; one that does not read loses lines above the bound.
 */

import { Socket } from 'node:net';
import type { StartReport } from '../schema/engine-config.ts';
import type { ControlEvent } from '../schema/event.ts';

const UNREAD_BYTES_MAX = 65_536;
const END_TIMEOUT_MS = 500;

export class StartReporter {
  readonly #pipe: Socket | undefined;
  #hasStarted = false;

  /** @param pipe To the process that waits; undefined when none does. */
  constructor(pipe: Socket | undefined) {
    this.#pipe = pipe;
    pipe?.on('error', () => pipe.destroy());
    pipe?.unref();
  }

  /** False when nobody hears of what happens from now on. */
  get isHeard(): boolean {
    return this.#pipe?.writable === true;
  }

  /** The outcome of the start; only the first one counts. */
  start(report: StartReport): void {
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    this.#write(report);
    if (!report.ok) void this.end();
  }

  /** An event after a start that succeeded; others are dropped. `running` is the last one. */
  tell(event: ControlEvent): void {
    if (!this.#hasStarted) return;
    this.#write(event);
    if (event.event === 'state' && event.state === 'running') void this.end();
  }

  /** Resolves when everything was handed over, at most half a second later. */
  async end(): Promise<void> {
    const pipe = this.#pipe;
    if (pipe === undefined || pipe.destroyed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, END_TIMEOUT_MS);
      pipe.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      pipe.end(() => pipe.destroy());
    });
    pipe.destroy();
  }

  #write(line: StartReport | ControlEvent): void {
    const pipe = this.#pipe;
    if (pipe === undefined || !pipe.writable || pipe.writableLength > UNREAD_BYTES_MAX) return;
    pipe.write(`${JSON.stringify(line)}\n`);
  }
}

/** The pipe at an inherited descriptor; undefined when it is none: somebody runs the hidden command by hand. */
export function openReportPipe(fd: number): Socket | undefined {
  try {
    return new Socket({ fd, readable: false, writable: true });
  } catch {
    return undefined;
  }
}
