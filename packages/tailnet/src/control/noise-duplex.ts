import { Duplex } from 'node:stream';
import type { CryptoProvider } from '@heddle/proto/crypto/provider';
import { EarlyPayloadSplitter } from '@heddle/proto/noise/early-payload';
import type { NoiseSession } from '@heddle/proto/noise/handshake';
import { RecordReader, RecordWriter } from '@heddle/proto/noise/records';
import { ControlError } from './control-error.ts';

export interface NoiseDuplexOptions {
  /** The connection after the handshake; from now on it belongs to the duplex. */
  readonly socket: Duplex;
  readonly session: NoiseSession;
  readonly crypto: Pick<CryptoProvider, 'chachaSeal' | 'chachaOpen'>;
  /** Bytes that were read behind the handshake. */
  readonly head: Uint8Array;
  /** True at the client's end: a server may send an early payload, a client never does. */
  readonly isClient: boolean;
}

/** The byte stream inside a Noise connection, for HTTP/2 at either end. Any damage destroys it. */
export class NoiseDuplex extends Duplex {
  readonly #socket: Duplex;
  readonly #reader: RecordReader;
  readonly #writer: RecordWriter;
  readonly #splitter: EarlyPayloadSplitter | undefined;

  constructor(options: NoiseDuplexOptions) {
    super({ allowHalfOpen: false });
    const { socket, session, crypto } = options;
    this.#socket = socket;
    this.#reader = new RecordReader(session.receiveKey, crypto);
    this.#writer = new RecordWriter(session.sendKey, crypto);
    this.#splitter = options.isClient ? new EarlyPayloadSplitter() : undefined;
    if (options.head.length > 0) socket.unshift(options.head);
    socket.on('data', (chunk: Uint8Array) => this.#handleBytes(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#socket.write(this.#writer.seal(chunk), callback);
  }

  override _writev(chunks: { chunk: Uint8Array }[], callback: (error?: Error | null) => void): void {
    const plaintext = Buffer.concat(chunks.map(({ chunk }) => chunk));
    this.#socket.write(this.#writer.seal(plaintext), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#socket.end(callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }

  #handleBytes(chunk: Uint8Array): void {
    this.#reader.handleBytes(chunk);
    let wantsMore = true;
    for (let part = this.#reader.pollPlaintext(); part !== undefined; part = this.#reader.pollPlaintext()) {
      const bytes = this.#splitter?.handleBytes(part) ?? part;
      if (bytes.length > 0) wantsMore = this.push(bytes);
    }
    if (this.#reader.failure !== undefined || this.#splitter?.isFailed === true) {
      const reason = this.#reader.failure ?? 'early payload too long';
      const message = `The encrypted stream is damaged: ${reason}`;
      this.destroy(new ControlError('control/stream-damaged', message, { isRetryable: true }));
    } else if (!wantsMore) this.#socket.pause();
  }
}
