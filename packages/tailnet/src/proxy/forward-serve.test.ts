import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { createEchoServer, FakeNode, listenOnLoopback } from '../../test/fake-node.ts';
import { RawClient } from '../../test/raw-client.ts';
import type { LogLine } from '../types.ts';
import { startForward } from './forward.ts';
import { type Serve, startServe } from './serve.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function startEcho(): Promise<number> {
  const server = createEchoServer();
  closers.push(() => server.close());
  return await listenOnLoopback(server);
}

/** A port nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listenOnLoopback(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('startForward', () => {
  test('leads to the host and port it was made for', async () => {
    const node = new FakeNode({ db: '127.0.0.1' });
    const forward = await startForward(node, { listen: '127.0.0.1:0', host: 'db', port: await startEcho() });
    closers.push(() => forward.close());
    const client = await RawClient.connect(forward.address);
    client.send('select 1');
    client.socket.end();
    expect(await client.readToEnd()).toBe('select 1');
  });
  test('a dial that fails resets the client and is logged', async () => {
    const lines: LogLine[] = [];
    const node = new FakeNode({});
    const forward = await startForward(node, { listen: '127.0.0.1:0', host: 'db', port: 1 }, (line) =>
      lines.push(line),
    );
    closers.push(() => forward.close());
    expect(await (await RawClient.connect(forward.address)).fate()).toBe('reset');
    expect(lines).toMatchObject([{ level: 'warn', fields: { code: 'dial/unknown-host' } }]);
  });
  test('listens on loopback only, and on free ports only', async () => {
    const node = new FakeNode({});
    const spec = { host: 'db', port: 5432 };
    await expect(startForward(node, { ...spec, listen: '0.0.0.0:0' })).rejects.toMatchObject({
      code: 'proxy/not-loopback',
    });
    const forward = await startForward(node, { ...spec, listen: '127.0.0.1:0' });
    closers.push(() => forward.close());
    await expect(startForward(node, { ...spec, listen: forward.address })).rejects.toMatchObject({
      code: 'proxy/address-in-use',
    });
  });
});

describe('startServe', () => {
  async function start(
    target: { host: string; port: number },
    log?: (line: LogLine) => void,
  ): Promise<{ serve: Serve; address: string }> {
    let server: Server | undefined;
    const node = new FakeNode({});
    const listen = node.listen.bind(node);
    node.listen = (port, onConnection) => {
      const listener = listen(port, onConnection);
      server = listener.server;
      return listener;
    };
    const port = await freePort();
    const serve = startServe(node, { port, target }, log);
    closers.push(() => serve.close());
    await new Promise((resolve) => server?.once('listening', resolve));
    return { serve, address: `127.0.0.1:${port}` };
  }

  test('carries peers to the local service, half-close and all', async () => {
    const { address } = await start({ host: '127.0.0.1', port: await startEcho() });
    const peer = await RawClient.connect(address);
    peer.send('hello');
    peer.socket.end();
    expect(await peer.readToEnd()).toBe('hello');
  });
  test('a service that refuses resets the peer', async () => {
    const lines: LogLine[] = [];
    const { address } = await start({ host: '127.0.0.1', port: await freePort() }, (line) => lines.push(line));
    expect(await (await RawClient.connect(address)).fate()).toBe('reset');
    expect(lines).toMatchObject([{ level: 'warn' }]);
  });
  test('closing stops accepting and resets what goes through it', async () => {
    const { serve, address } = await start({ host: '127.0.0.1', port: await startEcho() });
    const peer = await RawClient.connect(address);
    peer.send('x');
    await peer.read(1);
    await serve.close();
    expect(await peer.fate()).toBe('reset');
    await expect(RawClient.connect(address)).rejects.toThrow('ECONNREFUSED');
  });
});
