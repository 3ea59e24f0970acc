import type { IncomingMessage, ServerResponse } from 'node:http';
import type { PiecewiseSocket } from './piecewise-socket.ts';

/** One request and the way to begin its answer. */
export interface Turn {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly begin: () => void;
}

/** Nothing is read from a client that has so many requests waiting. */
const WAITING_COUNT_MAX = 8;

/**
 * The requests of one connection, one at a time: the next is begun when the client has taken the answer of the one before
 * (the system has, for it). A client that sends and never reads costs one answer, a few requests and what one read of its
 * socket brings.
 */
export class Connection {
  readonly socket: PiecewiseSocket;
  readonly #tick: () => number;
  readonly #waiting: Turn[] = [];
  #turn: Turn | undefined;
  #changedAt: number;

  /** @param tick A clock of which the unit does not matter. */
  constructor(socket: PiecewiseSocket, tick: () => number) {
    this.socket = socket;
    this.#tick = tick;
    this.#changedAt = tick();
    socket.on('close', () => {
      this.#waiting.length = 0;
    });
  }

  /** When a request was last begun or answered here. */
  get changedAt(): number {
    return this.#changedAt;
  }

  /** No request has come, or only a part of its header. */
  get isIdle(): boolean {
    return this.#turn === undefined;
  }

  /** The client has not sent all of its request, or does not take the answer: nothing is being done for it. */
  get isStalled(): boolean {
    if (this.#turn === undefined) return false;
    const { request, response } = this.#turn;
    return !request.complete || response.writableEnded;
  }

  /** Begins at once, or after everything that came before. */
  enter(turn: Turn): void {
    if (this.socket.destroyed) return;
    if (this.#turn === undefined) {
      this.#begin(turn);
      return;
    }
    this.#waiting.push(turn);
    if (this.#waiting.length >= WAITING_COUNT_MAX) this.socket.hold();
  }

  #begin(turn: Turn): void {
    this.#turn = turn;
    this.#changedAt = this.#tick();
    turn.response.once('close', () => this.#advance());
    turn.begin();
  }

  #advance(): void {
    const { socket } = this;
    this.#turn = undefined;
    this.#changedAt = this.#tick();
    if (socket.destroyed || socket.writableEnded) return;
    const next = this.#waiting.shift();
    if (next !== undefined) {
      this.#turn = next;
      // Other connections come in between.
      setImmediate(() => this.#begin(next));
    }
    if (this.#waiting.length === WAITING_COUNT_MAX - 1) socket.release();
  }
}
