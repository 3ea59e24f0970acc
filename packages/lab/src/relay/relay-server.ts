import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { formatHex } from '@heddle/proto/bytes/hex';
import { nobleProvider } from '@heddle/proto/crypto/noble-provider';
import { DerpServer } from '@heddle/proto/derp/derp-server';
import { generatePrivateKey, type NodePrivateKey } from '@heddle/proto/keys/private-key';
import type { NodePublicKey } from '@heddle/proto/keys/public-key';
import { nodeRng } from '@heddle/tailnet/crypto/node-provider';

/** Bytes a client's socket holds before its packets queue in the machine, which drops the oldest. */
const SOCKET_BYTES_MAX = 0x40000;
/** How often deadlines are looked at; they are tens of seconds. */
const TICK_MS = 1000;
const CHALLENGE = /^[A-Za-z0-9._-]{1,64}$/;

export interface RelayServerOptions {
  /** The relay's identity; a fresh one when undefined. */
  readonly serverKey: NodePrivateKey | undefined;
  /** Decides which node keys may log in. */
  readonly isAllowed: (key: NodePublicKey) => boolean;
}

/**
 * A relay on the connections of an HTTP server: `/derp` by upgrade, and the paths clients measure and probe with.
 * It can be attached to a server that serves other things too (the lab's control server does that).
 */
export class RelayServer {
  readonly #machine: DerpServer;
  readonly #serverKey: NodePrivateKey;
  readonly #sockets = new Map<number, Duplex>();
  readonly #timer: NodeJS.Timeout;
  #isFlushPlanned = false;
  #isClosed = false;

  constructor(o: RelayServerOptions) {
    this.#serverKey = o.serverKey ?? generatePrivateKey('node', nobleProvider, nodeRng);
    this.#machine = new DerpServer({
      serverKey: this.#serverKey,
      crypto: nobleProvider,
      rng: nodeRng,
      isAllowed: o.isAllowed,
    });
    this.#timer = setInterval(() => this.#handleTick(), TICK_MS);
    this.#timer.unref();
  }

  get publicKey(): NodePublicKey {
    return this.#serverKey.publicKey;
  }

  get clientCount(): number {
    return this.#machine.connectionCount;
  }

  /** Takes over the relay's paths of a server; requests for other paths stay for its other listeners. */
  attach(server: Server): void {
    server.on('request', (request, response) => this.handleRequest(request, response));
    server.on('upgrade', (request, socket, head) => this.handleUpgrade(request, socket, head));
  }

  /** Answers a request to one of the relay's paths; false, and nothing is done, for any other. */
  handleRequest(request: IncomingMessage, response: ServerResponse): boolean {
    switch (pathOf(request)) {
      case '/derp':
        respond(response, 426, 'DERP requires connection upgrade\n');
        return true;
      case '/derp/probe':
      case '/derp/latency-check':
        response.setHeader('Access-Control-Allow-Origin', '*');
        respond(response, request.method === 'GET' || request.method === 'HEAD' ? 200 : 405, '');
        return true;
      case '/generate_204':
        answerChallenge(request, response);
        return true;
      default:
        return false;
    }
  }

  /** Makes an upgrade to `/derp` a relay connection; false, and nothing is done, for any other path or protocol. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Uint8Array): boolean {
    if (pathOf(request) !== '/derp' || request.headers.upgrade?.toLowerCase() !== 'derp') return false;
    socket.on('error', () => {});
    const id = this.#isClosed ? -1 : this.#machine.addConnection(performance.now());
    if (id < 0) {
      socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return true;
    }
    if ('setNoDelay' in socket) (socket as Socket).setNoDelay(true);
    // A client in fast start already knows our key and skips the HTTP answer.
    if (request.headers['derp-fast-start'] !== '1') socket.write(this.#upgradeAnswer());
    this.#sockets.set(id, socket);
    socket.on('data', (chunk: Uint8Array) => this.#handleBytes(id, chunk));
    socket.on('drain', () => this.#handleDrain(id));
    socket.once('end', () => socket.end());
    socket.once('close', () => this.#remove(id));
    this.#handleBytes(id, head);
    return true;
  }

  /** Ends all connections. The HTTP server is its owner's to close. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const [id, socket] of this.#sockets) {
      socket.destroy();
      this.#machine.removeConnection(id);
    }
    this.#sockets.clear();
  }

  #upgradeAnswer(): string {
    const key = formatHex(this.publicKey);
    const lines = ['Upgrade: DERP', 'Connection: Upgrade', 'Derp-Version: 2', `Derp-Public-Key: ${key}`];
    return `HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`;
  }

  #handleBytes(id: number, chunk: Uint8Array): void {
    this.#machine.handleBytes(id, chunk, performance.now());
    this.#planFlush();
  }

  #handleDrain(id: number): void {
    this.#machine.setCongested(id, false, performance.now());
    this.#planFlush();
  }

  #handleTick(): void {
    this.#machine.handleTimeout(performance.now());
    this.#flush();
  }

  #remove(id: number): void {
    this.#sockets.delete(id);
    this.#machine.removeConnection(id);
    this.#planFlush();
  }

  /** Once a turn: what several clients sent to one leaves in one write. */
  #planFlush(): void {
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    setImmediate(() => {
      this.#isFlushPlanned = false;
      this.#flush();
    });
  }

  #flush(): void {
    for (let event = this.#machine.pollEvent(); event !== undefined; event = this.#machine.pollEvent()) {
      this.#sockets.get(event.connection)?.destroy();
    }
    for (let id = this.#machine.pollPending(); id >= 0; id = this.#machine.pollPending()) this.#write(id);
  }

  #write(id: number): void {
    const socket = this.#sockets.get(id);
    if (socket === undefined) return;
    socket.cork();
    for (let bytes = this.#machine.pollTransmit(id); bytes !== undefined; bytes = this.#machine.pollTransmit(id)) {
      socket.write(bytes);
      if (socket.writableLength > SOCKET_BYTES_MAX) this.#machine.setCongested(id, true, performance.now());
    }
    socket.uncork();
  }
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').split('?')[0] as string;
}

function respond(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': text.length });
  response.end(text);
}

/** Captive portals answer everything alike; only a real relay knows the challenge. */
function answerChallenge(request: IncomingMessage, response: ServerResponse): void {
  const challenge = request.headers['x-tailscale-challenge'];
  if (typeof challenge === 'string' && CHALLENGE.test(challenge)) {
    response.setHeader('X-Tailscale-Response', `response ${challenge}`);
  }
  response.setHeader('Cache-Control', 'no-cache, no-store, must-revalidate, no-transform, max-age=0');
  response.writeHead(204);
  response.end();
}
