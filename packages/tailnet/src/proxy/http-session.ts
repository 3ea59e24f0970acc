import { type IncomingMessage, Server, type ServerResponse, STATUS_CODES, request as sendRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { OpenConnection } from './connection-log.ts';
import { isBasicAccepted } from './credentials.ts';
import { describeDialFailure } from './dial-failure.ts';
import {
  type AbsoluteTarget,
  forwardableHeaders,
  forwardableRequestHeaders,
  parseAbsoluteTarget,
} from './http-message.ts';
import { formatHostPort, parseHostPort } from './listen-spec.ts';
import { DIAL_TIMEOUT_MS, type ProxyContext, refuse } from './proxy-context.ts';
import { spliceRecorded } from './socks-session.ts';
import { pump } from './splice.ts';
import { TailnetAgent } from './tailnet-agent.ts';

/** A client's connection may idle that long between requests. */
const KEEP_ALIVE_MS = 60_000;
/** From the end of a response to the end of the next request's head. */
const NEXT_REQUEST_MS = KEEP_ALIVE_MS + 15_000;
const CHALLENGE = 'Basic realm="heddle"';

/**
 * The HTTP side of a proxy: CONNECT, and plain requests in absolute form. Node's parser reads the heads; it never
 * listens itself, connections are handed to it.
 */
export class HttpSessions {
  readonly #context: ProxyContext;
  readonly #server: Server;
  /** One agent per client connection: an upstream connection that logged in (NTLM) must not serve another client. */
  readonly #agents = new WeakMap<Socket, TailnetAgent>();

  constructor(context: ProxyContext) {
    this.#context = context;
    this.#server = new Server({ keepAliveTimeout: KEEP_ALIVE_MS });
    // A client that has sent its whole request may end its half and still gets the response.
    Object.assign(this.#server, { httpAllowHalfOpen: true });
    this.#server.on('request', (request, response) => this.#handleRequest(request, response));
    this.#server.on('connect', (request, socket, head) => void this.#handleConnect(request, socket as Socket, head));
  }

  /** Takes a paused connection whose first bytes were put back. */
  serve(socket: Socket): void {
    this.#server.emit('connection', socket);
    socket.resume();
  }

  async #handleConnect(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const { node, connections, deadlines } = this.#context;
    deadlines.clear(socket);
    socket.setTimeout(0);
    socket.pause();
    const target = parseHostPort(request.url ?? '');
    if (!this.#isAuthorized(request)) {
      refuse(socket, formatResponse(407, 'the proxy wants its user and token'));
      return;
    }
    if (target === undefined) {
      refuse(socket, formatResponse(400, 'CONNECT wants host:port'));
      return;
    }
    const record = connections.open('http-connect', formatHostPort(target));
    try {
      const connection = await node.dial(target.host, target.port, { timeoutMs: DIAL_TIMEOUT_MS });
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      if (head.length > 0) {
        // What came with the head goes first.
        connection.write(head);
        record.sentBytes += head.length;
      }
      spliceRecorded(socket, connection, record);
    } catch (error) {
      refuse(socket, formatResponse(...this.#describeFailure(error, record)));
    }
  }

  #handleRequest(request: IncomingMessage, response: ServerResponse): void {
    const { connections, deadlines } = this.#context;
    deadlines.clear(request.socket);
    response.sendDate = false;
    response.once('finish', () => deadlines.arm(request.socket, NEXT_REQUEST_MS));
    if (!this.#isAuthorized(request)) {
      respond(response, 407, 'the proxy wants its user and token');
      return;
    }
    const target = parseAbsoluteTarget(request.url ?? '');
    if (target === undefined) {
      respond(response, 400, 'this is a proxy: it wants requests for http://host/path, or CONNECT');
      return;
    }
    const record = connections.open('http', formatHostPort(target));
    response.once('close', () => record.finish(response.writableFinished ? 'closed' : 'reset'));
    this.#forward({ request, response, target, record }, true);
  }

  #forward(exchange: Exchange, isFirst: boolean): void {
    const { request, response, target, record } = exchange;
    const headers = forwardableRequestHeaders(request.rawHeaders, request.headers.connection, target.authority);
    if (request.headers['transfer-encoding'] !== undefined) headers.push('Transfer-Encoding', 'chunked');
    const upstream = sendRequest({
      agent: this.#agentOf(request.socket),
      method: request.method,
      host: target.host,
      port: target.port,
      path: target.path,
      headers,
      setHost: false,
    });
    const hasBody = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length']) > 0;
    const abandon = (): void => {
      upstream.destroy();
    };
    response.once('close', abandon);
    upstream.once('response', (answer) => passOn(answer, response, record));
    upstream.on('error', (error) => {
      response.off('close', abandon);
      if (response.headersSent || response.destroyed) {
        response.destroy();
      } else if (isFirst && upstream.reusedSocket && !hasBody && isRepeatable(request.method)) {
        // The host closed the kept connection while the request was on its way (RFC 9110 §9.2.2).
        this.#forward(exchange, false);
      } else {
        respond(response, ...this.#describeFailure(error, record));
      }
    });
    if (!hasBody) upstream.end();
    else {
      pump(request, upstream, (bytes) => {
        record.sentBytes += bytes;
      });
    }
  }

  #describeFailure(error: unknown, record: OpenConnection): [status: number, message: string] {
    const failure = describeDialFailure(error);
    record.finish(failure.code);
    const fields = { target: record.target, code: failure.code };
    this.#context.log({ level: 'debug', message: `Cannot reach ${record.target}: ${failure.message}`, fields });
    return [failure.httpStatus, `${record.target}: ${failure.message}`];
  }

  #isAuthorized(request: IncomingMessage): boolean {
    const { credentials } = this.#context;
    return credentials === undefined || isBasicAccepted(credentials, request.headers['proxy-authorization']);
  }

  #agentOf(socket: Socket): TailnetAgent {
    let agent = this.#agents.get(socket);
    if (agent === undefined) {
      const created = new TailnetAgent(this.#context.node, DIAL_TIMEOUT_MS);
      socket.once('close', () => created.destroy());
      this.#agents.set(socket, created);
      agent = created;
    }
    return agent;
  }
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly target: AbsoluteTarget;
  readonly record: OpenConnection;
}

/** Passes the target's answer to the client. Trailers are dropped. */
function passOn(answer: IncomingMessage, response: ServerResponse, record: OpenConnection): void {
  const headers = forwardableHeaders(answer.rawHeaders, answer.headers.connection);
  response.writeHead(answer.statusCode as number, answer.statusMessage, headers);
  pump(answer, response, (bytes) => {
    record.receivedBytes += bytes;
  });
  // The body broke off: the client must not take what it has for the whole.
  answer.once('close', () => {
    if (!answer.complete) response.destroy();
  });
}

function isRepeatable(method: string | undefined): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS';
}

function respond(response: ServerResponse, status: number, message: string): void {
  const body = `${message}\n`;
  if (status === 407) response.setHeader('Proxy-Authenticate', CHALLENGE);
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(body);
}

/** A whole response for a connection that the parser has let go. */
function formatResponse(status: number, message: string): string {
  const challenge = status === 407 ? `Proxy-Authenticate: ${CHALLENGE}\r\n` : '';
  const body = `${message}\n`;
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${challenge}Content-Type: text/plain; charset=utf-8\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  );
}
