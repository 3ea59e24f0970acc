import { request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from 'node:http';
import { connect } from 'node:net';
import { afterEach, expect } from 'vitest';
import { tunRoutes } from '../src/rest/interface-routes.ts';
import { type RestServer, type RestServerOptions, startRestServer } from '../src/rest/rest-server.ts';
import { problemShape } from '../src/schema/interface-api.ts';
import { INTERFACE_CODES, type InterfaceCode } from '../src/schema/interface-codes.ts';
import { FakeTunService } from './fake-interfaces.ts';

export const TOKEN = 'correct-horse-battery-staple';

/** What came back. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface Logged {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, string | number>>;
}

/** Ended after each test. */
const running: RestServer[] = [];
/** What servers logged in this test. */
export const logged: Logged[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
  logged.length = 0;
});

/** A server over fake services that takes everybody for root; it is closed after the test. */
export async function start(options: Partial<RestServerOptions> = {}): Promise<RestServer> {
  const server = await startRestServer({
    port: 0,
    api: tunRoutes(new FakeTunService()),
    version: '1.2.3',
    identify: () => ({ uid: 0 }),
    isOperator: (uid) => uid === 1000,
    token: () => TOKEN,
    log: (level, message, fields) => logged.push({ level, message, fields }),
    nowMs: () => 5_000,
    answerTimeoutMs: undefined,
    ...options,
  });
  running.push(server);
  return server;
}

export interface Asked extends RequestOptions {
  readonly body?: string | Uint8Array | undefined;
}

/** One request over a connection of its own. */
export function ask({ port }: RestServer, path: string, { body, ...options }: Asked = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, path, agent: false, ...options }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

export const JSON_HEADERS = { 'content-type': 'application/json' };

/** Posts JSON, or a text as it is. */
export function post(
  server: RestServer,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const length = { 'content-length': String(Buffer.byteLength(text)) };
  return ask(server, path, { method: 'POST', body: text, headers: { ...JSON_HEADERS, ...length, ...headers } });
}

/** Checks status, type and every field of a problem. */
export function expectProblem(answer: Answer, code: InterfaceCode): string {
  const { status, title, next } = INTERFACE_CODES[code];
  const problem = JSON.parse(answer.text) as { detail: string };
  expect(problemShape(problem).kind).toBe('ok');
  expect(problem).toMatchObject({ code, status, title, next, type: `urn:heddle:${code}` });
  expect(answer.status).toBe(status);
  expect(answer.headers['content-type']).toBe('application/problem+json');
  return problem.detail;
}

/** Sends bytes as they are and resolves with all that comes until the server ends the connection. */
export function exchange({ port }: RestServer, text: string, host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host, allowHalfOpen: true }, () => socket.write(text));
    let received = '';
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString();
    });
    socket.on('end', () => {
      socket.end();
      resolve(received);
    });
    socket.on('error', reject);
  });
}

/** As {@link exchange}, and ends the client's side at once. */
export function send({ port }: RestServer, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(text));
    let received = '';
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(received));
  });
}
