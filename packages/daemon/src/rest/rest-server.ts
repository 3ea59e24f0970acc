/**
 * A REST API for the programs of this machine: HTTP/1.1 on 127.0.0.1 and ::1, on no other address. Who may ask what is
 * checked by request-origin.ts and caller-check.ts, and everything a client can make us hold is bounded here, in
 * connections.ts and in request-handler.ts.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { CallerCheck, type CallerCheckOptions } from './caller-check.ts';
import { withCommonRoutes } from './common-routes.ts';
import { Connections } from './connections.ts';
import { RestMetrics } from './metrics.ts';
import { problemOf } from './problem.ts';
import { failBody } from './request-body.ts';
import { RequestHandler, type RestLog } from './request-handler.ts';
import { OwnNames } from './request-origin.ts';
import type { RestApi } from './route.ts';
import { RouteTable } from './route-table.ts';
import { sendBareProblem } from './send-answer.ts';

export interface RestServerOptions extends CallerCheckOptions {
  /** 0: any that is free on both addresses. */
  readonly port: number;
  readonly api: RestApi;
  /** Of heddle. */
  readonly version: string;
  readonly log: RestLog;
  /** Monotonic milliseconds, for the metrics and the log. */
  readonly nowMs: () => number;
  /** After this a request is answered 503; undefined: 10 s. */
  readonly answerTimeoutMs: number | undefined;
}

/** A listening REST server. */
export interface RestServer {
  readonly port: number;
  /** True unless the kernel has no ::1. */
  readonly hasIpv6: boolean;
  /** Stops accepting, lets the requests that run end, at most a second, and ends every connection. */
  close(): Promise<void>;
}

const REQUEST_COUNT_MAX_PER_CONNECTION = 10_000;
const HEADER_BYTES_MAX = 8_192;
/** A request that is not there after this, looked at every {@link RECEIVE_CHECK_MS}: 10 s at most. */
const RECEIVE_TIMEOUT_MS = 7_500;
const RECEIVE_CHECK_MS = 2_500;
const KEEP_ALIVE_TIMEOUT_MS = 5_000;
/** Nothing sent or received: longer than anything takes to be answered. */
const SILENCE_TIMEOUT_MS = 30_000;
const ANSWER_TIMEOUT_MS = 10_000;
const CLOSE_GRACE_MS = 1_000;
const PORT_TRIES_MAX = 16;

/** @throws {TailnetError} `rest/port-in-use`, `rest/listen-failed`. */
export async function startRestServer(options: RestServerOptions): Promise<RestServer> {
  const listeners = await listenOnBoth(options);
  const port = portOf(listeners[0] as Server);
  const handler = createHandler(options, port);
  const connections = new Connections(options);
  for (const server of listeners) serve(server, handler, connections);
  return { port, hasIpv6: listeners.length > 1, close: () => closeAll(listeners, handler) };
}

function createHandler(options: RestServerOptions, port: number): RequestHandler {
  const metrics = new RestMetrics();
  const startedAtMs = options.nowMs();
  const uptimeMs = () => options.nowMs() - startedAtMs;
  const routes = withCommonRoutes(options.api, { version: options.version, metrics, uptimeMs });
  return new RequestHandler({
    table: new RouteTable(routes),
    names: new OwnNames(port),
    callers: new CallerCheck(options),
    metrics,
    log: options.log,
    answerTimeoutMs: options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS,
    nowMs: options.nowMs,
  });
}

async function listenOnBoth({ port, log }: RestServerOptions): Promise<readonly Server[]> {
  for (let tries = 1; ; tries++) {
    const first = await listen(port, '127.0.0.1');
    try {
      return [first, await listen(portOf(first), '::1')];
    } catch (error) {
      if (isWithoutIpv6(error)) {
        log('warn', 'There is no ::1, only 127.0.0.1 is listened on', { port: portOf(first) });
        return [first];
      }
      first.close();
      const isWorthwhile = port === 0 && tries < PORT_TRIES_MAX;
      if (!isWorthwhile) throw error;
    }
  }
}

