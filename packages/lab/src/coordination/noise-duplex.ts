import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { NoiseSession } from '@heddle/proto/noise/handshake';
import { RecordReader, RecordWriter } from '@heddle/proto/noise/records';
import type { NoiseCrypto } from '@heddle/proto/noise/symmetric-state';

/**
 * The plaintext side of a Noise connection as a stream: what is written is sealed and sent, what arrives is opened.
 * Pushes back in both directions. A record that does not open destroys both. Owns the socket.
 */
export class NoiseDuplex extends Duplex {
  readonly #socket: Socket;
  readonly #reader: RecordReader;
  readonly #writer: RecordWriter;

  constructor(socket: Socket, session: NoiseSession, crypto: NoiseCrypto) {
    super();
    this.#socket = socket;
    this.#reader = new RecordReader(session.receiveKey, crypto);
    this.#writer = new RecordWriter(session.sendKey, crypto);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#handleBytes(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#socket.write(this.#writer.seal(chunk))) done();
    else this.#socket.once('drain', () => done());
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #handleBytes(chunk: Buffer): void {
    this.#reader.handleBytes(chunk);
    let isTaken = true;
    for (let part = this.#reader.pollPlaintext(); part !== undefined; part = this.#reader.pollPlaintext()) {
      isTaken = this.push(part);
    }
    if (this.#reader.failure !== undefined) this.destroy(new Error(`bad Noise record: ${this.#reader.failure}`));
    else if (!isTaken) this.#socket.pause();
  }
}
