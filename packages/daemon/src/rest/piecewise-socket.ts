import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** No request of interest has more in its header; and of the shortest requests there are some thirty in it. */
const PIECE_BYTES = 512;
/** So much is buffered before the socket is no longer read; one read of it may bring 64 KiB. */
const BUFFERED_BYTES_MAX = 16_384;

type Done = (error?: Error | null | undefined) => void;

/**
 * A socket for Node's HTTP server that can be stopped between any two requests, nearly. The server parses all that one
 * read of a socket brings, which may be thousands of requests, and each takes a hundred times its bytes. This one hands
 * what it reads on in small pieces; when it is held the rest stays what it is, bytes.
 */
export class PiecewiseSocket extends Duplex {
  /** The socket of the system. */
  readonly inner: Socket;
  #isHeld = false;

  constructor(inner: Socket) {
    super({ readableHighWaterMark: BUFFERED_BYTES_MAX, decodeStrings: false });
    this.inner = inner;
    inner.on('data', (bytes: Uint8Array) => this.#take(bytes));
    inner.on('end', () => this.push(null));
    inner.on('drain', () => this.emit('drain'));
    inner.on('timeout', () => this.emit('timeout'));
    inner.on('error', (error) => this.destroy(error));
    inner.on('close', () => this.destroy());
  }

  /** As of a socket. */
  setTimeout(timeoutMs: number): this {
    this.inner.setTimeout(timeoutMs);
    return this;
  }

  /** As of a socket: ends it when everything is written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** Hands nothing on until {@link release}. Node resumes what is only paused after each request. */
  hold(): void {
    this.#isHeld = true;
    this.pause();
  }

  release(): void {
    this.#isHeld = false;
    this.resume();
  }

  override resume(): this {
    return this.#isHeld ? this : super.resume();
  }

  override _read(): void {
    if (this.inner.isPaused()) this.inner.resume();
  }

  override _write(chunk: string | Uint8Array, encoding: BufferEncoding, done: Done): void {
    this.inner.write(chunk, encoding, done);
  }

  // What is written needs no second buffer; only the last of all comes by way of `_write`.
  override write(chunk: string | Uint8Array, encoding?: BufferEncoding | Done, done?: Done): boolean {
    return typeof encoding === 'function' ? this.inner.write(chunk, encoding) : this.inner.write(chunk, encoding, done);
  }

  override cork(): void {
    this.inner.cork();
  }

  override uncork(): void {
    this.inner.uncork();
  }

  override _final(done: Done): void {
    this.inner.end(() => done());
  }

  override _destroy(error: Error | null, done: Done): void {
    this.inner.destroy();
    done(error);
  }

  #take(bytes: Uint8Array): void {
    let isRoom = true;
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      isRoom = this.push(bytes.length <= PIECE_BYTES ? bytes : bytes.subarray(at, at + PIECE_BYTES));
    }
    if (!isRoom) this.inner.pause();
  }
}
