import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

const BLOCK_BYTES = 1024 * 1024;

/** Services on both loopback addresses and one port: a userspace tailscaled forwards to 127.0.0.1 or ::1. */
export interface Services {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * A TCP service for transfers. The first line of the client decides:
 * `echo` sends everything back until FIN, `sink N` answers the SHA-256 of the next N bytes (tailscaled's SOCKS5 server
 * knows no half-close), `source N` sends N bytes and then closes; their SHA-256 comes first, as a line.
 */
export async function startTransferServer(): Promise<Services> {
  return listenOnBoth((socket) => {
    socket.on('error', () => socket.destroy());
    serveTransfer(socket).catch(() => socket.destroy());
  });
}

/** The service behind {@link startTransferServer} for any stream: our own listeners serve it too. */
export async function serveTransfer(socket: Duplex): Promise<void> {
  const reader = new StreamReader(socket);
  const [verb, argument] = (await reader.line()).split(' ');
  if (verb === 'echo') {
    await reader.each((chunk) => write(socket, chunk));
    socket.end();
  } else if (verb === 'sink') {
    const hash = createHash('sha256');
    await reader.some(Number(argument), (chunk) => hash.update(chunk));
    socket.end(`${hash.digest('hex')}\n`);
  } else if (verb === 'source') {
    await sendSource(socket, Number(argument));
  } else {
    socket.destroy(new Error(`unknown verb ${verb}`));
  }
}

/** Sends `sizeBytes` to a `sink` behind the stream; resolves to true when it saw the same bytes. */
export async function upload(stream: Duplex, sizeBytes: number): Promise<boolean> {
  const reader = new StreamReader(stream);
  const hash = createHash('sha256');
  await write(stream, Buffer.from(`sink ${sizeBytes}\n`));
  const block = randomBytes(BLOCK_BYTES);
  for (let sent = 0; sent < sizeBytes; sent += block.length) {
    const part = block.subarray(0, Math.min(block.length, sizeBytes - sent));
    part.writeUInt32LE(sent % 0xffffffff, 0);
    hash.update(part);
    await write(stream, Buffer.from(part));
  }
  const isSame = (await reader.line()) === hash.digest('hex');
  stream.end();
  return isSame;
}

/** Reads `sizeBytes` from a `source` behind the stream; resolves to true when length and hash agree. */
export async function download(stream: Duplex, sizeBytes: number): Promise<boolean> {
  const reader = new StreamReader(stream);
  await write(stream, Buffer.from(`source ${sizeBytes}\n`));
  const expected = await reader.line();
  const hash = createHash('sha256');
  let length = 0;
  await reader.each((chunk) => {
    hash.update(chunk);
    length += chunk.length;
  });
  stream.end();
  return length === sizeBytes && hash.digest('hex') === expected;
}

/** Sends a text to an `echo` behind the stream and returns what comes back. */
export async function echo(stream: Duplex, text: string): Promise<string> {
  const reader = new StreamReader(stream);
  await write(stream, Buffer.from(`echo\n${text}`));
  stream.end();
  let answer = '';
  await reader.each((chunk) => {
    answer += chunk.toString();
  });
  return answer;
}

/** An HTTP server that answers every request with `body`. */
export async function startHttpServer(body: string | Buffer): Promise<Services> {
  const server = createHttpServer((_request, response) => response.end(body));
  return listenOnBoth((socket) => server.emit('connection', socket));
}

/** Echoes every datagram to its sender. */
export async function startUdpEcho(): Promise<Services> {
  const v4 = createSocket('udp4');
  await new Promise<void>((resolve) => v4.bind(0, '127.0.0.1', resolve));
  const { port } = v4.address();
  const v6 = createSocket({ type: 'udp6', ipv6Only: true });
  await new Promise<void>((resolve) => v6.bind(port, '::1', resolve));
  for (const socket of [v4, v6]) socket.on('message', (data, from) => socket.send(data, from.port, from.address));
  return {
    port,
    close: async () => {
      v4.close();
      v6.close();
    },
  };
}

/** Opens a connection through a SOCKS5 proxy without authentication. */
export async function connectBySocks(proxyPort: number, host: string, port: number): Promise<Socket> {
  const socket = createConnection({ host: '127.0.0.1', port: proxyPort, allowHalfOpen: true, noDelay: true });
  const reader = new StreamReader(socket);
  const name = Buffer.from(host);
  await write(socket, Buffer.from([5, 1, 0]));
  const method = await reader.bytes(2);
  if (method[1] !== 0) throw new Error(`SOCKS5 method ${method[1]}`);
  const tail = Buffer.from([port >> 8, port & 0xff]);
  await write(socket, Buffer.concat([Buffer.from([5, 1, 0, 3, name.length]), name, tail]));
  const reply = await reader.bytes(4);
  if (reply[1] !== 0) throw new Error(`SOCKS5 reply ${reply[1]}`);
  await reader.bytes(reply[3] === 4 ? 18 : 6);
  reader.release();
  return socket;
}

async function sendSource(socket: Duplex, sizeBytes: number): Promise<void> {
  const block = randomBytes(BLOCK_BYTES);
  const parts = function* (): Generator<Buffer> {
    for (let sent = 0; sent < sizeBytes; sent += block.length) {
      block.writeUInt32LE(sent % 0xffffffff, 0);
      yield Buffer.from(block.subarray(0, Math.min(block.length, sizeBytes - sent)));
    }
  };
  const hash = createHash('sha256');
  for (const part of parts()) hash.update(part);
  await write(socket, Buffer.from(`${hash.digest('hex')}\n`));
  for (const part of parts()) await write(socket, part);
  socket.end();
}

function write(stream: Duplex, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    if (stream.destroyed) reject(stream.errored ?? new Error('stream destroyed'));
    else stream.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}

/** Reads lines, counted bytes or everything from a stream. */
class StreamReader {
  readonly #stream: Duplex;
  readonly #iterator: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: Duplex) {
    this.#stream = stream;
    this.#iterator = stream.iterator({ destroyOnReturn: false });
  }

