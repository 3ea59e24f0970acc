import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEchoServer, createSignal, FakeNode, listenOnLoopback } from '../../test/fake-node.ts';
import { RawClient } from '../../test/raw-client.ts';
import { type Proxy as RunningProxy, startProxy } from './proxy.ts';

let node: FakeNode;
let proxy: RunningProxy;
let web: string;
let requests: { method: string; url: string; rawHeaders: string[]; body: string }[];
let answer: (response: ServerResponse, request: IncomingMessage) => void;
const closers: (() => unknown)[] = [];

beforeEach(async () => {
  node = new FakeNode({ web: '127.0.0.1', 'fd7a::1': '127.0.0.1' });
  requests = [];
  answer = (response) => response.end('hello');
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      requests.push({ method: request.method ?? '', url: request.url ?? '', rawHeaders: request.rawHeaders, body });
      answer(response, request);
    });
  });
  web = `web:${await listen(server)}`;
  await start({});
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function listen(server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  closers.push(() => server.close());
  return await listenOnLoopback(server);
}

async function start(options: { user?: string; token?: string }): Promise<void> {
  proxy = await startProxy(node, { listen: '127.0.0.1:0', log: () => undefined, ...options });
  const { close } = proxy;
  closers.unshift(close);
}

/** Sends a request that ends its connection and returns the whole answer. */
async function exchange(text: string): Promise<string> {
  const client = await RawClient.connect(proxy.address);
  client.send(text);
  const response = await client.readToEnd();
  client.socket.destroy();
  return response;
}

describe('HTTP CONNECT', () => {
  test('carries bytes both ways, those behind the head first', async () => {
    const echo = createEchoServer();
    const port = await listen(echo);
    const client = await RawClient.connect(proxy.address);
    client.send(`CONNECT web:${port} HTTP/1.1\r\nHost: web:${port}\r\n\r\nearly `);
    expect(await client.readUntil('\r\n\r\n')).toBe('HTTP/1.1 200 OK\r\n\r\n');
    client.send('late');
    client.socket.end();
    expect(await client.readToEnd()).toBe('early late');
    await expect
      .poll(() => proxy.recentConnections(1)[0])
      .toMatchObject({
        kind: 'http-connect',
        target: `web:${port}`,
        sentBytes: 10,
        receivedBytes: 10,
        outcome: 'closed',
      });
  });
  test('one byte at a time', async () => {
    const client = await RawClient.connect(proxy.address);
    await client.sendByteWise(Buffer.from(`CONNECT ${web} HTTP/1.1\r\n\r\n`));
    await client.readUntil('\r\n\r\n');
    client.send('GET / HTTP/1.0\r\n\r\n');
    expect(await client.readToEnd()).toContain('hello');
  });
  test('an IPv6 target stands in brackets', async () => {
    const client = await RawClient.connect(proxy.address);
    client.send(`CONNECT [fd7a::1]:${web.slice(4)} HTTP/1.1\r\n\r\n`);
    await client.readUntil('\r\n\r\n');
    expect(node.dialled).toEqual([`fd7a::1 ${web.slice(4)}`]);
    client.socket.destroy();
  });
  test('failures have a status and one line', async () => {
    const cases = [
      ['dial/unknown-host', 502],
      ['dial/no-route', 502],
      ['dial/refused', 502],
      ['dial/timeout', 504],
      ['dial/closed', 503],
    ] as const;
    for (const [code, status] of cases) {
      node.failure = code;
      const response = await exchange(`CONNECT ${web} HTTP/1.1\r\n\r\nignored`);
      expect(response).toContain(`HTTP/1.1 ${status} `);
      expect(response).toMatch(/\r\n\r\n[^\n]*web[^\n]*failed on purpose\n$/);
      expect(proxy.recentConnections(1)[0]).toMatchObject({ outcome: code, target: web });
    }
  });
  test.each(['web', 'web:0', ':80', '[web]:80', 'http://web/', '/'])('a target of "%s" is 400', async (target) => {
    expect(await exchange(`CONNECT ${target} HTTP/1.1\r\n\r\n`)).toContain('HTTP/1.1 400 Bad Request');
    expect(node.dialled).toEqual([]);
  });
});

