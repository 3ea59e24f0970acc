import { Agent, type ClientRequestArgs } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TailnetNode } from '../types.ts';

/** Connections of one client that wait for its next request. */
const IDLE_COUNT_MAX = 4;
/** Connections of one client at once: a client that pipelines may have several requests under way. */
const CONNECTION_COUNT_MAX = 16;

/** Dials HTTP connections through the tailnet and keeps them for the next request to the same host. */
export class TailnetAgent extends Agent {
  readonly #node: TailnetNode;
  readonly #dialTimeoutMs: number;

  constructor(node: TailnetNode, dialTimeoutMs: number) {
    super({ keepAlive: true, maxFreeSockets: IDLE_COUNT_MAX, maxSockets: CONNECTION_COUNT_MAX });
    this.#node = node;
    this.#dialTimeoutMs = dialTimeoutMs;
  }

  /** Called for each new connection. */
  override createConnection(
    options: ClientRequestArgs,
    onCreate: (error: unknown, connection?: Duplex) => void,
  ): undefined {
    this.#node.dial(options.host as string, options.port as number, { timeoutMs: this.#dialTimeoutMs }).then(
      // The inherited reuseSocket, which removes the listeners of idle time, calls this method of net.Socket.
      (connection) => onCreate(null, Object.assign(connection, { ref: () => undefined })),
      (error: unknown) => onCreate(error),
    );
    return undefined;
  }

  /** Keeps every connection: the inherited method calls more of net.Socket, for times and keep-alive that we do not set. */
  override keepSocketAlive(): boolean {
    return true;
  }
}
