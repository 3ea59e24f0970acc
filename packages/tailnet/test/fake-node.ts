import { createSocket } from 'node:dgram';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { TailnetError } from '../src/tailnet-error.ts';
import type { TailnetConnection, TailnetListener, TailnetNode, TailnetUdpSocket } from '../src/types.ts';

/**
 * A {@link TailnetNode} whose tailnet is the loopback interface: only the names given exist. Its connections are plain
 * Duplex streams, without the extras of a net.Socket, as the real ones are.
 */
export class FakeNode implements TailnetNode {
  readonly dialled: string[] = [];
  /** Makes every dial fail with this code. */
  failure: string | undefined;
  readonly #hosts: Readonly<Record<string, string>>;
  readonly #connections = new Set<FakeConnection>();

  constructor(hosts: Readonly<Record<string, string>>) {
    this.#hosts = hosts;
  }

  get openConnectionCount(): number {
    return this.#connections.size;
  }

  resolve(host: string): readonly string[] {
    const address = this.#hosts[host];
    return address === undefined ? [] : [address];
  }

  async dial(host: string, port: number): Promise<TailnetConnection> {
    this.dialled.push(`${host} ${port}`);
    if (this.failure !== undefined) throw new TailnetError(this.failure, `dialling ${host} failed on purpose`);
    const address = this.resolve(host)[0];
    if (address === undefined) throw new TailnetError('dial/unknown-host', `"${host}" is not in the tailnet`);
    const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', () => reject(new TailnetError('dial/refused', `${host}:${port} refused the connection`)));
    });
    return this.#track(socket);
  }

  listen(port: number, onConnection: (connection: TailnetConnection) => void): TailnetListener & { server: Server } {
    const server = createServer({ allowHalfOpen: true }, (socket) => onConnection(this.#track(socket)));
    server.listen(port, '127.0.0.1');
    return { port, server, close: () => void server.close() };
  }

  createUdpSocket(): TailnetUdpSocket {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    return {
      port: 0,
      send(data, address, port) {
        socket.send(data, port, address);
        return true;
      },
      onMessage: (listener) => socket.on('message', (data, from) => listener(data, from)),
      close: () => socket.close(),
    };
  }

  status(): never {
    throw new Error('the fake node has no status');
  }

  ping(): never {
    throw new Error('the fake node does not ping');
  }

  async close(): Promise<void> {}

  #track(socket: Socket): FakeConnection {
    const connection = new FakeConnection(socket);
    this.#connections.add(connection);
    connection.once('close', () => this.#connections.delete(connection));
    return connection;
  }
}

class FakeConnection extends Duplex implements TailnetConnection {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.remoteAddress = socket.remoteAddress ?? '';
    this.remotePort = socket.remotePort ?? 0;
    this.localAddress = socket.localAddress ?? '';
    this.localPort = socket.localPort ?? 0;
    socket.pause();
    socket.on('data', (chunk) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => {
      if (!this.readableEnded && !socket.readableEnded) this.destroy(new Error('closed'));
    });
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (error === null) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
    done(error);
  }
}

/** Starts a server on a free loopback port. */
export async function listenOnLoopback(server: Server, host = '127.0.0.1'): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

/** Sends back what it gets, and ends when the other end has. */
export function createEchoServer(): Server {
  return createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
}

/** A promise that someone else resolves. */
export function createSignal<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolvePromise) => {
    resolve = resolvePromise;
  });
  return { promise, resolve };
}
