/**
 * The log of an engine: the newest lines in memory for `heddle logs`, all of them as JSON lines to a file or a terminal.
 * Secrets the engine was given are replaced wherever they turn up: a second fence behind callers that redact already.
 */

import type { LogLine } from '@heddle/tailnet/types';
import type { LogRecord } from '../schema/reply.ts';
import { LOG_LINE_COUNT_MAX } from '../schema/request.ts';

export interface EngineLogOptions {
  /** Receives every record; may fail, the engine runs on. */
  readonly write: (record: LogRecord) => void;
  readonly secrets: readonly (string | undefined)[];
  /** Keeps debug lines as well. */
  readonly isVerbose: boolean;
  readonly unixMs: () => number;
}

const MESSAGE_LENGTH_MAX = 2000;
/** Shorter strings would blank out ordinary words. */
const SECRET_LENGTH_MIN = 6;

export class EngineLog {
  readonly #options: EngineLogOptions;
  readonly #secrets: readonly string[];
  readonly #records: LogRecord[] = [];
  readonly #listeners = new Set<(record: LogRecord) => void>();

  constructor(options: EngineLogOptions) {
    this.#options = options;
    this.#secrets = options.secrets.filter(
      (secret) => secret !== undefined && secret.length >= SECRET_LENGTH_MIN,
    ) as string[];
  }

  /** Adds a line; the oldest in memory goes when there are more than {@link LOG_LINE_COUNT_MAX}. Never throws. */
  readonly add = (line: LogLine): void => {
    if (line.level === 'debug' && !this.#options.isVerbose) return;
    const record = this.#toRecord(line);
    this.#records.push(record);
    if (this.#records.length > LOG_LINE_COUNT_MAX) this.#records.shift();
    for (const listener of this.#listeners) listener(record);
    try {
      this.#options.write(record);
    } catch {
      // A log nobody can write must not stop the tunnel.
    }
  };

  /** The newest lines, oldest first. */
  recent(max: number): readonly LogRecord[] {
    return this.#records.slice(-max);
  }

  /** Calls the listener for every new line until the returned function is called. */
  onRecord(listener: (record: LogRecord) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #toRecord({ level, message, fields }: LogLine): LogRecord {
    const time = new Date(this.#options.unixMs()).toISOString();
    const text = this.redact(message).slice(0, MESSAGE_LENGTH_MAX);
    if (fields === undefined) return { time, level, message: text };
    const entries = Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'string' ? this.redact(value).slice(0, MESSAGE_LENGTH_MAX) : value,
    ]);
    return { time, level, message: text, fields: Object.fromEntries(entries) };
  }

  /** The text without the secrets the engine knows. */
  redact(text: string): string {
    let result = text;
    for (const secret of this.#secrets) result = result.replaceAll(secret, '[redacted]');
    return result;
  }
}