describe('plain HTTP', () => {
  test('goes out in origin form, with the target as host and without fields of one hop', async () => {
    const response = await exchange(
      `GET http://${web}/a?b=c HTTP/1.1\r\nHost: elsewhere\r\nX-Kept: 1\r\nX-Once: 2\r\nProxy-Connection: keep-alive\r\n` +
        'Proxy-Authorization: Basic c2VjcmV0\r\nConnection: close, X-Once\r\nTE: trailers\r\nUpgrade: websocket\r\n\r\n',
    );
    expect(response).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(response).toMatch(/\r\n\r\nhello$/);
    expect(requests).toMatchObject([{ method: 'GET', url: '/a?b=c', body: '' }]);
    expect(requests[0]?.rawHeaders).toEqual(['Host', web, 'X-Kept', '1', 'Connection', 'keep-alive']);
  });
  test('a body with a length and a chunked one arrive whole', async () => {
    await exchange(`POST http://${web}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\n12345`);
    await exchange(
      `PUT http://${web}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`,
    );
    expect(requests).toMatchObject([
      { method: 'POST', body: '12345' },
      { method: 'PUT', body: 'abcde' },
    ]);
    expect(proxy.recentConnections(2)).toMatchObject([{ sentBytes: 5, receivedBytes: 5 }, { sentBytes: 5 }]);
  });
  test('the answer comes back as it is, repeated fields and all', async () => {
    answer = (response) => {
      response.writeHead(
        404,
        'Gone Fishing',
        [
          ['Set-Cookie', 'a=1'],
          ['Set-Cookie', 'b=2'],
          ['Connection', 'X-Hop'],
          ['X-Hop', '1'],
        ].flat(),
      );
      response.end('no');
    };
    const response = await exchange(`GET http://${web}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(response).toMatch(/^HTTP\/1\.1 404 Gone Fishing\r\n/);
    expect(response).toContain('Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n');
    expect(response).not.toContain('X-Hop');
  });
  test('one client connection reuses its connection to the host and may ask several hosts', async () => {
    const other = createServer((_, response) => response.end('other!'));
    const otherPort = await listen(other);
    const client = await RawClient.connect(proxy.address);
    for (const [target, body] of [
      [web, 'hello'],
      [web, 'hello'],
      [`web:${otherPort}`, 'other!'],
      [web, 'hello'],
    ]) {
      client.send(`GET http://${target}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect(await client.readUntil(body as string)).toContain('HTTP/1.1 200 OK');
    }
    expect(node.dialled).toEqual([`web ${web.slice(4)}`, `web ${otherPort}`]);
    client.socket.destroy();
    await expect.poll(() => node.openConnectionCount).toBe(0);
  });
  test('a hundred requests on one connection leave no listeners behind', async () => {
    const warnings: string[] = [];
    const note = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', note);
    closers.push(() => process.off('warning', note));
    const client = await RawClient.connect(proxy.address);
    for (let i = 0; i < 100; i++) {
      client.send(`GET http://${web}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      await client.readUntil('hello');
    }
    client.socket.destroy();
    await new Promise((resolve) => setImmediate(resolve));
    expect(warnings).toEqual([]);
    expect(node.dialled.length).toBe(1);
  });
  test('clients do not share connections', async () => {
    const clients = [await RawClient.connect(proxy.address), await RawClient.connect(proxy.address)];
    for (const client of clients) {
      client.send(`GET http://${web}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      await client.readUntil('hello');
    }
    expect(node.dialled.length).toBe(2);
    for (const client of clients) client.socket.destroy();
  });
  test('a request on a kept connection that the host has closed is sent again', async () => {
    let connectionCount = 0;
    const server = createTcpServer((socket: Socket) => {
      connectionCount++;
      let isFirst = true;
      socket.on('data', () => {
        // Closes at the second request instead of answering it, as a host whose idle time is over.
        if (!isFirst) socket.destroy();
        else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        isFirst = false;
      });
    });
    const port = await listen(server);
    const client = await RawClient.connect(proxy.address);
    for (let i = 0; i < 2; i++) {
      client.send(`GET http://web:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect(await client.readUntil('ok')).toContain('200 OK');
    }
    expect(connectionCount).toBe(2);
    client.send(`POST http://web:${port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1`);
    expect(await client.readUntil('\r\n\r\n')).toContain('502');
    client.socket.destroy();
  });
  test('a client that ends its half after the request still gets the answer', async () => {
    const client = await RawClient.connect(proxy.address);
    client.send(`GET http://${web}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    client.socket.end();
    expect(await client.readToEnd()).toContain('hello');
  });
  test('HEAD, 204 and 304 have no body and the connection goes on', async () => {
    const client = await RawClient.connect(proxy.address);
    answer = (response, request) => {
      response.statusCode = request.url === '/204' ? 204 : request.url === '/304' ? 304 : 200;
      if (request.method === 'HEAD') response.setHeader('Content-Length', 5);
      response.end();
    };
    for (const line of ['HEAD http://W/', 'GET http://W/204', 'GET http://W/304']) {
      client.send(`${line.replace('W', web)} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await client.readUntil('\r\n\r\n');
    }
    answer = (response) => response.end('last');
    client.send(`GET http://${web}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(await client.readToEnd()).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nlast$/);
  });
  test('an answer that breaks off breaks off for the client', async () => {
    const server = createTcpServer((socket: Socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart', () => socket.resetAndDestroy());
      });
    });
    const port = await listen(server);
    const client = await RawClient.connect(proxy.address);
    client.send(`GET http://web:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    await client.fate();
    await expect.poll(() => proxy.recentConnections(1)[0]?.outcome).toBe('reset');
  });
  test('a client that leaves ends the request', async () => {
    const left = createSignal<void>();
    answer = (response) => {
      response.once('close', () => left.resolve());
      response.write('part');
    };
    const client = await RawClient.connect(proxy.address);
    client.send(`GET http://${web}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    await client.readUntil('part');
    // An end alone may be a half-close; TCP keep-alive tells those who left for good.
    client.socket.resetAndDestroy();
    await left.promise;
    await expect.poll(() => node.openConnectionCount).toBe(0);
  });
  test('a host that refuses is 502 with one line, an unknown one too, and the connection goes on', async () => {
    const client = await RawClient.connect(proxy.address);
    for (const target of ['nope', 'web:1']) {
      client.send(`GET http://${target}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect(await client.readUntil('\r\n\r\n')).toContain('HTTP/1.1 502 Bad Gateway');
      expect(await client.readUntil('\n')).toMatch(/^[^\n]+\n$/);
    }
    expect(proxy.recentConnections(2)).toMatchObject([{ outcome: 'dial/refused' }, { outcome: 'dial/unknown-host' }]);
    client.socket.destroy();
  });
  test('a host that does not speak HTTP is 502', async () => {
    const server = createTcpServer((socket: Socket) => socket.end('SSH-2.0-whatever\r\n'));
    const port = await listen(server);
    expect(await exchange(`GET http://web:${port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).toContain(
      '502 Bad Gateway',
    );
  });
  test.each(['/', '*', 'https://web/', 'http://user@web/'])('a target of "%s" is 400', async (target) => {
    expect(await exchange(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).toContain(
      'HTTP/1.1 400 Bad Request',
    );
    expect(node.dialled).toEqual([]);
  });
  test.each(['\x16\x03\x01\x02\x00', 'nonsense\r\n\r\n', '\x04\x01\x00\x50\x7f\x00\x00\x01\x00'])(
    '%j is no request',
    async (text) => {
      expect(await exchange(text)).toContain('HTTP/1.1 400 Bad Request');
      expect(node.dialled).toEqual([]);
    },
  );
});

describe('HTTP with a token', () => {
  const authorization = (text: string) => `Proxy-Authorization: Basic ${Buffer.from(text).toString('base64')}\r\n`;

  test('is demanded of both kinds of request', async () => {
    await start({ user: 'alice', token: 'secret' });
    for (const field of [
      '',
      authorization('alice:wrong'),
      authorization('bob:secret'),
      'Authorization: Basic YWxpY2U6c2VjcmV0\r\n',
    ]) {
      for (const line of [`GET http://${web}/ HTTP/1.1`, `CONNECT ${web} HTTP/1.1`]) {
        const response = await exchange(`${line}\r\nHost: x\r\nConnection: close\r\n${field}\r\n`);
        expect(response).toContain('HTTP/1.1 407 Proxy Authentication Required\r\n');
        expect(response).toContain('Proxy-Authenticate: Basic realm="heddle"\r\n');
      }
    }
    expect(node.dialled).toEqual([]);
  });
  test('opens both, and does not reach the host', async () => {
    await start({ user: 'alice', token: 'secret' });
    const field = authorization('alice:secret');
    expect(await exchange(`GET http://${web}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${field}\r\n`)).toContain(
      'hello',
    );
    expect(await exchange(`CONNECT ${web} HTTP/1.1\r\n${field}\r\nGET / HTTP/1.0\r\n\r\n`)).toContain('hello');
    expect(JSON.stringify(requests)).not.toContain(Buffer.from('alice:secret').toString('base64'));
  });
});
