import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A server that does one wrong thing to everybody who connects, and counts them. */
export class HostileServer {
  connectionCount = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(behave: (socket: Socket) => void) {
    this.#server = createServer((socket) => {
      this.connectionCount++;
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
      behave(socket);
    });
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** The head of an answer that accepts the upgrade. */
export const UPGRADED =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n';
/** What a server says at /key. */
export const KEY: string = JSON.stringify({
  legacyPublicKey: `mkey:${'00'.repeat(32)}`,
  publicKey: `mkey:${'17'.repeat(32)}`,
});

/** Accepts and says nothing. */
export function hang(socket: Socket): void {
  socket.resume();
}

/** Answers the first request with these bytes and, unless told otherwise, closes. */
export function answer(text: string, isClosing = true): (socket: Socket) => void {
  return (socket) =>
    socket.once('data', () => {
      socket.resume();
      if (isClosing) socket.end(text);
      else socket.write(text);
    });
}

/** Answers /key as it should and does the wrong thing with what comes then. */
export function afterKey(behave: (socket: Socket) => void): (socket: Socket) => void {
  return (socket) =>
    socket.once('data', () => {
      socket.write(page('200 OK', KEY));
      behave(socket);
    });
}

/** Begins an answer with these bytes and never ends it. */
export function pour(head: string): (socket: Socket) => void {
  const chunk = 'x'.repeat(65_536);
  const fill = (socket: Socket): void => {
    while (!socket.destroyed && socket.write(chunk));
  };
  return (socket) =>
    socket.once('data', () => {
      socket.on('drain', () => fill(socket));
      socket.write(head);
      fill(socket);
    });
}

/** A complete HTTP answer. */
export function page(status: string, body: string, headers = ''): string {
  const length = new TextEncoder().encode(body).length;
  return `HTTP/1.1 ${status}\r\nContent-Type: text/html\r\nContent-Length: ${length}\r\n${headers}\r\n${body}`;
}

/** Passes everything on to a real server, but of its answers only so many bytes; then it closes or falls silent. */
export function cutAfter(port: number, bytesMax: number, end: 'close' | 'hang'): (socket: Socket) => void {
  return (client) => {
    const upstream = connect(port, '127.0.0.1');
    let left = bytesMax;
    upstream.on('error', () => client.destroy());
    client.on('close', () => upstream.destroy());
    client.pipe(upstream);
    upstream.on('data', (chunk) => {
      if (left > 0) client.write(chunk.subarray(0, left));
      left -= chunk.length;
      if (left <= 0 && end === 'close') client.end();
    });
  };
}
