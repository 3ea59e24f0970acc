import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Connection, type Turn } from './connection.ts';
import { FailureGate } from './failure-gate.ts';
import { PiecewiseSocket } from './piecewise-socket.ts';
import type { RestLog } from './request-handler.ts';

export interface ConnectionsOptions {
  readonly log: RestLog;
  /** Monotonic. */
  readonly nowMs: () => number;
}

const CONNECTION_COUNT_MAX = 256;

/**
 * Every connection of a server, at most 256. Where there is no room for one more, that one is ended which has done nothing
 * for the longest time; if none is idle, the one that has longest not sent the rest of its request or not taken its answer.
 * For whom something is being done is never ended: when that is so of all, the new one is.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #failures = new FailureGate();
  readonly #all = new Map<Duplex, Connection>();
  #clock = 0;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Takes a new connection in, and returns what is to be served in its place; or ends it. */
  admit(inner: Socket): PiecewiseSocket | undefined {
    if (this.#all.size >= CONNECTION_COUNT_MAX && !this.#makeRoom()) {
      this.#end(inner, 'Too many connections have a request in work');
      return undefined;
    }
    const socket = new PiecewiseSocket(inner);
    this.#all.set(socket, new Connection(socket, () => this.#clock++));
    socket.on('close', () => this.#all.delete(socket));
    return socket;
  }

  /** Begins a request when it is its turn on its connection. */
  enter(turn: Turn): void {
    this.#all.get(turn.request.socket)?.enter(turn);
  }

  #makeRoom(): boolean {
    const all = [...this.#all.values()];
    const leaving = oldest(all.filter(({ isIdle }) => isIdle)) ?? oldest(all.filter(({ isStalled }) => isStalled));
    if (leaving === undefined) return false;
    this.#all.delete(leaving.socket);
    this.#end(leaving.socket, 'Too many connections: this one did nothing for the longest time');
    return true;
  }

  #end(socket: Duplex, reason: string): void {
    socket.destroy();
    const leftOut = this.#failures.admit(reason, this.#options.nowMs());
    if (leftOut !== undefined) this.#options.log('warn', 'A connection was ended', { reason, leftOut });
  }
}

function oldest(connections: readonly Connection[]): Connection | undefined {
  return connections.reduce<Connection | undefined>(
    (first, one) => (first === undefined || one.changedAt < first.changedAt ? one : first),
    undefined,
  );
}
