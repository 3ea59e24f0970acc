import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** One request and the way to begin its answer. */
export interface Turn {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly begin: () => void;
}

/** What all connections have in common. */
export interface SharedLine {
  /** Requests of all connections that have not been begun. */
  waitingCount: number;
  /** Ever higher; tells who came first. */
  clock: number;
}

export interface ConnectionOptions {
  readonly socket: Socket;
  readonly shared: SharedLine;
  /** Called once when the client has sent so much that the connection is to be ended. */
  readonly overflow: () => void;
}

/** Nothing is read from a client that has so many requests waiting. Others may always have so many. */
const PAUSED_COUNT = 16;
/** What one read of the socket brings may be more, and cannot be left out: such a client is cut off. */
const WAITING_COUNT_MAX = 256;
/** As {@link WAITING_COUNT_MAX}, of all connections together. */
const SHARED_COUNT_MAX = 2_048;

/**
 * The requests of one connection, one at a time: the next is begun when the client has taken the answer of the one before
 * (the system has, for it). A client that sends and never reads costs one answer and a bounded number of requests.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #waiting: Turn[] = [];
  #turn: Turn | undefined;
  #isPaused = false;
  #changedAt: number;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#changedAt = options.shared.clock++;
    const { socket } = options;
    // Node reads on by itself after each request.
    socket.on('resume', () => {
      if (this.#isPaused) socket.pause();
    });
    socket.on('close', () => this.#clear());
  }

  get socket(): Socket {
    return this.#options.socket;
  }

  /** When it last began to do nothing or something, on the shared clock. */
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
    if (this.#turn === undefined) this.#begin(turn);
    else this.#wait(turn);
  }

  #begin(turn: Turn): void {
    const { shared } = this.#options;
    this.#turn = turn;
    this.#changedAt = shared.clock++;
    turn.response.once('close', () => this.#advance());
    turn.begin();
  }

  #wait(turn: Turn): void {
    const { socket, shared, overflow } = this.#options;
    if (socket.destroyed) return;
    const count = this.#waiting.push(turn);
    shared.waitingCount++;
    if (count > WAITING_COUNT_MAX || (count > PAUSED_COUNT && shared.waitingCount > SHARED_COUNT_MAX)) {
      this.#clear();
      overflow();
    } else if (count >= PAUSED_COUNT && !this.#isPaused) {
      this.#isPaused = true;
      socket.pause();
    }
  }

  #advance(): void {
    const { socket, shared } = this.#options;
    this.#turn = undefined;
    this.#changedAt = shared.clock++;
    if (socket.destroyed || socket.writableEnded) {
      this.#clear();
      return;
    }
    const next = this.#waiting.shift();
    if (next !== undefined) {
      shared.waitingCount--;
      this.#begin(next);
    }
    if (this.#isPaused && this.#waiting.length < PAUSED_COUNT) {
      this.#isPaused = false;
      socket.resume();
    }
  }

  #clear(): void {
    this.#options.shared.waitingCount -= this.#waiting.length;
    this.#waiting.length = 0;
  }
}
