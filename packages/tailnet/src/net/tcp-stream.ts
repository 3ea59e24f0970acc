import { Duplex } from 'node:stream';
import type { TcpCloseReason, TcpConnection } from '@heddle/proto/netstack/tcp/connection';
import { TailnetError } from '../tailnet-error.ts';
import type { TailnetConnection } from '../types.ts';

/** Moved from the receive ring to the reader at once. */
const READ_CHUNK_BYTES = 64 * 1024;
/** Bytes the stream itself buffers each way, besides the rings of the TCP connection. */
const HIGH_WATER_MARK_BYTES = 256 * 1024;
/** FIN-WAIT-2 of a connection whose stream is gone. */
const LINGER_MS = 60_000;

/** What a stream needs from the driver of its node. */
export interface StreamHost {
  now(): number;
  /** Asks for a drain in this turn of the event loop: something was written or read. */
  wake(): void;
}

/**
 * A TCP connection of the tailnet as a Node.js stream.
 *
 * A write completes when the bytes are in the send ring, not when they are acknowledged. A reader that stops closes the
 * TCP window. `end()` sends FIN, the peer's FIN ends the readable side, and each side may go on without the other.
 * `destroy(error)` resets, and so does `destroy()` before `end()` or with bytes unread: the peer must not take what it
 * has for the whole. After `end()`, `destroy()` lets the queued bytes and the FIN go out, as a kernel's close() does.
 */
export class TcpStream extends Duplex implements TailnetConnection {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly #connection: TcpConnection;
  readonly #host: StreamHost;
  #isReadWanted = false;
  #isRemoteEnded = false;
  #isEndPushed = false;
  #closeReason: TcpCloseReason | undefined;
  #lingerTimer: NodeJS.Timeout | undefined;
  #pendingWrite: { readonly data: Uint8Array; at: number; readonly done: (error?: Error | null) => void } | undefined;

  constructor(connection: TcpConnection, host: StreamHost) {
    super({
      allowHalfOpen: true,
      readableHighWaterMark: HIGH_WATER_MARK_BYTES,
      writableHighWaterMark: HIGH_WATER_MARK_BYTES,
    });
    this.#connection = connection;
    this.#host = host;
    this.remoteAddress = connection.remote.address.text;
    this.remotePort = connection.remote.port;
    this.localAddress = connection.local.address.text;
    this.localPort = connection.local.port;
    // Whoever writes through here has its own idea of a message: holding small ones back only adds delay.
    connection.setNoDelay(true);
  }

  /** Bytes arrived. After `destroy()` nobody reads them: the peer is told by a reset. */
  handleReadable(): void {
    if (!this.destroyed) {
      this.#pump();
      return;
    }
    this.#connection.abort(this.#host.now());
    this.#host.wake();
  }

  /** The send ring has room again. */
  handleWritable(): void {
    const pending = this.#pendingWrite;
    if (pending === undefined) return;
    pending.at += this.#connection.write(pending.data.subarray(pending.at), this.#host.now());
    this.#host.wake();
    if (pending.at < pending.data.length) return;
    this.#pendingWrite = undefined;
    pending.done();
  }

  /** The peer sent FIN: what is in the receive ring is the last. */
  handleRemoteEnd(): void {
    this.#isRemoteEnded = true;
    this.#pump();
  }

  handleClosed(reason: TcpCloseReason): void {
    this.#closeReason = reason;
    clearTimeout(this.#lingerTimer);
    if (this.destroyed) return;
    if (reason !== 'finished') {
      this.destroy(closeError(reason, this.remoteAddress, this.remotePort));
      return;
    }
    this.#isRemoteEnded = true;
    this.#pump();
  }

  setNoDelay(isOn = true): this {
    this.#connection.setNoDelay(isOn);
    return this;
  }

  override _read(): void {
    this.#isReadWanted = true;
    this.#pump();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#closeReason !== undefined) {
      done(closeError(this.#closeReason, this.remoteAddress, this.remotePort));
      return;
    }
    const written = this.#connection.write(chunk, this.#host.now());
    this.#host.wake();
    if (written === chunk.length) done();
    else this.#pendingWrite = { data: chunk, at: written, done };
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#connection.shutdown(this.#host.now());
    this.#host.wake();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const pending = this.#pendingWrite;
    this.#pendingWrite = undefined;
    if (this.#closeReason === undefined) {
      if (error === null && this.writableFinished && this.#connection.readableBytes === 0) this.#linger();
      else this.#connection.abort(this.#host.now());
      this.#host.wake();
    }
    done(error);
    // Whoever waits for this write waits for the end of the stream too.
    pending?.done(error ?? closeError('aborted', this.remoteAddress, this.remotePort));
  }

  /** Both FINs may still be under way, as after a kernel socket's close(): the peer has a while to answer ours. */
  #linger(): void {
    if (this.#isRemoteEnded) return;
    this.#lingerTimer = setTimeout(() => this.#connection.abort(this.#host.now()), LINGER_MS);
    this.#lingerTimer.unref();
  }

  #pump(): void {
    if (this.destroyed) return;
    let hasRead = false;
    while (this.#isReadWanted && this.#connection.readableBytes > 0) {
      const chunk = Buffer.allocUnsafeSlow(Math.min(READ_CHUNK_BYTES, this.#connection.readableBytes));
      this.#connection.read(chunk, this.#host.now());
      this.#isReadWanted = this.push(chunk);
      hasRead = true;
    }
    // Reading opened the window; the driver sends the update if it is worth one.
    if (hasRead) this.#host.wake();
    if (!this.#isRemoteEnded || this.#isEndPushed || this.#connection.readableBytes > 0) return;
    this.#isEndPushed = true;
    this.push(null);
  }
}

/** The error of a connection or of a dial that ended for `reason`. */
export function closeError(reason: TcpCloseReason, address: string, port: number): TailnetError {
  const target = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  switch (reason) {
    case 'refused':
      return new TailnetError('dial/refused', `${target} refused the connection`, { isRetryable: true });
    case 'timeout':
      return new TailnetError('dial/timeout', `${target} did not answer`, { isRetryable: true });
    case 'unreachable':
      return new TailnetError('dial/no-route', `${target} is unreachable`, { isRetryable: true });
    case 'reset':
      return new TailnetError('dial/reset', `${target} reset the connection`, { isRetryable: true });
    case 'address-removed':
      return new TailnetError('dial/closed', `our address of the connection to ${target} was removed`);
    case 'aborted':
    case 'finished':
      return new TailnetError('dial/closed', `the connection to ${target} is closed`);
  }
}
