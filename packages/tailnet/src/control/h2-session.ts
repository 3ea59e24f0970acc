import http2 from 'node:http2';
import type { Duplex } from 'node:stream';
import { ControlError, toControlError } from './control-error.ts';
import { withDeadline } from './deadline.ts';
import type { ControlTimings } from './timings.ts';

/** Longest answer that is read whole; a longer one is an error. Map streams are read piece by piece instead. */
const ANSWER_BYTES_MAX = 1024 * 1024;
/** Flow-control window: what the server may send before we have taken it. Room for a big netmap. */
const WINDOW_BYTES = 4 * 1024 * 1024;

export interface ControlAnswer {
  readonly status: number;
  /** `Retry-After`, `undefined` when absent. */
  readonly retryAfterMs: number | undefined;
  readonly body: Buffer;
}

export interface ControlRequest {
  readonly method: 'POST' | 'HEAD';
  readonly path: string;
  readonly body: Uint8Array | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** HTTP/2 over one Noise connection. It pings the server and destroys itself when nothing comes back. */
export class ControlSession {
  /** Aborted when the connection is gone, with a {@link ControlError} as reason. */
  readonly signal: AbortSignal;
  readonly #host: string;
  readonly #http: http2.ClientHttp2Session;
  readonly #gone = new AbortController();
  readonly #timings: ControlTimings;
  readonly #pingTimer: NodeJS.Timeout;

  constructor(duplex: Duplex, host: string, timings: ControlTimings) {
    this.signal = this.#gone.signal;
    this.#host = host;
    this.#timings = timings;
    // The scheme is always https, whatever the URL: docs/spec/ts2021.md.
    this.#http = http2.connect(`https://${host}`, {
      createConnection: () => duplex,
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
    });
    this.#http.on('connect', () => this.#http.setLocalWindowSize(2 * WINDOW_BYTES));
    this.#http.on('error', (error) => this.#end(error));
    this.#http.on('goaway', () => this.#end(undefined));
    this.#http.on('close', () => this.#end(undefined));
    duplex.on('error', (error) => this.#end(error));
    this.#pingTimer = setInterval(() => this.#ping(), timings.pingIntervalMs);
  }

  /** @throws {ControlError} `control/timeout`, `control/connection-lost` and others. Any status is an answer. */
  async request(options: ControlRequest): Promise<ControlAnswer> {
    const { timeoutMs, signal, path } = options;
    return withDeadline({ timeoutMs, signal, what: `the answer of ${this.#host} to ${path}` }, async (innerSignal) => {
      const stream = this.#open(options, innerSignal);
      try {
        return await this.#whileConnected(readAnswer(stream));
      } finally {
        stream.close();
      }
    });
  }

  /**
   * Opens a request whose answer is read by the caller when its status is 200; any other answer is read here.
   * The stream is destroyed with the session or the signal.
   */
  async openStream(options: ControlRequest): Promise<http2.ClientHttp2Stream | ControlAnswer> {
    const stream = this.#open(options, options.signal);
    const { timeoutMs, signal, path } = options;
    const reading = readStart(stream);
    return withDeadline({ timeoutMs, signal, what: `the answer of ${this.#host} to ${path}` }, () =>
      this.#whileConnected(reading),
    );
  }

  /** Ends the connection and everything on it; harmless when repeated. */
  close(): void {
    this.#end(undefined);
  }

  #open(options: ControlRequest, signal: AbortSignal): http2.ClientHttp2Stream {
    const headers: http2.OutgoingHttpHeaders = { ':method': options.method, ':path': options.path };
    if (options.body !== undefined) headers['content-type'] = 'application/json';
    try {
      const stream = this.#http.request(headers, { signal, endStream: options.body === undefined });
      // Failures are seen by whoever awaits the stream; without a listener one that nobody awaits would end the process.
      stream.on('error', () => undefined);
      if (options.body !== undefined) stream.end(options.body);
      return stream;
    } catch (error) {
      throw this.#reason(error);
    }
  }

  async #whileConnected<T>(task: Promise<T>): Promise<T> {
    try {
      return await task;
    } catch (error) {
      throw this.#reason(error);
    }
  }

  #reason(error: unknown): ControlError {
    return this.signal.aborted ? (this.signal.reason as ControlError) : toControlError(error, this.#host);
  }

  #ping(): void {
    const timer = setTimeout(() => {
      this.#end(new ControlError('control/timeout', `${this.#host} does not answer any more`, { isRetryable: true }));
    }, this.#timings.pingTimeoutMs);
    try {
      this.#http.ping(() => clearTimeout(timer));
    } catch {
      clearTimeout(timer);
    }
  }

  #end(error: unknown): void {
    if (this.signal.aborted) return;
    clearInterval(this.#pingTimer);
    this.#gone.abort(toControlError(error, this.#host));
    this.#http.destroy();
  }
}

function toAnswer(headers: http2.IncomingHttpHeaders, body: Buffer): ControlAnswer {
  const retryAfter = Number(headers['retry-after']);
  const retryAfterMs = retryAfter >= 0 && retryAfter <= 3600 ? retryAfter * 1000 : undefined;
  return { status: Number(headers[':status']), retryAfterMs, body };
}

/** Reads a whole answer. Listens at once: a short answer can be over before a promise of its headers is looked at. */
function readAnswer(stream: http2.ClientHttp2Stream): Promise<ControlAnswer> {
  return new Promise((resolve, reject) => {
    stream.on('response', (headers) => collectBody(stream, (body) => resolve(toAnswer(headers, body))));
    rejectAtEnd(stream, reject);
  });
}

/** As {@link readAnswer}, but an answer with status 200 is returned as its paused stream. */
function readStart(stream: http2.ClientHttp2Stream): Promise<http2.ClientHttp2Stream | ControlAnswer> {
  return new Promise((resolve, reject) => {
    stream.on('response', (headers) => {
      if (Number(headers[':status']) === 200) resolve(stream.pause());
      else collectBody(stream, (body) => resolve(toAnswer(headers, body)));
    });
    rejectAtEnd(stream, reject);
  });
}

function collectBody(stream: http2.ClientHttp2Stream, onBody: (body: Buffer) => void): void {
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= ANSWER_BYTES_MAX) chunks.push(chunk);
    else stream.close();
  });
  stream.on('end', () => onBody(Buffer.concat(chunks)));
}

/** After an answer this has no effect. */
function rejectAtEnd(stream: http2.ClientHttp2Stream, reject: (error: Error) => void): void {
  stream.on('error', reject);
  stream.on('close', () => reject(new Error('the stream was closed without an answer')));
}
