import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeSubnetService, FakeTunService } from '../../test/fake-interfaces.ts';
import { ask, expectProblem, logged, post, start } from '../../test/rest-client.ts';
import { subnetShape, tunShape } from '../schema/interface-api.ts';
import { listOf } from '../schema/shape.ts';
import { subnetRoutes, tunRoutes } from './interface-routes.ts';

const hasCurl = spawnSync('curl', ['--version']).status === 0;

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

describe('free networks', () => {
  it('are looked for by two requests at a time, also after some have failed', async () => {
    const service = new FakeSubnetService();
    const waiting: (() => void)[] = [];
    let fill = () => {};
    service.listFree = () =>
      new Promise((_resolve, reject) => {
        if (waiting.push(() => reject(new TailnetError('allocation/exhausted', 'x'))) === 2) fill();
      });
    const server = await start({ api: subnetRoutes(service) });
    for (let round = 0; round < 2; round++) {
      const isFull = new Promise<void>((resolve) => {
        fill = resolve;
      });
      const two = [ask(server, '/subnet/free'), ask(server, '/subnet/free')];
      await isFull;
      const third = await ask(server, '/subnet/free');
      expectProblem(third, 'rest/busy');
      expect(third.headers['retry-after']).toBe('1');
      expect((await ask(server, '/subnet')).status).toBe(200);
      for (const fail of waiting.splice(0)) fail();
      for (const answer of await Promise.all(two)) expectProblem(answer, 'allocation/exhausted');
    }
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
