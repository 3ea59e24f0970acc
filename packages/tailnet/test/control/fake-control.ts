import { once } from 'node:events';
import http from 'node:http';
import http2, { type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { parseBase64 } from '@heddle/proto/bytes/base64';
import { encodeMapFrame } from '@heddle/proto/control/map-frames';
import { generatePrivateKey, type MachinePrivateKey } from '@heddle/proto/keys/private-key';
import { formatPublicKey, type MachinePublicKey } from '@heddle/proto/keys/public-key';
import { encodeEarlyPayload } from '@heddle/proto/noise/early-payload';
import { answerInitiation } from '@heddle/proto/noise/handshake';
import { NoiseDuplex } from '../../src/control/noise-duplex.ts';
import { createNodeCryptoProvider, nodeRng } from '../../src/crypto/node-provider.ts';

const crypto = createNodeCryptoProvider();

export interface FakeAnswer {
  readonly status?: number;
  readonly headers?: http2.OutgoingHttpHeaders;
  /** Sent as JSON. */
  readonly json?: unknown;
  readonly text?: string;
}

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into any field
  readonly body: any;
}

export type MapHandler = (stream: ServerHttp2Stream, request: FakeRequest) => void;

/** The part of a coordination server that a test scripts, behind a real Noise and HTTP/2 stack on loopback. */
export class FakeControl {
  readonly requests: FakeRequest[] = [];
  /** Plain HTTP requests by path, and upgrades as `/ts2021`. */
  readonly plainRequests: string[] = [];
  readonly sessions = new Set<ServerHttp2Session>();
  serverKey: MachinePrivateKey = generatePrivateKey('machine', crypto, nodeRng);
  /** What `/key` says, when that is not the truth. */
  publishedKey: MachinePublicKey | undefined;
  hasEarlyPayload = true;
  onKey: ((response: http.ServerResponse) => void) | undefined;
  onUpgrade: ((socket: Socket) => void) | undefined;
  onRegister: (body: FakeRequest['body']) => FakeAnswer | Promise<FakeAnswer> = () => ({
    json: { MachineAuthorized: true },
  });
  onUpdate: (body: FakeRequest['body']) => FakeAnswer = () => ({});
  onStream: MapHandler = (stream) => sendMap(stream, { Node: SELF });
  onOther: (request: FakeRequest) => FakeAnswer = () => ({});
  readonly #server: http.Server;
  readonly #h2: Http2Server = http2.createServer();
  readonly #isTls: boolean;
  readonly #sockets = new Set<Socket>();

  constructor(tls?: { readonly key: string; readonly cert: string }) {
    this.#isTls = tls !== undefined;
    this.#server = tls === undefined ? http.createServer() : (https.createServer(tls) as http.Server);
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('request', (request, response) => this.#handlePlain(request.url ?? '', response));
    this.#server.on('upgrade', (request, socket: Socket) => this.#handleUpgrade(request, socket));
    this.#h2.on('session', (session) => {
      this.sessions.add(session);
      session.on('close', () => this.sessions.delete(session));
      session.on('error', () => undefined);
    });
    this.#h2.on('stream', (stream, headers) => void this.#handleStream(stream, headers));
  }

  async listen(port = 0): Promise<void> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.#isTls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
  }

  /** Bodies of one kind of request, in order. */
  bodies(kind: 'register' | 'stream' | 'update'): FakeRequest['body'][] {
    return this.requests.filter((request) => kindOf(request) === kind).map(({ body }) => body);
  }

  /** Cuts every connection without a goodbye. */
  cut(): void {
    for (const session of this.sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
  }

  #handlePlain(url: string, response: http.ServerResponse): void {
    this.plainRequests.push(url);
    if (!url.startsWith('/key?v=')) response.end();
    else if (this.onKey !== undefined) this.onKey(response);
    else {
      const publicKey = formatPublicKey('machine', this.publishedKey ?? this.serverKey.publicKey);
      response.end(JSON.stringify({ legacyPublicKey: `mkey:${'00'.repeat(32)}`, publicKey }));
    }
  }

  #handleUpgrade(request: http.IncomingMessage, socket: Socket): void {
    this.plainRequests.push('/ts2021');
    socket.on('error', () => undefined);
    if (this.onUpgrade !== undefined) {
      this.onUpgrade(socket);
      return;
    }
    const initiation = parseBase64(String(request.headers['x-tailscale-handshake']))!;
    const answer = answerInitiation(initiation, { serverKey: this.serverKey, crypto, rng: nodeRng });
    if (typeof answer === 'string') {
      socket.end(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n',
      );
      return;
    }
    const head =
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n';
    // In one write, as servers do: the client finds the handshake in the head of the upgrade.
    socket.write(Buffer.concat([Buffer.from(head), answer.response]));
    const duplex = new NoiseDuplex({
      socket,
      session: answer.session,
      crypto,
      head: new Uint8Array(0),
      isClient: false,
    });
    duplex.on('error', () => undefined);
    if (this.hasEarlyPayload) this.#sendEarlyPayload(duplex);
    this.#h2.emit('connection', duplex);
  }

  /** In three records, as Headscale does. */
  #sendEarlyPayload(duplex: NoiseDuplex): void {
    const payload = encodeEarlyPayload(JSON.stringify({ nodeKeyChallenge: `chalpub:${'00'.repeat(32)}` }));
    for (const part of [payload.subarray(0, 5), payload.subarray(5, 9), payload.subarray(9)]) duplex.write(part);
  }

  async #handleStream(stream: ServerHttp2Stream, headers: http2.IncomingHttpHeaders): Promise<void> {
    stream.on('error', () => undefined);
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const path = String(headers[':path']);
    const body = path.startsWith('/machine/') ? JSON.parse(text) : text;
    const request = { method: String(headers[':method']), path, body };
    this.requests.push(request);
    const kind = kindOf(request);
    if (kind === 'stream') this.onStream(stream, request);
    else if (kind === 'register') respond(stream, await this.onRegister(body));
    else respond(stream, kind === 'update' ? this.onUpdate(body) : this.onOther(request));
  }
}

export const SELF = {
  ID: 1,
  StableID: '1',
  Name: 'self.ts.test.',
  Key: `nodekey:${'11'.repeat(32)}`,
  Addresses: ['100.64.0.1/32'],
};

/** Sends one uncompressed MapResponse on an open stream, with the headers if it is the first. */
export function sendMap(stream: ServerHttp2Stream, message: object): void {
  if (!stream.headersSent) stream.respond({ ':status': 200 });
  stream.write(encodeMapFrame(Buffer.from(JSON.stringify(message))));
}

function respond(stream: ServerHttp2Stream, answer: FakeAnswer): void {
  if (stream.destroyed) return;
  stream.respond({ ':status': answer.status ?? 200, ...answer.headers });
  stream.end(answer.json === undefined ? (answer.text ?? '') : JSON.stringify(answer.json));
}

function kindOf({ path, body }: FakeRequest): 'register' | 'stream' | 'update' | 'other' {
  if (path === '/machine/register') return 'register';
  if (path !== '/machine/map') return 'other';
  return body.Stream === true ? 'stream' : 'update';
}
