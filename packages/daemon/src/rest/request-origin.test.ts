import { describe, expect, it } from 'vitest';
import { ask, exchange, expectProblem, start } from '../../test/rest-client.ts';

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
