import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ask, exchange, expectProblem, JSON_HEADERS, post, start } from '../../test/rest-client.ts';

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

  it('is in no transfer encoding but chunks', async () => {
    const server = await start();
    const askWith = (method: string, encoding: string) =>
      ask(server, '/tun', { method, body: '{}', headers: { ...JSON_HEADERS, 'transfer-encoding': encoding } });
    expect((await askWith('POST', 'Chunked')).status).toBe(200);
    for (const encoding of ['gzip, chunked', 'identity, chunked', 'chunked, chunked', 'x,chunked']) {
      for (const method of ['POST', 'GET']) expectProblem(await askWith(method, encoding), 'rest/bad-request');
    }
    expect(JSON.parse((await ask(server, '/tun')).text)).toHaveLength(1);
  });

  it('has one type', async () => {
    const server = await start();
    const head = 'POST /tun HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n';
    for (const second of ['text/plain', 'application/json']) {
      const types = `Content-Type: application/json\r\ncontent-type: ${second}\r\n`;
      const answer = await exchange(server, `${head}${types}\r\n{}`);
      expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*"rest\/bad-request"/);
    }
  });

  it('that breaks off in bad bytes costs the connection', async () => {
    const server = await start();
    const head = 'POST /tun HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
    const text = await exchange(server, `${head}Transfer-Encoding: chunked\r\n\r\nZZ\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 400 [\s\S]*connection: close[\s\S]*"rest\/bad-request"/i);
  });
});
