import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeSubnetService, FakeTunService } from '../../test/fake-interfaces.ts';
import { problemShape, subnetShape, tunShape } from '../schema/interface-api.ts';
import { INTERFACE_CODES, type InterfaceCode } from '../schema/interface-codes.ts';
import { listOf } from '../schema/shape.ts';
import type { ClientIdentity } from './caller-check.ts';
import { subnetRoutes, tunRoutes } from './interface-routes.ts';
import { type RestServer, type RestServerOptions, startRestServer } from './rest-server.ts';

const TOKEN = 'correct-horse-battery-staple';
const STRANGER = 65_534;
const hasCurl = spawnSync('curl', ['--version']).status === 0;

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

interface Logged {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, string | number>>;
}

const running: RestServer[] = [];
const logged: Logged[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
  logged.length = 0;
});

async function start(options: Partial<RestServerOptions> = {}): Promise<RestServer> {
  const server = await startRestServer({
    port: 0,
    api: tunRoutes(new FakeTunService()),
    version: '1.2.3',
    identify: () => ({ uid: 0 }),
    isOperator: (uid) => uid === 1000,
    token: TOKEN,
    log: (level, message, fields) => logged.push({ level, message, fields }),
    nowMs: () => 5_000,
    answerTimeoutMs: undefined,
    ...options,
  });
  running.push(server);
  return server;
}

interface Asked extends RequestOptions {
  readonly body?: string | Uint8Array | undefined;
}

