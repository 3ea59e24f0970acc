import { createServer, type Server, type Socket } from 'node:net';
import type { Endpoint } from '@heddle/proto/ip/endpoint';
import { TailnetError } from '../tailnet-error.ts';
import { parseListen } from './listen-spec.ts';

/** Connections at once a listener holds; further ones are closed at once. */
const CONNECTION_COUNT_MAX = 4096;
const KEEP_ALIVE_MS = 60_000;

/** A listening local TCP port that knows its connections, so that closing it ends them. */
export interface LoopbackServer {
  /** `127.0.0.1:16579`, with the port that the system chose when 0 was asked for. */
  readonly address: string;
  /** Stops listening and resets every connection. */
  close(): Promise<void>;
}

export interface LoopbackServerOptions {
  readonly listen: string;
  /** True allows an address that other machines reach: only behind authentication. */
  readonly isRemoteAllowed: boolean;
  /** Gets each connection: half-open allowed, paused, with an error listener, without Nagle's delay. */
  readonly onConnection: (socket: Socket) => void;
}

/**
 * Listens on a local address.
 * @throws {TailnetError} with code `proxy/bad-listen`, `proxy/not-loopback`, `proxy/address-in-use` or
 *   `proxy/listen-failed`.
 */
export async function startLoopbackServer(options: LoopbackServerOptions): Promise<LoopbackServer> {
  const endpoint = parseListen(options.listen);
  if (!options.isRemoteAllowed && !isLoopback(endpoint)) {
    throw new TailnetError(
      'proxy/not-loopback',
      `Refusing to listen on ${endpoint.text} without a token: everyone who reaches it could enter the tailnet`,
    );
  }
  const sockets = new Set<Socket>();
  const server = createServer({
    allowHalfOpen: true,
    pauseOnConnect: true,
    noDelay: true,
    // A process of this machine cannot vanish without its connections; asking costs three system calls each.
    keepAlive: !isLoopback(endpoint),
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  });
  server.maxConnections = CONNECTION_COUNT_MAX;
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // Errors end in 'close'; without a listener they would end the process.
    socket.on('error', () => undefined);
    options.onConnection(socket);
  });
  await listen(server, endpoint);
  return {
    address: formatAddress(server),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.resetAndDestroy();
      }),
  };
}

function listen(server: Server, endpoint: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(toListenError(error, endpoint)));
    server.listen({ host: endpoint.address.text, port: endpoint.port }, () => {
      server.removeAllListeners('error');
      // Failed accepts (out of descriptors) must not end the process; the client sees its connection fail.
      server.on('error', () => undefined);
      resolve();
    });
  });
}

function toListenError(error: NodeJS.ErrnoException, endpoint: Endpoint): TailnetError {
  if (error.code === 'EADDRINUSE') {
    const hint = `stop the program that has it (see "ss -ltnp sport = :${endpoint.port}") or choose another port`;
    return new TailnetError('proxy/address-in-use', `Address ${endpoint.text} is in use: ${hint}`, { cause: error });
  }
  return new TailnetError('proxy/listen-failed', `Cannot listen on ${endpoint.text}: ${error.message}`, {
    cause: error,
  });
}

function isLoopback({ address }: Endpoint): boolean {
  return address.family === 4 ? address.bytes[0] === 127 : address.text === '::1';
}

function formatAddress(server: Server): string {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('a TCP server has an address');
  return bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
}