  async line(): Promise<string> {
    for (;;) {
      const at = this.#rest.indexOf(10);
      if (at >= 0) {
        const line = this.#rest.subarray(0, at).toString();
        this.#rest = this.#rest.subarray(at + 1);
        return line;
      }
      await this.#more();
    }
  }

  async bytes(count: number): Promise<Buffer> {
    while (this.#rest.length < count) await this.#more();
    const bytes = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    return bytes;
  }

  /** Hands out the next `count` bytes as they come. */
  async some(count: number, handle: (chunk: Buffer) => void): Promise<void> {
    for (let left = count; left > 0; ) {
      if (this.#rest.length === 0) await this.#more();
      const chunk = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(chunk.length);
      left -= chunk.length;
      handle(chunk);
    }
  }

  async each(handle: (chunk: Buffer) => void | Promise<void>): Promise<void> {
    if (this.#rest.length > 0) await handle(this.#rest);
    this.#rest = Buffer.alloc(0);
    for (;;) {
      const { value, done } = await this.#iterator.next();
      if (done) return;
      await handle(value);
    }
  }

  /** Gives the stream to another reader; nothing may be left over. */
  release(): void {
    void this.#iterator.return?.();
    if (this.#rest.length > 0) this.#stream.unshift(this.#rest);
  }

  async #more(): Promise<void> {
    const { value, done } = await this.#iterator.next();
    if (done) throw new Error('stream ended early');
    this.#rest = this.#rest.length === 0 ? (value as Buffer) : Buffer.concat([this.#rest, value as Buffer]);
  }
}

async function listenOnBoth(onConnection: (socket: Socket) => void): Promise<Services> {
  const sockets = new Set<Socket>();
  const create = (): Server =>
    createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      onConnection(socket);
    });
  const v4 = create();
  await new Promise<void>((resolve) => v4.listen(0, '127.0.0.1', resolve));
  const { port } = v4.address() as AddressInfo;
  const v6 = create();
  await new Promise<void>((resolve) => v6.listen(port, '::1', resolve));
  return {
    port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await Promise.all([v4, v6].map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}
