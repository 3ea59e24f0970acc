import type { Socket } from 'node:net';
import type { LogLine, TailnetNode } from '../types.ts';
import { ConnectionLog, type ConnectionRecord } from './connection-log.ts';
import { createCredentials } from './credentials.ts';
import { HandshakeDeadlines } from './handshake-deadlines.ts';
import { HandshakeReader } from './handshake-reader.ts';
import { HttpSessions } from './http-session.ts';
import { startLoopbackServer } from './loopback-server.ts';
import type { ProxyContext } from './proxy-context.ts';
import { serveSocks } from './socks-session.ts';
import { SOCKS_VERSION } from './socks5.ts';

/** From the connection to the end of the first request's head. */
const HANDSHAKE_TIMEOUT_MS = 15_000;

export interface ProxyOptions {
  /** `127.0.0.1:16579`, `[::1]:16579`; port 0 takes any free one. */
  readonly listen: string;
  /** Demanded beside the token; without one any name will do. */
  readonly user?: string | undefined;
  /** Password of both protocols. Without one everyone who can connect is served, and only loopback may be listened on. */
  readonly token?: string | undefined;
  readonly log: (line: LogLine) => void;
}

/** A running proxy into one tailnet. */
export interface Proxy {
  /** Where it listens, with the port that was taken. */
  readonly address: string;
  /** The newest first, at most 256. */
  recentConnections(max: number): readonly ConnectionRecord[];
  /** Stops listening and resets every connection through it. */
  close(): Promise<void>;
}

/**
 * Starts a proxy that speaks SOCKS5 and HTTP on one port, told apart by the first byte. Every name and address is
 * dialled by the node, which refuses what is not in the tailnet: nothing leaves by the host's own network.
 * @throws {TailnetError} with code `proxy/bad-listen`, `proxy/not-loopback`, `proxy/address-in-use` or
 *   `proxy/listen-failed`.
 */
export async function startProxy(node: TailnetNode, options: ProxyOptions): Promise<Proxy> {
  const connections = new ConnectionLog();
  const context: ProxyContext = {
    node,
    credentials: createCredentials(options.user, options.token),
    connections,
    deadlines: new HandshakeDeadlines(),
    log: options.log,
  };
  const httpSessions = new HttpSessions(context);
  const server = await startLoopbackServer({
    listen: options.listen,
    isRemoteAllowed: options.token !== undefined,
    onConnection: (socket) => {
      context.deadlines.arm(socket, HANDSHAKE_TIMEOUT_MS);
      void serveClient(socket, context, httpSessions);
    },
  });
  return {
    address: server.address,
    recentConnections: (max) => connections.recent(max),
    close: () => server.close(),
  };
}

/** Tells the protocols apart; a client that ends without a byte is closed. */
async function serveClient(socket: Socket, context: ProxyContext, httpSessions: HttpSessions): Promise<void> {
  const reader = new HandshakeReader(socket);
  const firstByte = await reader.peek();
  if (firstByte === undefined) {
    socket.destroy();
  } else if (firstByte === SOCKS_VERSION) {
    await serveSocks(socket, reader, context);
  } else {
    reader.release();
    httpSessions.serve(socket);
  }
}
