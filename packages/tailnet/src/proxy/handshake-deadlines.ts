import type { Socket } from 'node:net';

/** Closes clients that connect and then do not say in time what they want. */
export class HandshakeDeadlines {
  readonly #timers = new Map<Socket, NodeJS.Timeout>();

  /** Starts or restarts the time of a socket. */
  arm(socket: Socket, timeoutMs: number): void {
    if (socket.destroyed) return;
    const isKnown = this.#timers.has(socket);
    clearTimeout(this.#timers.get(socket));
    this.#timers.set(
      socket,
      setTimeout(() => socket.destroy(), timeoutMs),
    );
    if (!isKnown) socket.once('close', () => this.clear(socket));
  }

  /** The handshake is complete. */
  clear(socket: Socket): void {
    clearTimeout(this.#timers.get(socket));
    this.#timers.delete(socket);
  }
}