function listen(port: number, host: string): Promise<Server> {
  const server = createServer({
    headersTimeout: RECEIVE_TIMEOUT_MS,
    requestTimeout: RECEIVE_TIMEOUT_MS,
    connectionsCheckingInterval: RECEIVE_CHECK_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
    requireHostHeader: false, // It is missed in request-origin.ts, with a problem for an answer.
    noDelay: true,
  });
  server.maxRequestsPerSocket = REQUEST_COUNT_MAX_PER_CONNECTION;
  server.timeout = SILENCE_TIMEOUT_MS;
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(listenError(cause, host, port)));
    server.listen({ port, host }, () => {
      server.removeAllListeners('error');
      server.on('error', () => {}); // EMFILE at accept: the client sees a refused connection, the server lives on.
      resolve(server);
    });
  });
}

function listenError(cause: NodeJS.ErrnoException, host: string, port: number): TailnetError {
  const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  if (cause.code === 'EADDRINUSE') {
    return new TailnetError('rest/port-in-use', `Another program listens on ${where}`, { cause });
  }
  return new TailnetError('rest/listen-failed', `Cannot listen on ${where} (${cause.code ?? cause.message})`, {
    cause,
  });
}

function isWithoutIpv6(error: unknown): boolean {
  const cause = error instanceof TailnetError ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
  return cause?.code === 'EADDRNOTAVAIL' || cause?.code === 'EAFNOSUPPORT';
}

function serve(server: Server, handler: RequestHandler, connections: Connections): void {
  const take = (request: IncomingMessage, response: ServerResponse, isAwaited: boolean): void =>
    connections.enter({ request, response, begin: () => void handler.handle(request, response, isAwaited) });
  // Clients that end their side after the request (`nc -N`) still get the answer. Node has no option for it.
  (server as { httpAllowHalfOpen?: boolean }).httpAllowHalfOpen = true;
  // Node's own, which takes any stream.
  const [serveStream] = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (inner) => {
    const socket = connections.admit(inner);
    if (socket !== undefined) serveStream?.call(server, socket);
  });
  server.on('request', (request, response) => take(request, response, false));
  server.on('checkContinue', (request, response) => take(request, response, true));
  server.on('checkExpectation', (request, response) => take(request, response, false));
  server.on('connect', (_request, socket) => refuseProxying(socket as Socket));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuseBytes(error, socket as Socket));
}

function refuseProxying(socket: Socket): void {
  socket.on('error', () => {});
  sendBareProblem(socket, problemOf('rest/bad-request', 'This server is no proxy'));
}

// Where a response is being made, another one would be taken for it.
function refuseBytes(error: NodeJS.ErrnoException, socket: Socket): void {
  const reason = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'The request did not come in time' : reasonOf(error);
  const response = (socket as { _httpMessage?: ServerResponse | null })._httpMessage ?? undefined;
  if (response !== undefined && !response.req.complete && error.code !== 'ECONNRESET') {
    response.shouldKeepAlive = false;
    failBody(response.req, reason);
    return;
  }
  if (error.code === 'ECONNRESET' || !socket.writable || response !== undefined) socket.destroy();
  else sendBareProblem(socket, problemOf('rest/bad-request', reason));
}

function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'HPE_HEADER_OVERFLOW') return `The header has more than ${HEADER_BYTES_MAX} bytes`;
  return 'The request is not HTTP/1.1';
}

async function closeAll(servers: readonly Server[], handler: RequestHandler): Promise<void> {
  handler.close();
  const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
  for (const server of servers) server.closeIdleConnections();
  const force = setTimeout(() => {
    for (const server of servers) server.closeAllConnections();
  }, CLOSE_GRACE_MS);
  await Promise.all(closed);
  clearTimeout(force);
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
