import type { Socket } from 'node:net';

/**
 * Takes a client's handshake messages from a socket whatever the segments, and gives the surplus back.
 *
 * The socket is read on demand, so that only the bytes of one segment beyond the handshake are held.
 */
export class HandshakeReader {
  readonly #socket: Socket;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(socket: Socket) {
    this.#socket = socket;
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
      const chunk = await nextChunk(this.#socket);
      if (chunk === undefined) return undefined;
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    }
  }

  /** Puts bytes behind the handshake back into the socket: they belong to the tunnel. */
  release(): void {
    if (this.#bytes.length > 0) this.#socket.unshift(this.#bytes);
    this.#bytes = new Uint8Array(0);
  }
}

function nextChunk(socket: Socket): Promise<Uint8Array | undefined> {
  return new Promise((resolve) => {
    const finish = (chunk: Uint8Array | undefined): void => {
      socket.pause();
      socket.off('data', finish);
      socket.off('end', finishEmpty);
      socket.off('close', finishEmpty);
      resolve(chunk);
    };
    const finishEmpty = (): void => finish(undefined);
    if (socket.destroyed || socket.readableEnded) {
      resolve(undefined);
      return;
    }
    socket.on('data', finish);
    socket.on('end', finishEmpty);
    socket.on('close', finishEmpty);
    socket.resume();
  });
}