function ask({ port }: RestServer, path: string, { body, ...options }: Asked = {}): Promise<Answer> {
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

const JSON_HEADERS = { 'content-type': 'application/json' };

function post(server: RestServer, path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const length = { 'content-length': String(Buffer.byteLength(text)) };
  return ask(server, path, { method: 'POST', body: text, headers: { ...JSON_HEADERS, ...length, ...headers } });
}

/** Checks status, type and every field of a problem. */
function expectProblem(answer: Answer, code: InterfaceCode): string {
  const { status, title, next } = INTERFACE_CODES[code];
  const problem = JSON.parse(answer.text) as { detail: string };
  expect(problemShape(problem).kind).toBe('ok');
  expect(problem).toMatchObject({ code, status, title, next, type: `urn:heddle:${code}` });
  expect(answer.status).toBe(status);
  expect(answer.headers['content-type']).toBe('application/problem+json');
  return problem.detail;
}

/** Sends bytes as they are and resolves with all that comes until the server ends the connection. */
function exchange({ port }: RestServer, text: string, host = '127.0.0.1'): Promise<string> {
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
function send({ port }: RestServer, text: string): Promise<string> {
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

describe('the TUN API', () => {
  it('makes, lists, finds and removes a device', async () => {
    const server = await start();
    const made = await post(server, '/tun', { name: 'tun7', ip_addr: '10.5.0.1' });
    expect(made.status).toBe(200);
    expect(JSON.parse(made.text)).toMatchObject({
      name: 'tun7',
      ip_addr: '10.5.0.1',
      netmask: '255.255.255.0',
      broadcast: '10.5.0.255',
      created_by: 0,
    });
    const list = await ask(server, '/tun');
    expect(list.status).toBe(200);
    expect(listOf(tunShape)(JSON.parse(list.text)).kind).toBe('ok');
    expect((await ask(server, '/tun/tun7')).text).toBe(made.text);
    const gone = await ask(server, '/tun/tun7', { method: 'DELETE' });
    expect([gone.status, gone.text, gone.headers['content-type']]).toEqual([204, '', undefined]);
    expectProblem(await ask(server, '/tun/tun7'), 'tun/unknown');
    expectProblem(await ask(server, '/tun/tun7', { method: 'DELETE' }), 'tun/unknown');
  });

  it('answers so that nobody keeps it or guesses its type', async () => {
    const { headers } = await ask(await start(), '/tun');
    expect(headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'content-length': '2',
    });
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  it('takes an empty body for the empty object, whatever its type', async () => {
    const server = await start();
    expect((await ask(server, '/tun', { method: 'POST' })).status).toBe(200);
    const chunked = { 'transfer-encoding': 'chunked', 'content-type': 'text/plain' };
    expect((await ask(server, '/tun', { method: 'POST', headers: chunked })).status).toBe(200);
    expect((await ask(server, '/tun', { method: 'POST', headers: { 'content-type': 'x/y' } })).status).toBe(200);
    expect(JSON.parse((await ask(server, '/tun')).text)).toHaveLength(3);
  });

  it('answers HEAD as GET, without the body', async () => {
    const server = await start();
    await post(server, '/tun', {});
    const [head, get] = [await ask(server, '/tun', { method: 'HEAD' }), await ask(server, '/tun')];
    expect([head.status, head.text]).toEqual([200, '']);
    expect(head.headers['content-length']).toBe(String(get.text.length));
    expect((await ask(server, '/nothing', { method: 'HEAD' })).status).toBe(404);
  });

  it('is there on ::1 too, under the same port', async () => {
    const server = await start();
    if (!server.hasIpv6) {
      expect(logged).toMatchObject([{ level: 'warn', message: 'There is no ::1, only 127.0.0.1 is listened on' }]);
      return;
    }
    expect((await ask(server, '/healthz', { host: '::1' })).text).toBe('{"status":"ok"}');
    expect(logged).toEqual([]);
  });
});

describe('the subnet API', () => {
  it('takes networks with their slash escaped or not', async () => {
    const server = await start({ api: subnetRoutes(new FakeSubnetService()) });
    const made = await post(server, '/subnet', { cidr: '10.1.0.0/24' });
    expect(JSON.parse(made.text)).toMatchObject({ network: '10.1.0.0/24', interface: 'dummy0' });
    await post(server, '/subnet', { cidr: 'fd00::/64' });
    expect(listOf(subnetShape)(JSON.parse((await ask(server, '/subnet')).text)).kind).toBe('ok');
    for (const path of [
      '/subnet/10.1.0.0%2F24',
      '/subnet/10.1.0.0%2f24',
      '/subnet/10.1.0.0/24',
      '/subnet/10.1.0.0/24/',
    ]) {
      expect((await ask(server, path)).text).toBe(made.text);
    }
    for (const path of ['/subnet/fd00%3A%3A%2F64', '/subnet/fd00::/64', '/subnet/fd00%3A%3A/64']) {
      expect(JSON.parse((await ask(server, path)).text)).toMatchObject({ network: 'fd00::/64' });
    }
    expect((await ask(server, '/subnet/fd00::%2F64', { method: 'DELETE' })).status).toBe(204);
    expect((await ask(server, '/subnet/10.1.0.0%252F24')).status).toBe(400);
    expectProblem(await ask(server, '/subnet/10.1.0.0/24/1'), 'rest/no-such-path');
    expectProblem(await ask(server, '/subnet/10.1.0.1/24'), 'subnet/host-bits');
  });

  it('lists free networks as the query asks', async () => {
    const server = await start({ api: subnetRoutes(new FakeSubnetService()) });
    const free = async (query: string) => JSON.parse((await ask(server, `/subnet/free${query}`)).text) as unknown;
    expect(await free('?count=2')).toEqual({ free: ['10.0.0.0/24', '10.0.1.0/24'] });
    expect(await free('?family=6&count=1&prefix_length=64&unknown=x')).toEqual({ free: ['fd00::/64'] });
    expect(((await free('')) as { free: string[] }).free).toHaveLength(8);
    for (const query of ['?count=0', '?count=257', '?count=1&count=2', '?family=5', '?prefix_length=x', '?count=']) {
      expectProblem(await ask(server, `/subnet/free${query}`), 'rest/bad-field');
    }
    expectProblem(await ask(server, '/subnet/free', { method: 'DELETE' }), 'rest/method-not-allowed');
  });
});

describe('a request from elsewhere', () => {
  it('is refused unless its host is this one', async () => {
    const server = await start();
    const { port } = server;
    const asHost = (host: string) => ask(server, '/tun', { headers: { host } });
    for (const host of ['localhost', `LocalHost:${port}`, '127.0.0.1', `127.0.0.1:${port}`, '[::1]', `[::1]:${port}`]) {
      expect((await asHost(host)).status).toBe(200);
    }
    const foreign = ['evil.example', `evil.example:${port}`, `localhost:${port + 1}`, 'localhost.', '127.0.0.2', '::1'];
    for (const host of [...foreign, `localhost:${port}@evil.example`, `0.0.0.0:${port}`, `localhost:0${port}`]) {
      expectProblem(await asHost(host), 'rest/foreign-host');
    }
    const empty = await exchange(server, 'GET /tun HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n');
    expect(empty).toContain('"rest/foreign-host"');
  });

  it('names its host exactly once', async () => {
    const server = await start();
    const none = await exchange(server, 'GET /tun HTTP/1.1\r\nConnection: close\r\n\r\n');
    const twice = await exchange(
      server,
      'GET /tun HTTP/1.1\r\nHost: localhost\r\nHost: x\r\nConnection: close\r\n\r\n',
    );
    for (const text of [none, twice]) {
      expect(text).toMatch(/^HTTP\/1\.1 400 /);
      expect(text).toContain('"rest/bad-request"');
    }
  });

  it('may have a whole URL for its target, if that is of this host too', async () => {
    const server = await start();
    const get = (target: string) =>
      exchange(server, `GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    expect(await get(`http://localhost:${server.port}/healthz`)).toMatch(/^HTTP\/1\.1 200 /);
    expect(await get('http://evil.example/healthz')).toContain('"rest/foreign-host"');
    expect(await get('ftp://localhost/healthz')).toContain('"rest/bad-request"');
    expect(await get('*')).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('is refused when a page of another site asks', async () => {
    const server = await start();
    const { port } = server;
    for (const origin of [
      'http://evil.example',
      'null',
      `https://localhost:${port}`,
      `http://localhost:${port + 1}`,
      '',
    ]) {
      expectProblem(await ask(server, '/tun', { headers: { origin } }), 'rest/foreign-origin');
    }
    expect((await ask(server, '/tun', { headers: { origin: `http://localhost:${port}` } })).status).toBe(200);
    for (const site of ['cross-site', 'same-site', 'x']) {
      expectProblem(await ask(server, '/tun', { headers: { 'sec-fetch-site': site } }), 'rest/foreign-origin');
    }
    for (const site of ['same-origin', 'none']) {
      expect((await ask(server, '/tun', { headers: { 'sec-fetch-site': site } })).status).toBe(200);
    }
  });
});

describe('paths and methods', () => {
  it('that do not exist are told apart', async () => {
    const server = await start();
    for (const path of [
      '/',
      '/tuns',
      '/TUN',
      '//tun',
      '/tun//',
      '/tun/a/b',
      '/tun/a/b/c/d/e/f/g/h/i',
      '/subnet',
      '/%2ftun',
    ]) {
      expectProblem(await ask(server, path), 'rest/no-such-path');
    }
    expectProblem(await ask(server, '/nothing', { method: 'PUT' }), 'rest/no-such-path');
    expect((await ask(server, '/tun/')).status).toBe(200);
    expect((await ask(server, '/%74un')).status).toBe(200);
  });

  it('that cannot be decoded are refused', async () => {
    const server = await start();
    for (const path of ['/tun/%', '/tun/%zz', '/tun/%ff', '/tun/a%00b', '/tun/a%0Ab']) {
      expectProblem(await ask(server, path), 'rest/bad-request');
    }
    expectProblem(await ask(server, '/tun/%252e%252e'), 'tun/unknown');
    expectProblem(await ask(server, '/tun/..%2Ftun'), 'tun/unknown');
  });

  it('answer with the methods there are', async () => {
    const server = await start();
    for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
      const answer = await ask(server, '/tun', { method });
      expectProblem(answer, 'rest/method-not-allowed');
      expect(answer.headers['allow']).toBe('GET, HEAD, POST');
    }
    expect((await ask(server, '/tun/x', { method: 'POST' })).headers['allow']).toBe('GET, HEAD, DELETE');
    const proxying = await exchange(server, 'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect(proxying).toMatch(/^HTTP\/1\.1 400 [\s\S]*"rest\/bad-request"/);
  });
});

describe('who may change things', () => {
  const asUser = (identity: ClientIdentity | undefined) => start({ identify: async () => identity });

  it('is root, the own user and the operators', async () => {
    for (const uid of [0, process.geteuid?.() ?? 0, 1000]) {
      const answer = await post(await asUser({ uid }), '/tun', {});
      expect(JSON.parse(answer.text)).toMatchObject({ created_by: uid });
    }
  });

  it('is nobody else, who may read all the same', async () => {
    for (const [identity, code] of [
      [{ uid: STRANGER }, 'rest/forbidden'],
      [undefined, 'rest/no-identity'],
    ] as const) {
      const server = await asUser(identity);
      expectProblem(await post(server, '/tun', {}), code);
      expectProblem(await ask(server, '/tun/tun0', { method: 'DELETE' }), code);
      expect((await ask(server, '/tun')).status).toBe(200);
    }
    expect(logged).toEqual([]);
  });

  it('is asked of the kernel for changes alone, with the socket of the client', async () => {
    const ports: (number | undefined)[] = [];
    const server = await start({
      identify: ({ remotePort }) => {
        ports.push(remotePort);
        return { uid: 0 };
      },
    });
    await ask(server, '/tun');
    expect(ports).toEqual([]);
    await post(server, '/tun', {});
    await post(server, '/tun', {});
    expect(ports).toHaveLength(2);
    expect(ports).not.toContain(undefined);
  });

  it('is the holder of the token, whoever that is', async () => {
    const server = await asUser({ uid: STRANGER });
    const answer = await post(server, '/tun', {}, { authorization: `bearer ${TOKEN}` });
    expect(JSON.parse(answer.text)).toMatchObject({ created_by: null });
    expect(logged).toMatchObject([
      { level: 'info', fields: { user: 'token', method: 'POST', path: '/tun', status: 200 } },
    ]);
  });

  it('is not even root with a wrong token', async () => {
    const server = await asUser({ uid: 0 });
    for (const authorization of [
      'Bearer x',
      `Bearer ${TOKEN}x`,
      `Basic ${TOKEN}`,
      'Bearer ',
      TOKEN,
      `Bearer ${TOKEN} x`,
    ]) {
      expectProblem(await post(server, '/tun', {}, { authorization }), 'rest/bad-token');
      expectProblem(await ask(server, '/tun', { headers: { authorization } }), 'rest/bad-token');
    }
    const without = await start({ token: undefined });
    expectProblem(await post(without, '/tun', {}, { authorization: 'Bearer undefined' }), 'rest/bad-token');
  });

  it('is nobody while the kernel fails to tell', async () => {
    const server = await start({
      identify: () => {
        throw new Error('secret of the kernel');
      },
    });
    const answer = await post(server, '/tun', {});
    expectProblem(answer, 'rest/internal');
    expect(answer.text).not.toContain('secret');
  });
});

describe('a body', () => {
  it('is said to be JSON in UTF-8', async () => {
    const server = await start();
    for (const type of [
      'application/json',
      'Application/JSON; charset="UTF-8"',
      'application/json;charset=utf-8;x=y',
    ]) {
      expect((await post(server, '/tun', {}, { 'content-type': type })).status).toBe(200);
    }
    for (const type of [
      'text/plain',
      'application/json; charset=latin1',
      'application/jsonp',
      'application/x+json',
      '',
    ]) {
      expectProblem(await post(server, '/tun', {}, { 'content-type': type }), 'rest/unsupported-type');
    }
    expectProblem(await ask(server, '/tun', { method: 'POST', body: '{}' }), 'rest/unsupported-type');
    expectProblem(await post(server, '/tun', {}, { 'content-encoding': 'gzip' }), 'rest/unsupported-type');
    expect((await post(server, '/tun', {}, { 'content-encoding': 'identity' })).status).toBe(200);
    const chunked = { 'transfer-encoding': 'chunked', 'content-type': 'text/plain' };
    expectProblem(await ask(server, '/tun', { method: 'POST', body: '{}', headers: chunked }), 'rest/unsupported-type');
  });

  it('is one JSON object', async () => {
    const server = await start();
    for (const body of ['{', '{}{}', "{'a':1}", ' ', '\u0000', '['.repeat(16_000)]) {
      expectProblem(await post(server, '/tun', body), 'rest/bad-json');
    }
    const latin1 = Buffer.from('{"name":"\xe9"}', 'latin1');
    expectProblem(await ask(server, '/tun', { method: 'POST', body: latin1, headers: JSON_HEADERS }), 'rest/bad-json');
    for (const body of ['[]', 'null', '"x"', '1', 'true']) {
      expect(expectProblem(await post(server, '/tun', body), 'rest/bad-field')).toContain('an object');
    }
  });

  it('is told which field is wrong, and not what it is', async () => {
    const server = await start();
    const detail = expectProblem(await post(server, '/tun', { mtu: 4711_4711 }), 'rest/bad-field');
    expect(detail).toBe('Bad "mtu": expected a whole number from 576 to 65535');
    for (const body of [
      { name: '-x' },
      { name: 'a%d' },
      { prefix_length: 31 },
      { owner: {} },
      { persistent: 1 },
      { name: null },
    ]) {
      expect(expectProblem(await post(server, '/tun', body), 'rest/bad-field')).toContain(`"${Object.keys(body)[0]}"`);
    }
    expect((await post(server, '/tun', '{"__proto__":{"name":"x"},"unknown":1}')).status).toBe(200);
  });

  it('has at most 16 KiB, announced or not', async () => {
    const server = await start();
    const fitting = JSON.stringify({ x: 'x'.repeat(16_384 - 8) });
    expect(fitting).toHaveLength(16_384);
    expect((await post(server, '/tun', fitting)).status).toBe(200);
    expectProblem(await post(server, '/tun', `${fitting} `), 'rest/too-large');
    const chunked = { ...JSON_HEADERS, 'transfer-encoding': 'chunked' };
    expect((await ask(server, '/tun', { method: 'POST', body: fitting, headers: chunked })).status).toBe(200);
    expectProblem(
      await ask(server, '/tun', { method: 'POST', body: `${fitting} `, headers: chunked }),
      'rest/too-large',
    );
    const head = 'POST /tun HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n';
    expect(await exchange(server, `${head}Content-Length: 99999999999\r\n\r\n`)).toMatch(/^HTTP\/1\.1 413 /);
  });

  it('that is announced too large is refused before it is sent', async () => {
    const server = await start();
    const head = 'POST /tun HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n';
    const refused = await exchange(server, `${head}Content-Length: 16385\r\n\r\n`);
    expect(refused).toMatch(/^HTTP\/1\.1 413 [\s\S]*connection: close/i);
    const taken = await exchange(server, `${head}Connection: close\r\nContent-Length: 2\r\n\r\n{}`);
    expect(taken).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
  });

  it('that nobody wants is swallowed, and the connection goes on', async () => {
    const server = await start();
    const head = 'Host: localhost\r\nContent-Length: 5\r\n\r\nhello';
    const text = await exchange(
      server,
      `GET /tun HTTP/1.1\r\n${head}POST /tun HTTP/1.1\r\n${head}GET /healthz HTTP/1.1\r\nConnection: close\r\n${head}`,
    );
    expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 415', 'HTTP/1.1 200']);
  });

  it('that nobody wants and that does not end costs the connection', async () => {
    const server = await start({ identify: () => undefined });
    const head = 'Host: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n';
    for (const line of ['POST /tun', 'GET /tun', 'DELETE /nothing']) {
      const sentCount = await new Promise<number>((resolve) => {
        let count = 0;
        const socket = connect({ port: server.port, host: '127.0.0.1' }, () =>
          socket.write(`${line} HTTP/1.1\r\n${head}`),
        );
        const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
        const send = () => {
          while (count < 4_096 && socket.write(chunk)) count++;
          count++;
        };
        socket.once('data', send).on('drain', send);
        socket.on('error', () => {}).on('close', () => resolve(count));
      });
      // 1 MiB is 64 of them; the rest are buffers of both ends.
      expect(sentCount).toBeGreaterThan(60);
      expect(sentCount).toBeLessThan(4_096);
    }
    expect((await ask(server, '/healthz')).status).toBe(200);
  });

  it('that breaks off in bad bytes costs the connection', async () => {
    const server = await start();
    const head = 'POST /tun HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
    const text = await exchange(server, `${head}Transfer-Encoding: chunked\r\n\r\nZZ\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 400 [\s\S]*connection: close[\s\S]*"rest\/bad-request"/i);
  });
});

describe('what is no HTTP', () => {
  it('is answered with a problem, and the connection ends', async () => {
    const server = await start();
    const length = 'POST /tun HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}';
    const big = `GET /tun HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(9_000)}\r\n\r\n`;
    for (const text of ['hello\r\n\r\n', 'GET /tun\r\n\r\n', '\u0016\u0003\u0001\u0002\u0000', length, big]) {
      const answer = await exchange(server, text);
      expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
      const [head = '', body = ''] = answer.split('\r\n\r\n');
      expect(head).toContain('content-type: application/problem+json');
      expect(JSON.parse(body)).toMatchObject({ code: 'rest/bad-request', status: 400 });
    }
  });

  it('never stops the server, whatever it is', async () => {
    const server = await start();
    const words = [
      'GET ',
      'POST ',
      '/tun',
      '/tun/%',
      'http://',
      ' HTTP/1.1',
      '\r\n',
      '\r\n\r\n',
      'Host: localhost',
      '{}',
    ];
    const more = [
      'Content-Length: 2',
      'Transfer-Encoding: chunked',
      'Expect: 100-continue',
      'Upgrade: x',
      '0',
      '\u0000',
    ];
    const bytes = fc.array(fc.oneof(fc.constantFrom(...words, ...more), fc.string({ maxLength: 9 })), {
      maxLength: 24,
    });
    await fc.assert(
      fc.asyncProperty(bytes, async (parts) => {
        const answer = await send(server, parts.join(''));
        expect(answer === '' || answer.startsWith('HTTP/1.1 ')).toBe(true);
        expect(answer).not.toContain('"rest/internal"');
      }),
      { numRuns: 200 },
    );
    expect((await ask(server, '/healthz')).status).toBe(200);
    expect(logged.filter(({ level }) => level !== 'info')).toEqual([]);
  });

  it('does not answer in place of a request that is being answered', async () => {
    const service = new FakeTunService();
    service.list = () => new Promise(() => {});
    const server = await start({ api: tunRoutes(service) });
    await expect(exchange(server, 'GET /tun HTTP/1.1\r\nHost: localhost\r\n\r\nnonsense\r\n\r\n')).resolves.toBe('');
  });
});

describe('a client that has ended its side', () => {
  it('still gets the answer', async () => {
    const server = await start();
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true }, () =>
        socket.end('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'),
      );
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      socket.on('end', () => resolve(text));
    });
    expect(answer).toMatch(/^HTTP\/1\.1 200 [\s\S]*"ok"/);
  });
});

describe('a service that fails', () => {
  const failWith = async (failure: Error): Promise<Answer> => {
    const service = new FakeTunService();
    service.failure = failure;
    return ask(await start({ api: tunRoutes(service) }), '/tun');
  };

  it.each([
    ['tun/bad-address', 400],
    ['tun/in-use', 409],
    ['tun/unknown-owner', 422],
    ['interface/kernel-refused', 500],
    ['allocation/exhausted', 507],
  ] as const)('with %s answers %i in its own words', async (code, status) => {
    const answer = await failWith(new TailnetError(code, 'In its own words'));
    expect(answer.status).toBe(status);
    expect(expectProblem(answer, code)).toBe('In its own words');
  });

  it('in a way nobody knows tells nothing but the log', async () => {
    for (const failure of [new Error('a secret'), new TailnetError('state/corrupt', 'a secret')]) {
      const answer = await failWith(failure);
      expectProblem(answer, 'rest/internal');
      expect(answer.text).not.toContain('secret');
      expect(logged.at(-1)).toMatchObject({
        level: 'error',
        fields: { path: '/tun', status: 500, code: 'rest/internal' },
      });
      expect(logged.at(-1)?.fields['reason']).toContain('a secret');
    }
  });

  it('again and again gets one line a second, which counts the others', async () => {
    const service = new FakeTunService();
    service.failure = new TailnetError('allocation/exhausted', 'x');
    let nowMs = 0;
    const server = await start({ api: tunRoutes(service), nowMs: () => nowMs });
    for (const atMs of [0, 1, 999, 1_000, 1_999, 2_000]) {
      nowMs = atMs;
      expect((await ask(server, '/tun')).status).toBe(507);
    }
    expect(logged.map(({ level, fields }) => [level, fields['user'], fields['leftOut']])).toEqual([
      ['warn', undefined, 0],
      ['warn', undefined, 2],
      ['warn', undefined, 1],
    ]);
  });

  it('to answer in time is called busy, and its end is logged', async () => {
    const service = new FakeTunService();
    let finish = () => {};
    const slow = new Promise<void>((resolve) => {
      finish = resolve;
    });
    service.delete = () => slow;
    const server = await start({ api: tunRoutes(service), answerTimeoutMs: 20 });
    const answer = await ask(server, '/tun/tun0', { method: 'DELETE' });
    expectProblem(answer, 'rest/busy');
    expect(answer.headers['retry-after']).toBe('1');
    expect((await ask(server, '/metrics')).text).toContain('heddle_rest_requests_in_work 2\n');
    finish();
    expect((await ask(server, '/metrics')).text).toContain('heddle_rest_requests_in_work 1\n');
    expect(logged.map(({ message }) => message)).toEqual(['A request failed', 'A late request was done']);
  });

  it('to end leaves room for 64 requests', async () => {
    const service = new FakeTunService();
    let finish = (_list: []) => {};
    const list = new Promise<[]>((resolve) => {
      finish = resolve;
    });
    let count = 0;
    let filled = () => {};
    const isFull = new Promise<void>((resolve) => {
      filled = resolve;
    });
    service.list = () => {
      if (++count === 64) filled();
      return list;
    };
    const server = await start({ api: tunRoutes(service) });
    const waiting = Array.from({ length: 64 }, () => ask(server, '/tun'));
    await isFull;
    expectProblem(await ask(server, '/tun'), 'rest/busy');
    expectProblem(await ask(server, '/nothing'), 'rest/no-such-path');
    finish([]);
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual(Array(64).fill(200));
    expect((await ask(server, '/tun')).status).toBe(200);
  });
});

describe('the log', () => {
  it('has changes with who asked, and nothing of reading', async () => {
    const server = await start();
    await ask(server, '/tun');
    await ask(server, '/nothing');
    await post(server, '/tun?a=%0a', { name: 'a' });
    await post(server, '/tun', { name: 'a' });
    await ask(server, '/tun/a', { method: 'DELETE' });
    expect(logged).toEqual([
      {
        level: 'info',
        message: 'Interfaces were changed',
        fields: { user: 0, method: 'POST', path: '/tun?a=%0a', status: 200 },
      },
      {
        level: 'info',
        message: 'Interfaces were changed',
        fields: { user: 0, method: 'DELETE', path: '/tun/a', status: 204 },
      },
    ]);
  });

  it('has no more of a path than it needs', async () => {
    const server = await start();
    await post(server, `/tun?x=${'x'.repeat(4_000)}`, {});
    expect(String(logged[0]?.fields['path'])).toHaveLength(200);
  });
});

describe('the paths that every server has', () => {
  it('tell health and counts', async () => {
    const server = await start();
    await post(server, '/tun', {});
    await ask(server, '/tun');
    await ask(server, '/nothing');
    const { text, headers } = await ask(server, '/metrics');
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(text).toContain('heddle_rest_requests_total{method="GET",route="/tun",status="200"} 1\n');
    expect(text).toContain('heddle_rest_requests_total{method="",route="none",status="404"} 1\n');
    expect(text).toContain('heddle_rest_interfaces 1\n');
    expect(text).toMatch(/^heddle_rest_resident_bytes [1-9]\d+$/m);
    expect(text).toContain('heddle_rest_uptime_seconds 0\n');
    for (const line of text.trimEnd().split('\n')) expect(line).toMatch(/^(# (HELP|TYPE) heddle_rest_|heddle_rest_)/);
  });

  it('leave out of the counts what the kernel does not tell', async () => {
    const service = new FakeTunService();
    service.failure = new TailnetError('interface/kernel-refused', 'x');
    const { status, text } = await ask(await start({ api: tunRoutes(service) }), '/metrics');
    expect([status, text.includes('heddle_rest_interfaces')]).toEqual([200, false]);
  });
});

describe('listening', () => {
  const occupied: Server[] = [];
  afterEach(() => Promise.all(occupied.splice(0).map((server) => new Promise((resolve) => server.close(resolve)))));
  const occupy = (host: string) =>
    new Promise<number>((resolve, reject) => {
      const server = createServer().on('error', reject);
      occupied.push(server);
      server.listen(0, host, () => resolve((server.address() as { port: number }).port));
    });

  it('at a port that another program has is refused, on either address', async () => {
    await expect(start({ port: await occupy('127.0.0.1') })).rejects.toMatchObject({ code: 'rest/port-in-use' });
    const port = await occupy('::1').catch(() => undefined);
    if (port === undefined) return;
    await expect(start({ port })).rejects.toMatchObject({ code: 'rest/port-in-use' });
    await expect(start({ port })).rejects.toThrow(`Another program listens on [::1]:${port}`);
  });
});

describe('closing', () => {
  const connected = (port: number) =>
    new Promise<Socket>((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1' }, () => resolve(socket));
      socket.on('error', reject);
    });

  it('ends connections that are idle, slow with the header or slow with the body', async () => {
    const server = await start();
    const sockets = await Promise.all([0, 1, 2, 3].map(() => connected(server.port)));
    const head =
      'POST /tun HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{';
    for (const [i, text] of ['', 'GET /tun HT', head, 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'].entries()) {
      sockets[i]?.write(text);
    }
    await new Promise((resolve) => sockets[3]?.once('data', resolve));
    const ended = sockets.map((socket) => new Promise((resolve) => socket.resume().on('close', resolve)));
    await server.close();
    await Promise.all(ended);
  });

  it('lets what runs be answered', async () => {
    const service = new FakeTunService();
    let begin = () => {};
    const hasBegun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    let finish = (_list: []) => {};
    service.list = () => {
      begin();
      return new Promise((resolve) => {
        finish = resolve;
      });
    };
    const server = await start({ api: tunRoutes(service) });
    const answer = ask(server, '/tun', { headers: { connection: 'keep-alive' } });
    await hasBegun;
    const closed = server.close();
    await expect(connected(server.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    finish([]);
    expect(await answer).toMatchObject({ status: 200, headers: { connection: 'close' } });
    await closed;
  });

  it('does not wait for what never ends, and may be repeated', async () => {
    const service = new FakeTunService();
    service.list = () => new Promise(() => {});
    const server = await start({ api: tunRoutes(service) });
    const answer = ask(server, '/tun').catch((error: NodeJS.ErrnoException) => error.code);
    await connected(server.port);
    await Promise.all([server.close(), server.close()]);
    expect(await answer).toBe('ECONNRESET');
  });
});

describe.skipIf(!hasCurl)('curl (where it is installed)', () => {
  // Not spawnSync: the server is in this process.
  const curl = (...args: string[]) =>
    new Promise<string>((resolve) => {
      execFile('curl', ['-sS', '--max-time', '10', ...args], (error, stdout) => resolve(`${stdout}${error ?? ''}`));
    });

  it('gets what a person would ask for', async () => {
    const server = await start({ api: subnetRoutes(new FakeSubnetService()) });
    const url = `http://localhost:${server.port}`;
    const made = await curl(
      '-X',
      'POST',
      '-H',
      'Content-Type: application/json',
      '-d',
      '{"cidr":"10.1.0.0/24"}',
      `${url}/subnet`,
    );
    expect(JSON.parse(made)).toMatchObject({ network: '10.1.0.0/24' });
    expect(await curl('-d', '{}', `${url}/subnet`)).toContain('"rest/unsupported-type"');
    expect(await curl('-X', 'DELETE', '-w', '%{http_code}', `${url}/subnet/10.1.0.0%2F24`)).toBe('204');
    const big = 'x'.repeat(2_000_000);
    const folder = mkdtempSync('/tmp/heddle-rest-');
    try {
      writeFileSync(`${folder}/big`, big);
      const refused = await curl(
        '-H',
        'Content-Type: application/json',
        '--data-binary',
        `@${folder}/big`,
        `${url}/subnet`,
      );
      expect(refused).toContain('"rest/too-large"');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
