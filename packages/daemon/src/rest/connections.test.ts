import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { FakeTunService } from '../../test/fake-interfaces.ts';
import { ask, exchange, logged, start } from '../../test/rest-client.ts';
import { tunRoutes } from './interface-routes.ts';
import type { RestServer } from './rest-server.ts';

const GET = 'GET /tun HTTP/1.1\r\nHost: localhost\r\n\r\n';
const LAST = 'GET /tun HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
const HEAD = 'POST /tun HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n';

const connected = ({ port }: RestServer, host = '127.0.0.1') =>
  new Promise<Socket>((resolve, reject) => {
    const socket = connect({ port, host }, () => resolve(socket));
    socket.on('error', reject);
  });
const ended = (socket: Socket) =>
  new Promise<void>((resolve) => {
    socket.on('error', () => {}).on('close', () => resolve());
    socket.resume();
  });
const statuses = (text: string) => text.match(/HTTP\/1\.1 \d{3}/g) ?? [];

/** A service of which every list waits for `finish`. */
class SlowService extends FakeTunService {
  askedCount = 0;
  #release = () => {};
  readonly #released = new Promise<void>((resolve) => {
    this.#release = resolve;
  });

  override async list(): Promise<[]> {
    this.askedCount++;
    await this.#released;
    return [];
  }

  finish(): void {
    this.#release();
  }
}

/** Until what is counted stays as it is while another client gets many answers. */
async function settled(server: RestServer, count: () => number): Promise<void> {
  for (let before = -1; before !== count(); ) {
    before = count();
    for (let i = 0; i < 50; i++) await ask(server, '/healthz');
  }
}

describe('the requests of one connection', () => {
  it('are answered one at a time, all of them and in their order', async () => {
    const service = new FakeTunService();
    let count = 0;
    let inWork = 0;
    let inWorkMax = 0;
    service.list = async () => {
      inWorkMax = Math.max(inWorkMax, ++inWork);
      await Promise.resolve();
      inWork--;
      return [];
    };
    service.find = async (name) => ({ ...(await service.create({ name }, { uid: 0 })), mtu: count++ });
    const server = await start({ api: tunRoutes(service) });
    expect(statuses(await exchange(server, GET.repeat(199) + LAST))).toEqual(Array(200).fill('HTTP/1.1 200'));
    expect(inWorkMax).toBe(1);
    const finds = Array.from({ length: 200 }, (_, i) => GET.replace('/tun', `/tun/t${i}`)).join('');
    const names = (await exchange(server, finds + LAST)).match(/"name":"t\d+"/g);
    expect(names).toEqual(Array.from({ length: 200 }, (_, i) => `"name":"t${i}"`));
    expect(logged).toEqual([]);
  });

  it('go on after the client has read, however often', async () => {
    const server = await start();
    const socket = await connected(server);
    for (let round = 0; round < 5; round++) {
      let text = '';
      await new Promise<void>((resolve) => {
        const take = (chunk: Buffer) => {
          text += chunk.toString();
          if (statuses(text).length < 100) return;
          socket.off('data', take);
          resolve();
        };
        socket.on('data', take);
        socket.write(GET.repeat(100));
      });
      expect(statuses(text)).toEqual(Array(100).fill('HTTP/1.1 200'));
    }
    socket.destroy();
  });

  it('are not begun while the client takes no answers', async () => {
    const service = new FakeTunService();
    let count = 0;
    // Half a mebibyte: the system takes some of them for a client that does not read.
    const list = Object.freeze([
      await service.create({ name: 'x' }, { uid: 0 }),
      ...Array(2_048).fill('x'.repeat(250)),
    ]);
    service.list = async () => {
      count++;
      return list;
    };
    const server = await start({ api: tunRoutes(service) });
    const sockets = await Promise.all([0, 1, 2, 3].map(() => connected(server)));
    for (const socket of sockets) socket.pause().write(GET.repeat(199) + LAST);
    await settled(server, () => count);
    expect(count).toBeGreaterThanOrEqual(sockets.length);
    expect(count).toBeLessThan(100 * sockets.length);
    const answers = sockets.map(async (socket) => {
      let answerCount = 0;
      for await (const chunk of socket) answerCount += statuses((chunk as Buffer).toString('latin1')).length;
      return answerCount;
    });
    // A first line may come in two parts.
    for (const answerCount of await Promise.all(answers)) expect(answerCount).toBeGreaterThan(190);
    expect(count).toBe(200 * sockets.length);
  });

  it('are left to the system while others wait', async () => {
    const service = new SlowService();
    const server = await start({ api: tunRoutes(service) });
    const large = GET.replace('\r\n\r\n', `\r\nX: ${'x'.repeat(4_000)}\r\n\r\n`);
    const socket = await connected(server);
    // 32 MB: more than the system takes.
    for (let i = 0; i < 80; i++) socket.write(large.repeat(100));
    socket.write(LAST);
    await settled(server, () => socket.writableLength);
    expect(socket.writableLength).toBeGreaterThan(0);
    expect(service.askedCount).toBe(1);
    service.finish();
    let text = '';
    for await (const chunk of socket) text += chunk;
    expect(statuses(text)).toHaveLength(8_001);
    expect(logged).toEqual([]);
  });

  it('of a client that has gone are not begun', async () => {
    const service = new SlowService();
    const server = await start({ api: tunRoutes(service) });
    const socket = await connected(server);
    socket.write(GET.repeat(10));
    await settled(server, () => service.askedCount);
    // Without the reset, the answers of a client that has ended its side are sent all the same.
    socket.resetAndDestroy();
    await settled(server, () => service.askedCount);
    service.finish();
    expect((await ask(server, '/tun')).status).toBe(200);
    expect(service.askedCount).toBe(2);
  });
});

