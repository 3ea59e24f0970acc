import { connect, type Socket } from 'node:net';
import type { LogLine, TailnetConnection, TailnetNode } from '../types.ts';
import { formatHostPort, type HostPort, type ServeSpec } from './listen-spec.ts';
import { abort, splice } from './splice.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** Connections of one served port at once; further ones are reset. */
const CONNECTION_COUNT_MAX = 4096;

/** A port of our tailnet address that leads to a local service. */
export interface Serve {
  readonly port: number;
  /** Stops accepting and resets every connection through it. */
  close(): Promise<void>;
}

/**
 * Offers a local service to the tailnet. A peer whose connection the service refuses is reset. Throws what
 * `node.listen` throws, when the port is taken.
 */
export function startServe(node: TailnetNode, spec: ServeSpec, log: (line: LogLine) => void = () => undefined): Serve {
  const connections = new Set<TailnetConnection>();
  const listener = node.listen(spec.port, (connection) => {
    connection.on('error', () => undefined);
    if (connections.size >= CONNECTION_COUNT_MAX) {
      abort(connection);
      return;
    }
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
    carry(connection, spec.target, log);
  });
  return {
    port: listener.port,
    close() {
      listener.close();
      for (const connection of connections) abort(connection);
      return Promise.resolve();
    },
  };
}

function carry(peer: TailnetConnection, target: HostPort, log: (line: LogLine) => void): void {
  const service = connect({ ...target, allowHalfOpen: true, noDelay: true });
  service.setTimeout(CONNECT_TIMEOUT_MS, () => service.destroy(new Error('no answer')));
  const fail = (error: Error): void => {
    log({ level: 'warn', message: `Cannot reach the served ${formatHostPort(target)}: ${error.message}` });
    abort(peer);
  };
  const abandon = (): void => {
    service.destroy();
  };
  service.once('error', fail);
  peer.once('close', abandon);
  service.once('connect', () => {
    service.setTimeout(0);
    service.off('error', fail);
    peer.off('close', abandon);
    join(peer, service);
  });
}

function join(peer: TailnetConnection, service: Socket): void {
  splice({ client: peer, target: service, onSent: ignore, onReceived: ignore, onEnd: ignore });
}

function ignore(): void {}
