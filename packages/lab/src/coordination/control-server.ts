import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { formatPublicKey } from '@heddle/proto/keys/public-key';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { LogLine } from '@heddle/tailnet/types';
import type { RelayServer } from '../relay/relay-server.ts';
import type { MachineApi } from './machine-api.ts';
import { acceptUpgrade, type NoiseUpgradeOptions } from './noise-upgrade.ts';
import type { PendingLogins } from './pending-logins.ts';
import { renderLoginPage, renderUnknownLogin } from './web-pages.ts';

const CONNECTION_COUNT_MAX = 2_048;
const LEGACY_KEY = `mkey:${'0'.repeat(64)}`;

export interface ControlServerOptions extends NoiseUpgradeOptions {
  readonly logins: PendingLogins;
  readonly api: MachineApi;
  /** Answers the paths of a relay; `undefined` for none. */
  readonly relay: RelayServer | undefined;
  readonly log: (line: LogLine) => void;
}

/** The plain HTTP side: the server's key, the upgrade to Noise, the page that approves logins, and the relay. */
export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #server: Server;
  readonly #upgraded = new Set<Socket>();

  constructor(options: ControlServerOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#server.maxConnections = CONNECTION_COUNT_MAX;
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket as Socket, head));
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  /** Resolves with the port. @throws {TailnetError} `lab/listen-failed`. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const fail = (cause: Error) =>
        reject(new TailnetError('lab/listen-failed', `Cannot listen on ${host}:${port}: ${cause.message}`, { cause }));
      this.#server.once('error', fail);
      this.#server.listen(port, host, () => {
        this.#server.off('error', fail);
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** Ends every connection; resolves when the port is free. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
      for (const socket of this.#upgraded) socket.destroy();
    });
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.#upgraded.add(socket);
    socket.on('close', () => this.#upgraded.delete(socket));
    socket.on('error', () => socket.destroy());
    if (this.#options.relay?.handleUpgrade(request, socket, head) === true) return;
    const connection = acceptUpgrade(request, socket, head, this.#options);
    if (typeof connection !== 'string') this.#options.api.serve(connection);
    else this.#options.log({ level: 'debug', message: 'upgrade refused', fields: { reason: connection } });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    if (this.#options.relay?.handleRequest(request, response) === true) return;
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const [, first, second] = path.split('/');
    if (first === 'key') this.#answerKey(new URLSearchParams(query), response);
    else if (first === 'health') send(response, 200, 'application/json', '{"status":"pass"}');
    else if (first === 'register' && second !== undefined) this.#answerLogin(request, second, response);
    else if (first === 'ts2021') send(response, 400, 'text/plain', 'missing upgrade');
    else send(response, 404, 'text/plain', 'not found');
  }

  #answerKey(query: URLSearchParams, response: ServerResponse): void {
    if (!/^\d+$/.test(query.get('v') ?? '')) {
      send(response, 400, 'text/plain', 'capability version must be set');
      return;
    }
    const publicKey = formatPublicKey('machine', this.#options.serverKey.publicKey);
    send(response, 200, 'application/json', JSON.stringify({ legacyPublicKey: LEGACY_KEY, publicKey }));
  }

  #answerLogin(request: IncomingMessage, id: string, response: ServerResponse): void {
    const { logins } = this.#options;
    // Only this page itself may approve: another site's form would carry its own origin.
    const { origin, host } = request.headers;
    if (request.method === 'POST' && origin !== undefined && origin !== `http://${host}`) {
      send(response, 403, 'text/plain', 'foreign origin');
      return;
    }
    if (request.method === 'POST') logins.approve(id);
    const login = logins.find(id);
    if (login === undefined) send(response, 404, 'text/html; charset=utf-8', renderUnknownLogin());
    else send(response, 200, 'text/html; charset=utf-8', renderLoginPage(login));
  }
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
