import type { Socket } from 'node:net';

/**
 * Takes a client's handshake messages from a socket whatever the segments, and gives the surplus back.
 *
 * What arrives before `release()` or `discard()` is held here: a message is complete within a few hundred bytes and read
 * before the next chunk comes, so at most those and one chunk of the socket.
 */
export class HandshakeReader {
  readonly #socket: Socket;
  #bytes: Uint8Array = new Uint8Array(0);
  #isOver = false;
  #wake: (() => void) | undefined;

  /** Begins to read. @param socket Paused, from its first byte on. */
  constructor(socket: Socket) {
    this.#socket = socket;
    this.#isOver = socket.destroyed || socket.readableEnded;
    socket.on('data', this.#handleData);
    socket.once('end', this.#handleEnd);
    socket.once('close', this.#handleEnd);
    socket.resume();
  }

  /** The first byte that is not yet read, which stays; `undefined` when the socket ends or closes before. */
  async peek(): Promise<number | undefined> {
    while (this.#bytes.length === 0) {
      if (this.#isOver) return undefined;
      await this.#more();
    }
    return this.#bytes[0];
  }

  /** Waits until `decode` no longer says `short`; `undefined` when the socket ends or closes before. */
  async read<T extends { readonly length: number }, F extends string>(
    decode: (bytes: Uint8Array) => T | F | 'short',
  ): Promise<T | Exclude<F, 'short'> | undefined> {
    for (;;) {
      const result = decode(this.#bytes);
      if (result !== 'short') {
        if (typeof result === 'object') this.#bytes = this.#bytes.subarray(result.length);
        return result as T | Exclude<F, 'short'>;
      }
      if (this.#isOver) return undefined;
      await this.#more();
    }
  }

  /** Stops reading, and puts the bytes behind the handshake back into the socket: they belong to the tunnel. */
  release(): void {
    this.#socket.pause();
    if (this.#bytes.length > 0) this.#socket.unshift(this.#bytes);
    this.discard();
  }

  /** Keeps nothing from here on: the client is refused, and what it still sends is dropped. */
  discard(): void {
    this.#socket.off('data', this.#handleData);
    this.#socket.off('end', this.#handleEnd);
    this.#socket.off('close', this.#handleEnd);
    this.#bytes = new Uint8Array(0);
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  readonly #handleData = (chunk: Uint8Array): void => {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    this.#wake?.();
  };

  readonly #handleEnd = (): void => {
    this.#isOver = true;
    this.#wake?.();
  };
}