describe('connections beyond 256', () => {
  it('take the place of those that have done nothing for the longest time', async () => {
    const service = new SlowService();
    const server = await start({ api: tunRoutes(service) });
    const working = exchange(server, LAST);
    await settled(server, () => service.askedCount);
    const idle = await Promise.all(Array.from({ length: 250 }, () => connected(server)));
    const ends: number[] = [];
    for (const [i, socket] of idle.entries()) void ended(socket).then(() => ends.push(i));
    // Connections of a port are taken in their order: then all of them were.
    await ask(server, '/healthz');
    for (let i = 0; i < 10; i++) idle.push(await connected(server, i === 5 && server.hasIpv6 ? '::1' : '127.0.0.1'));
    expect((await ask(server, '/healthz')).status).toBe(200);
    await settled(server, () => ends.length);
    expect(ends.slice(0, 6)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(idle.slice(250).map(({ readyState }) => readyState)).toEqual(Array(10).fill('open'));
    expect(logged.map(({ message }) => message)).toEqual(['A connection was ended']);
    service.finish();
    expect(statuses(await working)).toEqual(['HTTP/1.1 200']);
    for (const socket of idle) socket.destroy();
  });

  it('take the place of those that do not end their request, before any that is worked on', async () => {
    const service = new SlowService();
    const server = await start({ api: tunRoutes(service) });
    const working = Array.from({ length: 20 }, () => exchange(server, LAST));
    await settled(server, () => service.askedCount);
    const bodies = await Promise.all(Array.from({ length: 236 }, () => connected(server)));
    for (const socket of bodies) void ended(socket);
    for (const socket of bodies) socket.write(HEAD);
    for (let i = 0; i < 20; i++) expect((await ask(server, '/healthz')).status).toBe(200);
    service.finish();
    for (const text of await Promise.all(working)) expect(statuses(text)).toEqual(['HTTP/1.1 200']);
    for (const socket of bodies) socket.destroy();
  });

  it('are ended when every other one is worked on', async () => {
    let count = 0;
    let fill = () => {};
    const isFull = new Promise<void>((resolve) => {
      fill = resolve;
    });
    const identify = () => {
      if (++count === 256) fill();
      return new Promise<undefined>(() => {});
    };
    const server = await start({ identify });
    const sockets = await Promise.all(Array.from({ length: 256 }, () => connected(server)));
    for (const socket of sockets) {
      void ended(socket);
      socket.write(`${HEAD}{}`);
    }
    await isFull;
    await expect(ask(server, '/healthz')).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(sockets.map(({ readyState }) => readyState)).toEqual(Array(256).fill('open'));
    expect(logged).toMatchObject([{ fields: { reason: 'Too many connections have a request in work' } }]);
    for (const socket of sockets) socket.destroy();
  });
});
