/**
 * A control socket, of an engine or of the supervisor: who may connect, who may change things, and how much anybody may
 * ask.
 *
 * The identity of a client is what the kernel says (SO_PEERCRED, getpeereid); without one it is refused. Root, the
 * process's own user and the operators may do everything, others only read. A Windows pipe admits administrators only, who
 * count as root; nothing here may widen its access list.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type PeerCredentials, readPeerCredentials } from '@heddle/host/peer-credentials';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { FailureReply } from '../schema/reply.ts';
import type { RequestResult } from '../schema/request.ts';
import { alreadyRunning, claimSocket, type SocketClaim } from './claim-socket.ts';
import { AnswerTimeout, type AnyRequest, ControlConnection, type ReplyFields } from './control-connection.ts';
import { RateLimiter } from './rate-limiter.ts';
import { reasonOf } from './socket-path.ts';

export interface ControlServerOptions<R extends AnyRequest> {
  readonly socketPath: string;
  /** Checks one parsed line. */
  readonly parse: (json: unknown) => RequestResult<R>;
  /** True for a request that needs no right beyond being a local user. */
  readonly isRead: (request: R) => boolean;
  /** Fields of the reply beside `ok` and `pid`. A TailnetError becomes a failure with its code. */
  readonly answer: (request: R, client: PeerCredentials) => Promise<ReplyFields & { readonly message: string }>;
  /** Sends the current state and then every change, until the returned function is called. */
  readonly subscribe: (request: R, send: (event: ReplyFields) => void) => () => void;
  /** True lets every local user connect, to read. By default the file's mode keeps others out. */
  readonly isOpenToAll?: boolean | undefined;
  /** Users beside root and our own who may change things. */
  readonly operatorUids?: ReadonlySet<number> | undefined;
  /** Of one user; default 30. Infinity for measuring. */
  readonly requestCountMaxPerMinute?: number | undefined;
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

const CONNECTION_COUNT_MAX = 256;
const CONNECTION_COUNT_MAX_PER_USER = 128;
const REQUEST_COUNT_MAX_PER_MINUTE = 30;
const CLOSE_GRACE_MS = 500;

/** @throws {TailnetError} those of `claimSocket`. */
export async function startControlServer<R extends AnyRequest>(
  options: ControlServerOptions<R>,
): Promise<ControlServer> {
  const isOpen = options.isOpenToAll ?? false;
  const claim = await claimSocket(options.socketPath, isOpen);
  const clients = new ClientTable(options);
  // Half-open: clients that end their side after the request still get the answer.
  const server = createServer({ allowHalfOpen: true }, (socket) => clients.accept(socket));
  server.maxConnections = CONNECTION_COUNT_MAX;
  try {
    await listen(server, claim.path, isOpen);
  } catch (error) {
    claim.release();
    // Only a pipe can be taken between the claim and this: everything else is locked.
    if (reasonOf(error) === 'EADDRINUSE') throw alreadyRunning(claim.path, undefined);
    throw new TailnetError('ipc/socket-failed', `Cannot listen at "${claim.path}" (${reasonOf(error)})`);
  }
  return { path: claim.path, close: () => close(server, clients, claim) };
}

// The file is made inside listen(), with the mode the mask leaves: no moment at which it is open to others.
function listen(server: Server, path: string, isOpen: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const mask = process.platform === 'win32' ? undefined : process.umask(isOpen ? 0o111 : 0o177);
    server.listen(path, () => {
      server.off('error', reject);
      server.on('error', () => {}); // EMFILE at accept: the client sees a refused connection, the engine lives on.
      resolve();
    });
    if (mask !== undefined) process.umask(mask);
  });
}

async function close(server: Server, clients: { close(): void }, claim: SocketClaim): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  clients.close();
  await closed;
  claim.release();
}

class ClientTable<R extends AnyRequest> {
  readonly #options: ControlServerOptions<R>;
  readonly #identify: (socket: Socket) => PeerCredentials | undefined;
  readonly #nowMs: () => number;
  readonly #limiter: RateLimiter;
  readonly #connections = new Map<ControlConnection<R>, number>();

  constructor(options: ControlServerOptions<R>) {
    this.#options = options;
    this.#limiter = new RateLimiter(options.requestCountMaxPerMinute ?? REQUEST_COUNT_MAX_PER_MINUTE, 60_000);
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
    const connection = new ControlConnection<R>(socket, {
      parse: this.#options.parse,
      admit: () => this.#limiter.admit(peer.uid, this.#nowMs()),
      answer: (request) => this.#answer(request, peer),
      subscribe: this.#options.subscribe,
      describeFailure,
    });
    this.#connections.set(connection, peer.uid);
    socket.on('close', () => this.#connections.delete(connection));
  }

  close(): void {
    for (const connection of this.#connections.keys()) connection.close(CLOSE_GRACE_MS);
  }

  async #answer(request: R, peer: PeerCredentials): Promise<ReplyFields> {
    if (!this.#options.isRead(request) && !this.#mayChange(peer.uid)) {
      const own = process.geteuid?.();
      const users = own === 0 ? 'root and the operators' : `root, the operators and user ${own}`;
      throw new TailnetError('ipc/forbidden', `"${request.action}" is for ${users} only, you are user ${peer.uid}`);
    }
    return { ok: true, pid: process.pid, ...(await this.#options.answer(request, peer)) };
  }

  #mayChange(uid: number): boolean {
    return uid === 0 || uid === process.geteuid?.() || (this.#options.operatorUids?.has(uid) ?? false);
  }
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
