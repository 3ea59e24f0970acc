import { connect, type Socket } from 'node:net';

/** A TCP client that sends raw bytes and waits for exact amounts: what a test needs to see segments and ends. */
export class RawClient {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #fate: 'open' | 'ended' | 'reset' = 'open';
  #wakes: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    socket.on('end', () => this.#end('ended'));
    socket.on('error', () => this.#end('reset'));
    socket.on('close', () => this.#end('ended'));
  }

  /** @param address `127.0.0.1:1234`, as servers report theirs. */
  static async connect(address: string): Promise<RawClient> {
    const at = address.lastIndexOf(':');
    const host = address.slice(0, at).replace(/[[\]]/g, '');
    const socket = connect({ host, port: Number(address.slice(at + 1)), allowHalfOpen: true, noDelay: true });
    const client = new RawClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      // A reset may overtake the news that the connection stood.
      socket.once('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? resolve() : reject(error)));
    });
    return client;
  }

  send(...parts: (string | readonly number[] | Uint8Array)[]): void {
    this.socket.write(
      Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part)))),
    );
  }

  /** One segment per byte, as far as the kernel lets them pass alone. */
  async sendByteWise(bytes: Uint8Array): Promise<void> {
    for (const byte of bytes) {
      this.send([byte]);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Waits for exactly that many bytes. */
  async read(length: number): Promise<Buffer> {
    while (this.#received.length < length) {
      if (this.#fate !== 'open') throw new Error(`${this.#fate} after ${this.#received.length} of ${length} bytes`);
      await this.#change();
    }
    const bytes = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return bytes;
  }

  /** Waits for a text and returns everything up to its end. */
  async readUntil(text: string): Promise<string> {
    while (!this.#received.includes(text)) {
      if (this.#fate !== 'open') throw new Error(`${this.#fate} after "${this.#received}"`);
      await this.#change();
    }
    return (await this.read(this.#received.indexOf(text) + text.length)).toString();
  }

  /** Waits for the end and returns the rest. */
  async readToEnd(): Promise<string> {
    await this.fate();
    return (await this.read(this.#received.length)).toString();
  }

  /** Waits until the other end has ended or reset the connection. */
  async fate(): Promise<'ended' | 'reset'> {
    while (this.#fate === 'open') await this.#change();
    return this.#fate;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wakes.push(resolve));
  }

  #end(fate: 'ended' | 'reset'): void {
    if (this.#fate === 'open') this.#fate = fate;
    this.#wake();
  }

  #wake(): void {
    const wakes = this.#wakes;
    this.#wakes = [];
    for (const wake of wakes) wake();
  }
}
