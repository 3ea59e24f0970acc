import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { type ControlEvent, eventShape } from '../schema/event.ts';
import {
  type ReplyBodies,
  type ReplyHead,
  replyBodyShapes,
  replyHeadShape,
  type SuccessReply,
} from '../schema/reply.ts';
import type { ControlRequest } from '../schema/request.ts';
import { readJsonLines } from './json-lines.ts';
import { checkSocketPath, reasonOf } from './socket-path.ts';

const CONNECT_TIMEOUT_MS = 5000;
const REQUEST_TIMEOUT_MS = 10_000;
/** A status of some thousand peers. */
const REPLY_BYTES_MAX = 16_777_216;

/** What a successful request returns, by action. */
export type Answer<A extends ControlRequest['action']> = SuccessReply & {
  readonly pid: number;
} & (A extends keyof ReplyBodies ? ReplyBodies[A] : unknown);

/** A connection to an engine's control socket. One request at a time. */
export class ControlClient {
  readonly #socket: Socket;
  readonly #lines: AsyncGenerator<unknown, void, undefined>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = readJsonLines(socket, REPLY_BYTES_MAX);
  }

  /** @throws {TailnetError} `ipc/not-running`, `ipc/forbidden`, `ipc/timeout`, `ipc/path-too-long`. */
  static async connect(path: string): Promise<ControlClient> {
    checkSocketPath(path);
    const socket = connect(path);
    const signal = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
    try {
      await once(socket, 'connect', { signal });
    } catch (error) {
      socket.destroy();
      throw toConnectError(error, path, signal.aborted);
    }
    socket.on('error', () => {}); // Surfaces in the reader.
    return new ControlClient(socket);
  }

  /**
   * Sends a request and waits for its answer, at most 10 s.
   * @throws {TailnetError} with the engine's code, `ipc/timeout`, or `ipc/closed` when the engine ended meanwhile.
   */
  async request<R extends ControlRequest>(request: R): Promise<Answer<R['action']>> {
    return checkBody(request.action, await this.ask(request)) as Answer<R['action']>;
  }

  /**
   * As {@link request} for any action of any server; only the head of the answer has been checked.
   * @throws {TailnetError} as {@link request}.
   */
  async ask(request: { readonly action: string }): Promise<SuccessReply> {
    this.#socket.write(`${JSON.stringify(request)}\n`);
    const reply = await this.#nextReply(request.action);
    if (!reply.ok) throw new TailnetError(reply.code, reply.message, { cause: reply, isRetryable: isLimit(reply) });
    return reply;
  }

  /** Turns the connection into the stream of these events; it ends when the engine does. */
  async *subscribe(events: readonly ('state' | 'log')[]): AsyncGenerator<ControlEvent, void, undefined> {
    await this.request({ action: 'subscribe', events });
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) return;
      const event = eventShape(value);
      if (event.kind === 'ok') yield event.value; // An event of a newer engine is not for us.
    }
  }

  /** Resolves when the engine has closed the connection. */
  async waitForClose(): Promise<void> {
    for (;;) if ((await this.#lines.next()).done === true) return;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #nextReply(action: string): Promise<ReplyHead> {
    const timer = setTimeout(() => this.#socket.destroy(new Error('timeout')), REQUEST_TIMEOUT_MS);
    try {
      const { value, done } = await this.#lines.next();
      if (done === true) throw new TailnetError('ipc/closed', `The engine ended before it answered "${action}"`);
      return parseHead(value);
    } catch (error) {
      if (error instanceof TailnetError) throw error;
      throw new TailnetError('ipc/timeout', `The engine did not answer "${action}" within 10 s`, { isRetryable: true });
    } finally {
      clearTimeout(timer);
    }
  }
}

function parseHead(value: unknown): ReplyHead {
  const head = replyHeadShape(value);
  if (head.kind === 'ok') return { ...(value as ReplyHead), ...head.value };
  throw new TailnetError('ipc/bad-reply', 'The engine answered with something unknown');
}

function checkBody(action: ControlRequest['action'], reply: SuccessReply): SuccessReply {
  if (!Object.hasOwn(replyBodyShapes, action)) return reply;
  const body = replyBodyShapes[action as keyof ReplyBodies](reply);
  if (body.kind === 'ok') return { ...reply, ...body.value };
  throw new TailnetError(
    'ipc/bad-reply',
    `The engine's answer to "${action}" is not understood; is it another version?`,
  );
}

function isLimit(reply: ReplyHead): boolean {
  return !reply.ok && (reply.code === 'ipc/rate-limited' || reply.code === 'ipc/too-many-connections');
}

function toConnectError(error: unknown, path: string, isTimeout: boolean): TailnetError {
  const reason = reasonOf(error);
  if (isTimeout) return new TailnetError('ipc/timeout', `No connection to "${path}" within 5 s`, { isRetryable: true });
  if (reason === 'ENOENT') return new TailnetError('ipc/not-running', `No engine is running at "${path}"`);
  if (reason === 'ECONNREFUSED') {
    return new TailnetError('ipc/not-running', `The engine of "${path}" ended without cleaning up`);
  }
  if (reason === 'EACCES') return new TailnetError('ipc/forbidden', `You may not use "${path}"`);
  return new TailnetError('ipc/socket-failed', `Cannot connect to "${path}" (${reason})`, { cause: error });
}
