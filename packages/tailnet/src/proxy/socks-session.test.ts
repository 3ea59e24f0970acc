import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEchoServer, FakeNode, listenOnLoopback } from '../../test/fake-node.ts';
import { RawClient } from '../../test/raw-client.ts';
import { type Proxy as RunningProxy, startProxy } from './proxy.ts';

const GREETING = [5, 1, 0];
const SELECTED = Buffer.from([5, 0]);

let node: FakeNode;
let proxy: RunningProxy;
let echoPort: number;
const closers: (() => unknown)[] = [];

beforeEach(async () => {
  node = new FakeNode({ echo: '127.0.0.1', '127.0.0.1': '127.0.0.1', '::1': '127.0.0.1' });
  const echo = createEchoServer();
  echoPort = await listenOnLoopback(echo);
  closers.push(() => echo.close());
  await start({});
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function start(options: { user?: string; token?: string }): Promise<void> {
  proxy = await startProxy(node, { listen: '127.0.0.1:0', log: () => undefined, ...options });
  const { close } = proxy;
  closers.unshift(close);
}

function request(command: number, host: string, port: number): Buffer {
  return Buffer.from([5, command, 0, 3, host.length, ...Buffer.from(host), port >> 8, port & 0xff]);
}

async function readReply(client: RawClient): Promise<number> {
  const reply = await client.read(10);
  expect([reply[0], reply[2], reply[3]]).toEqual([5, 0, 1]);
  return reply[1] as number;
}

describe('SOCKS5 CONNECT', () => {
  test('greeting, request and payload in one segment', async () => {
    const client = await RawClient.connect(proxy.address);
    client.send(GREETING, request(1, 'echo', echoPort), 'payload');
    expect(await client.read(2)).toEqual(SELECTED);
    expect(await readReply(client)).toBe(0);
    expect((await client.read(7)).toString()).toBe('payload');
    client.send('more');
    client.socket.end();
    expect(await client.readToEnd()).toBe('more');
    await expect
      .poll(() => proxy.recentConnections(1)[0])
      .toMatchObject({
        kind: 'socks5',
        target: `echo:${echoPort}`,
        sentBytes: 11,
        receivedBytes: 11,
        outcome: 'closed',
      });
  });
  test('one byte at a time', async () => {
    const client = await RawClient.connect(proxy.address);
    await client.sendByteWise(Buffer.concat([Buffer.from(GREETING), request(1, 'echo', echoPort), Buffer.from('xyz')]));
    expect(await client.read(2)).toEqual(SELECTED);
    expect(await readReply(client)).toBe(0);
    expect((await client.read(3)).toString()).toBe('xyz');
    client.socket.destroy();
  });
  test('addresses of both families', async () => {
    for (const address of [
      [1, 127, 0, 0, 1],
      [4, ...new Array<number>(15).fill(0), 1],
    ]) {
      const client = await RawClient.connect(proxy.address);
      client.send(GREETING, [5, 1, 0, ...address, echoPort >> 8, echoPort & 0xff], 'hi');
      await client.read(2);
      expect(await readReply(client)).toBe(0);
      expect((await client.read(2)).toString()).toBe('hi');
      client.socket.destroy();
    }
    expect(node.dialled).toEqual([`127.0.0.1 ${echoPort}`, `::1 ${echoPort}`]);
  });
  test('the answer says why a dial failed, and then the connection ends', async () => {
    const cases = [
      ['dial/unknown-host', 4],
      ['dial/no-route', 3],
      ['dial/refused', 5],
      ['dial/timeout', 6],
      ['dial/closed', 1],
      ['dial/other', 1],
    ] as const;
    for (const [code, reply] of cases) {
      node.failure = code;
      const client = await RawClient.connect(proxy.address);
      client.send(GREETING, request(1, 'echo', echoPort), 'payload that nobody reads');
      await client.read(2);
      expect(await readReply(client)).toBe(reply);
      expect(await client.fate()).toBe('ended');
      client.socket.destroy();
      expect(proxy.recentConnections(1)[0]?.outcome).toBe(code);
    }
  });
  test('a reset of the target reaches the client', async () => {
    const server = createServer((socket: Socket) => socket.once('data', () => socket.resetAndDestroy()));
    const port = await listenOnLoopback(server);
    closers.push(() => server.close());
    const client = await RawClient.connect(proxy.address);
    client.send(GREETING, request(1, 'echo', port), 'x');
    await client.read(12);
    expect(await client.fate()).toBe('reset');
    expect(proxy.recentConnections(1)[0]?.outcome).toBe('reset');
  });
});

describe('SOCKS5 refusals', () => {
  test.each([
    ['BIND', [5, 2, 0, 1, 127, 0, 0, 1, 0, 80], 7],
    ['an unknown command', [5, 9, 0, 1, 127, 0, 0, 1, 0, 80], 7],
    ['an unknown address type', [5, 1, 0, 2, 127, 0, 0, 1, 0, 80], 8],
    ['a name that is none', [5, 1, 0, 3, 2, 0x0a, 0x0a, 0, 80], 4],
  ])('%s', async (_, bytes, reply) => {
    const client = await RawClient.connect(proxy.address);
    client.send(GREETING, bytes);
    await client.read(2);
    expect(await readReply(client)).toBe(reply);
    expect(await client.fate()).toBe('ended');
    client.socket.destroy();
    expect(node.dialled).toEqual([]);
  });
  test('a client that leaves in the middle of the handshake costs nothing', async () => {
    const whole = Buffer.concat([Buffer.from(GREETING), request(1, 'echo', echoPort)]);
    for (let end = 0; end < whole.length; end++) {
      const client = await RawClient.connect(proxy.address);
      client.send(whole.subarray(0, end));
      client.socket.end();
      await client.fate();
    }
    expect(node.dialled).toEqual([]);
  });
  test('a request of another version is not answered', async () => {
    const client = await RawClient.connect(proxy.address);
    client.send(GREETING, [4, 1, 0, 1, 127, 0, 0, 1, 0, 80]);
    await client.read(2);
    await client.fate();
    expect(node.dialled).toEqual([]);
  });
});

describe('SOCKS5 with a token', () => {
  const login = (user: string, token: string) => [
    1,
    user.length,
    ...Buffer.from(user),
    token.length,
    ...Buffer.from(token),
  ];

  test('the right user and token enter', async () => {
    await start({ user: 'alice', token: 'secret' });
    const client = await RawClient.connect(proxy.address);
    client.send([5, 2, 0, 2], login('alice', 'secret'), request(1, 'echo', echoPort), 'hi');
    expect(await client.read(4)).toEqual(Buffer.from([5, 2, 1, 0]));
    expect(await readReply(client)).toBe(0);
    expect((await client.read(2)).toString()).toBe('hi');
    client.socket.destroy();
  });
  test('a wrong one does not', async () => {
    await start({ user: 'alice', token: 'secret' });
    for (const [user, token] of [
      ['alice', 'wrong'],
      ['bob', 'secret'],
      ['', ''],
    ]) {
      const client = await RawClient.connect(proxy.address);
      client.send([5, 1, 2], login(user as string, token as string), request(1, 'echo', echoPort));
      expect(await client.read(4)).toEqual(Buffer.from([5, 2, 1, 1]));
      expect(await client.fate()).toBe('ended');
      client.socket.destroy();
    }
    expect(node.dialled).toEqual([]);
  });
  test('a client that offers no login is refused', async () => {
    await start({ token: 'secret' });
    const client = await RawClient.connect(proxy.address);
    client.send(GREETING, request(1, 'echo', echoPort));
    expect(await client.read(2)).toEqual(Buffer.from([5, 0xff]));
    expect(await client.fate()).toBe('ended');
    expect(node.dialled).toEqual([]);
  });
  test('without a token a client may log in as it likes', async () => {
    const client = await RawClient.connect(proxy.address);
    client.send([5, 1, 2], login('any', 'thing'), request(1, 'echo', echoPort));
    expect(await client.read(4)).toEqual(Buffer.from([5, 2, 1, 0]));
    expect(await readReply(client)).toBe(0);
    client.socket.destroy();
  });
});

describe('SOCKS5 UDP ASSOCIATE', () => {
  async function associate(): Promise<{ control: RawClient; relayPort: number }> {
    const control = await RawClient.connect(proxy.address);
    control.send(GREETING, [5, 3, 0, 1, 0, 0, 0, 0, 0, 0]);
    await control.read(2);
    const reply = await control.read(10);
    expect([...reply.subarray(0, 8)]).toEqual([5, 0, 0, 1, 127, 0, 0, 1]);
    return { control, relayPort: reply.readUInt16BE(8) };
  }

  async function startEcho(): Promise<{ port: number; socket: ReturnType<typeof createSocket> }> {
    const socket = createSocket('udp4');
    socket.on('message', (data, from) => socket.send(`re: ${data}`, from.port, from.address));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    closers.push(() => socket.close());
    return { port: socket.address().port, socket };
  }

  async function startClient(): Promise<ReturnType<typeof createSocket>> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    closers.push(() => socket.close());
    return socket;
  }

  const header = (port: number) => Buffer.from([0, 0, 0, 3, 4, ...Buffer.from('echo'), port >> 8, port & 0xff]);

  test('datagrams go out by name and come back by address', async () => {
    const { control, relayPort } = await associate();
    const [echo, client] = [await startEcho(), await startClient()];
    client.send(Buffer.concat([header(echo.port), Buffer.from('ping')]), relayPort, '127.0.0.1');
    const [answer] = (await once(client, 'message')) as [Buffer];
    expect(answer).toEqual(
      Buffer.concat([
        Buffer.from([0, 0, 0, 1, 127, 0, 0, 1, echo.port >> 8, echo.port & 0xff]),
        Buffer.from('re: ping'),
      ]),
    );
    expect(proxy.recentConnections(1)[0]).toMatchObject({
      kind: 'socks5-udp',
      target: `echo:${echo.port}`,
      sentBytes: 4,
      receivedBytes: 8,
      outcome: 'open',
    });
    control.socket.end();
    expect(await control.fate()).toBe('ended');
    await expect.poll(() => proxy.recentConnections(1)[0]?.outcome).toBe('closed');
  });
  test('fragments, unknown names, nonsense and other clients are dropped', async () => {
    const { control, relayPort } = await associate();
    const [echo, client, stranger] = [await startEcho(), await startClient(), await startClient()];
    const fragment = Buffer.concat([header(echo.port), Buffer.from('fragment')]);
    fragment[2] = 1;
    client.send(fragment, relayPort, '127.0.0.1');
    client.send(Buffer.from([0, 0, 0, 3, 4, ...Buffer.from('nope'), 0, 53, 1]), relayPort, '127.0.0.1');
    client.send(Buffer.from([1, 2, 3]), relayPort, '127.0.0.1');
    client.send(Buffer.concat([header(echo.port), Buffer.from('good')]), relayPort, '127.0.0.1');
    const [answer] = (await once(client, 'message')) as [Buffer];
    expect(answer.subarray(10).toString()).toBe('re: good');
    stranger.send(Buffer.concat([header(echo.port), Buffer.from('stranger')]), relayPort, '127.0.0.1');
    client.send(Buffer.concat([header(echo.port), Buffer.from('again')]), relayPort, '127.0.0.1');
    const [second] = (await once(client, 'message')) as [Buffer];
    expect(second.subarray(10).toString()).toBe('re: again');
    expect(proxy.recentConnections(1)[0]?.sentBytes).toBe(9);
    control.socket.destroy();
  });
});
