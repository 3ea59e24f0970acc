/**
 * The control socket of an engine: who may connect, who may change things, and how much anybody may ask.
 *
 * The identity of a client is what the kernel says (SO_PEERCRED, getpeereid); without one it is refused. Root and the
 * engine's own user may do everything, others only read.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type PeerCredentials, readPeerCredentials } from '@heddle/host/peer-credentials';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { FailureReply } from '../schema/reply.ts';
import type { ControlAction, ControlRequest } from '../schema/request.ts';
import { claimSocket, type SocketClaim } from './claim-socket.ts';
import { AnswerTimeout, ControlConnection, type ReplyFields } from './control-connection.ts';
import { RateLimiter } from './rate-limiter.ts';
import { reasonOf } from './socket-path.ts';

export interface ControlServerOptions {
  readonly socketPath: string;
  /** Fields of the reply beside `ok` and `pid`. A TailnetError becomes a failure with its code. */
  readonly answer: (request: ControlRequest) => Promise<ReplyFields & { readonly message: string }>;
  /** Sends the current state and then every change, until the returned function is called. */
  readonly subscribe: (request: ControlRequest, send: (event: ReplyFields) => void) => () => void;
  /** For tests; by default the kernel is asked. */
  readonly identify?: ((socket: Socket) => PeerCredentials | undefined) | undefined;
  /** Monotonic milliseconds, for the rate limit. */
  readonly nowMs?: (() => number) | undefined;
}

/** A listening control socket; its file is there until `close()`. */
export interface ControlServer {
  readonly path: string;
  /** Stops accepting, sends what is answered, removes the file and frees the path. */
  close(): Promise<void>;
}

const CONNECTION_COUNT_MAX = 64;
const CONNECTION_COUNT_MAX_PER_USER = 32;
const REQUEST_COUNT_MAX_PER_MINUTE = 30;
const CLOSE_GRACE_MS = 500;

/** Needs no right beyond being a local user. */
const READ_ACTIONS: ReadonlySet<ControlAction> = new Set<ControlAction>([
  'status',
  'peers',
  'routes',
  'version',
  'recent_connections',
  'logs',
  'subscribe',
]);

/** @throws {TailnetError} those of `claimSocket`. */
export async function startControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const claim = await claimSocket(options.socketPath);
  const clients = new ClientTable(options);
  // Half-open: clients that end their side after the request still get the answer.
  const server = createServer({ allowHalfOpen: true }, (socket) => clients.accept(socket));
  server.maxConnections = CONNECTION_COUNT_MAX;
  try {
    await listen(server, claim.path);
  } catch (error) {
    claim.release();
    throw new TailnetError('ipc/socket-failed', `Cannot listen at "${claim.path}" (${reasonOf(error)})`);
  }
  return { path: claim.path, close: () => close(server, clients, claim) };
}

// The file is made inside listen(), with the mode the mask leaves: no moment at which it is open to others.
function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const mask = process.platform === 'win32' ? undefined : process.umask(0o177);
    server.listen(path, () => {
      server.off('error', reject);
      server.on('error', () => {}); // EMFILE at accept: the client sees a refused connection, the engine lives on.
      resolve();
    });
    if (mask !== undefined) process.umask(mask);
  });
}

async function close(server: Server, clients: ClientTable, claim: SocketClaim): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  clients.close();
  await closed;
  claim.release();
}

class ClientTable {
  readonly #options: ControlServerOptions;
  readonly #identify: (socket: Socket) => PeerCredentials | undefined;
  readonly #nowMs: () => number;
  readonly #limiter = new RateLimiter(REQUEST_COUNT_MAX_PER_MINUTE, 60_000);
  readonly #connections = new Map<ControlConnection, number>();

  constructor(options: ControlServerOptions) {
    this.#options = options;
    this.#identify = options.identify ?? readPeerCredentials;
    this.#nowMs = options.nowMs ?? (() => performance.now());
  }

  accept(socket: Socket): void {
    const peer = this.#identify(socket);
    if (peer === undefined) {
      refuse(socket, NO_IDENTITY);
      return;
    }
    const count = [...this.#connections.values()].filter((uid) => uid === peer.uid).length;
    if (count >= CONNECTION_COUNT_MAX_PER_USER) {
      refuse(socket, TOO_MANY);
      return;
    }
    const connection = new ControlConnection(socket, {
      admit: () => this.#limiter.admit(peer.uid, this.#nowMs()),
      answer: (request) => this.#answer(request, peer.uid),
      subscribe: this.#options.subscribe,
      describeFailure,
    });
    this.#connections.set(connection, peer.uid);
    socket.on('close', () => this.#connections.delete(connection));
  }

  close(): void {
    for (const connection of this.#connections.keys()) connection.close(CLOSE_GRACE_MS);
  }

  async #answer(request: ControlRequest, uid: number): Promise<ReplyFields> {
    if (!READ_ACTIONS.has(request.action) && !mayChange(uid)) {
      throw new TailnetError('ipc/forbidden', `"${request.action}" is for root and user ${process.geteuid?.()} only`);
    }
    return { ok: true, pid: process.pid, ...(await this.#options.answer(request)) };
  }
}

function mayChange(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.();
}

function refuse(socket: Socket, failure: FailureReply): void {
  socket.on('error', () => {});
  socket.end(`${JSON.stringify(failure)}\n`);
  socket.resume();
  setTimeout(() => socket.destroy(), CLOSE_GRACE_MS).unref();
}

function describeFailure(error: unknown): FailureReply {
  if (error instanceof TailnetError) return { ok: false, code: error.code, message: error.message };
  if (error instanceof AnswerTimeout) return { ok: false, code: 'ipc/timeout', message: 'No result within 10 s' };
  return { ok: false, code: 'ipc/internal', message: `Request failed (${reasonOf(error)})` };
}

const NO_IDENTITY: FailureReply = {
  ok: false,
  code: 'ipc/no-identity',
  message: 'The system does not tell who you are',
};
const TOO_MANY: FailureReply = {
  ok: false,
  code: 'ipc/too-many-connections',
  message: `More than ${CONNECTION_COUNT_MAX_PER_USER} connections of one user`,
};
