import { connect } from 'node:net';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeTunService } from '../../test/fake-interfaces.ts';
import { type Answer, ask, exchange, expectProblem, logged, post, send, start } from '../../test/rest-client.ts';
import { tunRoutes } from './interface-routes.ts';

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

describe('bodies that do not come', () => {
  it('take no room from other requests', async () => {
    const server = await start();
    const head =
      'POST /tun HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{';
    const sockets = Array.from({ length: 70 }, () => connect({ port: server.port, host: '127.0.0.1' }));
    await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.write(head, () => resolve()))));
    for (let i = 0; i < 20; i++) expect((await ask(server, '/healthz')).status).toBe(200);
    expect((await ask(server, '/metrics')).text).toContain('heddle_rest_requests_in_work 1\n');
    for (const socket of sockets) socket.destroy();
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
