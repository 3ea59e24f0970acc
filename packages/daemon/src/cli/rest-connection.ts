/**
 * One TCP connection to a REST daemon of this machine, for one question, or for two that must reach the same program.
 * A connection that ends between them is not made anew: whoever listens then may be somebody else.
 */

import { Agent, type IncomingMessage, request as requestHttp } from 'node:http';
import type { Socket } from 'node:net';
import { readSocketOwner, type TcpOwner } from '@heddle/host/socket-owner';
import { TailnetError } from '@heddle/tailnet/tailnet-error';

/** What is asked, apart from who asks. */
export interface RestQuestion {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** With the query; every part encoded. */
  readonly path: string;
  readonly body: object | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  /** In lower case, without parameters. */
  readonly mediaType: string;
  readonly body: Buffer;
}

/** Nobody listens, and nothing was sent. */
export interface NoConnection {
  readonly kind: 'no-connection';
  readonly reason: string;
}

export type RestOutcome = NoConnection | { readonly kind: 'answer'; readonly answer: HttpAnswer };

export interface RestAddress {
  /** An address of the loopback interface. */
  readonly address: '127.0.0.1' | '::1';
  readonly port: number;
  /** Ends whatever is under way. */
  readonly signal: AbortSignal;
}

const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
/** Every user may read it. */
const GREETING: RestQuestion = { method: 'GET', path: '/healthz', body: undefined };

export class RestConnection {
  /** `127.0.0.1:3030`, `[::1]:3030`. */
  readonly host: string;
  readonly #at: RestAddress;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #socket: Socket | undefined;
  #isConnected = false;

  constructor(at: RestAddress) {
    const { address, port } = at;
    this.host = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    this.#at = at;
  }

  /**
   * Finds out whose program answers on this connection, without saying who asks. The server's end belongs to nobody before
   * it is accepted, so a question that anybody may ask comes first. The owner is undefined where the kernel does not tell.
   * @throws {TailnetError} `rest/bad-answer`.
   */
  async greet(): Promise<NoConnection | { readonly kind: 'owner'; readonly owner: TcpOwner | undefined }> {
    let asking: Promise<TcpOwner | undefined> | undefined;
    const outcome = await this.#send(GREETING, undefined, (socket) => {
      asking = readSocketOwner(socket);
    });
    return outcome.kind === 'no-connection' ? outcome : { kind: 'owner', owner: await asking };
  }

  /** @throws {TailnetError} `rest/bad-answer` for what is no answer of HTTP. */
  ask(question: RestQuestion, token: string | undefined): Promise<RestOutcome> {
    return this.#send(question, token, () => {});
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(question: RestQuestion, token: string | undefined, onAnswer: (socket: Socket) => void): Promise<RestOutcome> {
    const { address: host, port, signal } = this.#at;
    const { method, path, body } = question;
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = headersOf(text, token, question === GREETING);
    return new Promise((resolve, reject) => {
      const outgoing = requestHttp({ host, port, method, path, agent: this.#agent, signal, headers });
      // Not a byte is sent before the end.
      outgoing.on('socket', (socket) => {
        if (this.#take(socket)) outgoing.end(text);
        else outgoing.destroy(Object.assign(new Error('The connection is closed'), { code: 'ECONNRESET' }));
      });
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        const reason = error.code ?? error.name;
        if (this.#isConnected || signal.aborted) reject(this.#lost(reason));
        else resolve({ kind: 'no-connection', reason });
      });
      outgoing.on('upgrade', (_incoming, socket) => {
        socket.destroy();
        reject(this.#lost('upgrade'));
      });
      outgoing.on('response', (incoming) => {
        onAnswer(incoming.socket);
        this.#readBody(incoming).then(
          (bytes) => resolve({ kind: 'answer', answer: toAnswer(incoming, bytes) }),
          (error: NodeJS.ErrnoException) => {
            outgoing.destroy();
            reject(error instanceof TailnetError ? error : this.#lost(error.code ?? error.name));
          },
        );
      });
    });
  }

  /** False for another connection than the first. */
  #take(socket: Socket): boolean {
    if (this.#socket === undefined) {
      this.#socket = socket;
      socket.once('connect', () => {
        this.#isConnected = true;
      });
    }
    return this.#socket === socket;
  }

  async #readBody(incoming: IncomingMessage): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let byteCount = 0;
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      byteCount += chunk.length;
      if (byteCount > ANSWER_BYTES_MAX)
        throw new TailnetError(
          'rest/bad-answer',
          `The answer of ${this.host} is longer than ${ANSWER_BYTES_MAX} bytes`,
        );
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  #lost(reason: string): TailnetError {
    const message = reason.startsWith('HPE_')
      ? `What listens at ${this.host} does not speak HTTP (${reason})`
      : `The answer of ${this.host} broke off (${reason})`;
    return new TailnetError('rest/bad-answer', message);
  }
}

function headersOf(text: string | undefined, token: string | undefined, isKept: boolean): Record<string, string> {
  return {
    accept: 'application/json, application/problem+json',
    'accept-encoding': 'identity',
    connection: isKept ? 'keep-alive' : 'close',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(text === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
  };
}

function toAnswer({ statusCode, headers }: IncomingMessage, body: Buffer): HttpAnswer {
  const mediaType = (headers['content-type'] ?? '').split(';', 1)[0] ?? '';
  return { status: statusCode ?? 0, mediaType: mediaType.trim().toLowerCase(), body };
}
