import type { Socket } from 'node:net';
import type { LogLine, TailnetNode } from '../types.ts';
import type { ConnectionLog } from './connection-log.ts';
import type { Credentials } from './credentials.ts';
import type { HandshakeDeadlines } from './handshake-deadlines.ts';

/** How long a dial through the tailnet may take before the client is told so. */
export const DIAL_TIMEOUT_MS = 30_000;
/** How long a refused client may take to read why. */
const REFUSAL_LINGER_MS = 5000;

/** What every protocol of one proxy shares. */
export interface ProxyContext {
  readonly node: TailnetNode;
  readonly credentials: Credentials | undefined;
  readonly connections: ConnectionLog;
  readonly deadlines: HandshakeDeadlines;
  readonly log: (line: LogLine) => void;
}

/** Sends the last bytes and ends. Reads on without keeping anything: unread bytes would turn the end into a reset. */
export function refuse(socket: Socket, bytes: Uint8Array | string): void {
  socket.end(bytes);
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), REFUSAL_LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.once('end', () => socket.destroySoon());
}
