import type { Socket } from 'node:net';

/** Closes clients that connect and then do not say in time what they want. */
export class HandshakeDeadlines {
  readonly #timers = new Map<Socket, NodeJS.Timeout>();
  /** Sockets whose end is listened for: each is armed once a request. */
  readonly #isWatched = new WeakSet<Socket>();

  /** Starts or restarts the time of a socket. */
  arm(socket: Socket, timeoutMs: number): void {
    if (socket.destroyed) return;
    clearTimeout(this.#timers.get(socket));
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    this.#timers.set(socket, timer);
    if (this.#isWatched.has(socket)) return;
    this.#isWatched.add(socket);
    socket.once('close', () => this.clear(socket));
  }

  /** The handshake is complete. */
  clear(socket: Socket): void {
    clearTimeout(this.#timers.get(socket));
    this.#timers.delete(socket);
  }
}
