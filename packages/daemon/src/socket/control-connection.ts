/**
 * One client of the control socket: its lines are answered in order, one at a time.
 *
 *   open ──line──▶ answering ──reply──▶ open        (up to 32 lines wait; then the socket is not read)
 *   open ──subscribe──▶ streaming                   (events from then on; requests are still answered)
 *   client half-closed and nothing left to answer ──▶ closed
 *
 * Error contract: a bad line costs one error reply, never the connection. A client that does not read what it is sent,
 * or never ends an overlong line, is dropped.
 */

import type { Socket } from 'node:net';
import type { FailureReply } from '../schema/reply.ts';
import { type CommonFields, REQUEST_BYTES_MAX, type RequestResult } from '../schema/request.ts';
import { type Line, LineSplitter } from './line-splitter.ts';

/** Fields of a reply before `id` is added. */
export type ReplyFields = Readonly<Record<string, unknown>>;

/** What every request of every protocol has. */
export type AnyRequest = CommonFields & { readonly action: string };

/** What a connection needs from its server. */
export interface ConnectionHost<R extends AnyRequest> {
  /** Checks one parsed line. */
  readonly parse: (json: unknown) => RequestResult<R>;
  /** Milliseconds to wait, 0 to pass. */
  admit(): number;
  /** Answers a request. A rejection becomes a failure reply by {@link describeFailure}. */
  answer(request: R): Promise<ReplyFields>;
  /** Starts the event stream; returns how to end it. Called after the reply to `subscribe` was written. */
  subscribe(request: R, send: (event: ReplyFields) => void): () => void;
  describeFailure(error: unknown): FailureReply;
}

const WAITING_LINE_COUNT_MAX = 32;
const SKIPPED_BYTES_MAX = 1_048_576;
const UNSENT_BYTES_MAX = 1_048_576;
const IDLE_TIMEOUT_MS = 60_000;
const HEARTBEAT_MS = 15_000;
export const REQUEST_TIMEOUT_MS = 10_000;

export class ControlConnection<R extends AnyRequest> {
  readonly #socket: Socket;
  readonly #host: ConnectionHost<R>;
  readonly #splitter = new LineSplitter(REQUEST_BYTES_MAX);
  readonly #waiting: Line[] = [];
  #isAnswering = false;
  #hasEnded = false;
  #unsubscribe: (() => void) | undefined;
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(socket: Socket, host: ConnectionHost<R>) {
    this.#socket = socket;
    this.#host = host;
    socket.on('data', (chunk) => this.#handleChunk(chunk));
    socket.on('end', () => this.#handleEnd());
    socket.on('error', () => {}); // EPIPE and ECONNRESET are a client's right; 'close' follows.
    socket.on('close', () => this.#stopStream());
    socket.setTimeout(IDLE_TIMEOUT_MS, () => {
      if (this.#unsubscribe === undefined && !this.#isAnswering) socket.destroy();
    });
  }

  /** Ends the connection after what is already answered has been sent; `graceMs` later by force. */
  close(graceMs: number): void {
    this.#stopStream();
    this.#waiting.length = 0;
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), graceMs).unref();
  }

  #handleChunk(chunk: Uint8Array): void {
    this.#waiting.push(...this.#splitter.push(chunk));
    if (this.#splitter.skippedBytes > SKIPPED_BYTES_MAX) this.#socket.destroy();
    if (this.#waiting.length > WAITING_LINE_COUNT_MAX) this.#socket.pause();
    void this.#answerAll();
  }

  // A last line without a newline is answered too: `printf '"status"' | socat` is an honest mistake.
  #handleEnd(): void {
    this.#hasEnded = true;
    if (this.#unsubscribe !== undefined) this.#write('\n'); // Fails when the client has closed its other side as well.
    this.#waiting.push(...this.#splitter.end());
    void this.#answerAll();
  }

  async #answerAll(): Promise<void> {
    if (this.#isAnswering) return;
    this.#isAnswering = true;
    for (let line = this.#waiting.shift(); line !== undefined; line = this.#waiting.shift()) {
      await this.#answerLine(line);
      if (this.#waiting.length <= WAITING_LINE_COUNT_MAX) this.#socket.resume();
    }
    this.#isAnswering = false;
    if (this.#hasEnded && this.#unsubscribe === undefined) this.#socket.end();
  }

  async #answerLine(line: Line): Promise<void> {
    const waitMs = this.#host.admit();
    if (waitMs > 0) return this.#sendFailure(RATE_LIMITED, { retry_after_ms: waitMs });
    if (line.kind !== 'line') return this.#sendFailure(line.kind === 'too-long' ? TOO_LARGE : BAD_TEXT);
    let json: unknown;
    try {
      json = JSON.parse(line.text);
    } catch {
      return this.#sendFailure(BAD_JSON);
    }
    const parsed = this.#host.parse(json);
    if (parsed.kind === 'bad') return this.#sendFailure({ ok: false, code: parsed.code, message: parsed.message });
    await this.#answerRequest(parsed.request);
  }

  async #answerRequest(request: R): Promise<void> {
    const id = request.id === undefined ? {} : { id: request.id };
    try {
      const fields = await withDeadline(this.#host.answer(request));
      this.#send({ ...fields, ...id });
      if (request.action === 'subscribe') this.#startStream(request);
    } catch (error) {
      this.#send({ ...this.#host.describeFailure(error), ...id });
    }
  }

  #startStream(request: R): void {
    this.#stopStream();
    if (this.#socket.destroyed) return;
    this.#unsubscribe = this.#host.subscribe(request, (event) => this.#send(event));
    this.#heartbeat = setInterval(() => this.#write('\n'), HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

  #stopStream(): void {
    clearInterval(this.#heartbeat);
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  #sendFailure(failure: FailureReply, more: ReplyFields = {}): void {
    this.#send({ ...failure, ...more });
  }

  #send(fields: ReplyFields | FailureReply): void {
    this.#write(`${JSON.stringify(fields)}\n`);
  }

  #write(text: string): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    if (this.#socket.writableLength > UNSENT_BYTES_MAX) this.#socket.destroy();
    else this.#socket.write(text);
  }
}

const TOO_LARGE: FailureReply = {
  ok: false,
  code: 'ipc/too-large',
  message: `Request is longer than ${REQUEST_BYTES_MAX} bytes`,
};
const BAD_TEXT: FailureReply = { ok: false, code: 'ipc/bad-request', message: 'Request is not UTF-8' };
const BAD_JSON: FailureReply = { ok: false, code: 'ipc/bad-request', message: 'Request is not JSON' };
const RATE_LIMITED: FailureReply = {
  ok: false,
  code: 'ipc/rate-limited',
  message: 'More than 30 requests in a minute',
};

/** Rejects with this when an answer takes too long; the operation itself goes on. */
export class AnswerTimeout extends Error {
  override readonly name = 'AnswerTimeout';
}

async function withDeadline<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new AnswerTimeout()), REQUEST_TIMEOUT_MS);
  });
  try {
    return await Promise.race([answer, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
