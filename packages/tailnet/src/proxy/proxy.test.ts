import { createServer, Socket } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { FakeNode } from '../../test/fake-node.ts';
import { RawClient } from '../../test/raw-client.ts';
import { ConnectionLog } from './connection-log.ts';
import { createCredentials, isBasicAccepted } from './credentials.ts';
import { HandshakeDeadlines } from './handshake-deadlines.ts';
import { type Proxy as RunningProxy, startProxy } from './proxy.ts';

const node = new FakeNode({});
const proxies: RunningProxy[] = [];
const log = (): void => undefined;
afterEach(async () => {
  for (const proxy of proxies.splice(0)) await proxy.close();
});

describe('startProxy', () => {
  test('listens on both families of loopback', async () => {
    for (const listen of ['127.0.0.1:0', '[::1]:0', 'localhost:0']) {
      const proxy = await startProxy(node, { listen, log });
      proxies.push(proxy);
      expect(proxy.address).toMatch(/^(127\.0\.0\.1|\[::1\]):[1-9]\d*$/);
      (await RawClient.connect(proxy.address)).socket.destroy();
    }
  });
  test('without a token does not listen where others could enter', async () => {
    for (const listen of ['0.0.0.0:0', '[::]:0', '192.0.2.1:80']) {
      await expect(startProxy(node, { listen, log })).rejects.toMatchObject({ code: 'proxy/not-loopback' });
    }
    proxies.push(await startProxy(node, { listen: '0.0.0.0:0', token: 'secret', log }));
  });
  test('says who to ask when the address is in use', async () => {
    const first = await startProxy(node, { listen: '127.0.0.1:0', log });
    proxies.push(first);
    const second = startProxy(node, { listen: first.address, log });
    await expect(second).rejects.toMatchObject({ code: 'proxy/address-in-use' });
    await expect(second).rejects.toThrow(`Address ${first.address} is in use`);
  });
  test('an address that is not ours is a listen failure', async () => {
    const started = startProxy(node, { listen: '192.0.2.1:80', token: 't', log });
    await expect(started).rejects.toMatchObject({ code: 'proxy/listen-failed' });
  });
  test('closing resets clients that have not said anything yet', async () => {
    const proxy = await startProxy(node, { listen: '127.0.0.1:0', log });
    const client = await RawClient.connect(proxy.address);
    // The connection is accepted once something else was.
    await new Promise((resolve) => setImmediate(resolve));
    await proxy.close();
    await client.fate();
    await expect(RawClient.connect(proxy.address)).rejects.toThrow('ECONNREFUSED');
  });
  test('the port is free again after closing', async () => {
    const proxy = await startProxy(node, { listen: '127.0.0.1:0', log });
    await proxy.close();
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(Number(proxy.address.split(':')[1]), '127.0.0.1', resolve);
    });
    server.close();
  });
});

describe('handshake deadlines', () => {
  test('close a socket in time, unless it was cleared or armed again', () => {
    vi.useFakeTimers();
    try {
      const deadlines = new HandshakeDeadlines();
      const [silent, done, again] = [new Socket(), new Socket(), new Socket()];
      for (const socket of [silent, done, again]) deadlines.arm(socket, 1000);
      vi.advanceTimersByTime(999);
      deadlines.clear(done);
      deadlines.arm(again, 1000);
      expect(silent.destroyed).toBe(false);
      vi.advanceTimersByTime(1);
      expect([silent.destroyed, done.destroyed, again.destroyed]).toEqual([true, false, false]);
      vi.advanceTimersByTime(999);
      expect(again.destroyed).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('credentials', () => {
  test('without a token there are none', () => {
    expect(createCredentials(undefined, undefined)).toBeUndefined();
    expect(createCredentials('user', undefined)).toBeUndefined();
  });
  test('user and token must both match, the user only if one is set', () => {
    const both = createCredentials('alice', 'secret');
    expect(both?.isAccepted('alice', 'secret')).toBe(true);
    for (const [user, token] of [
      ['alice', 'secre'],
      ['alice', ''],
      ['', 'secret'],
      ['Alice', 'secret'],
      ['secret', 'alice'],
    ]) {
      expect(both?.isAccepted(user as string, token as string)).toBe(false);
    }
    expect(createCredentials(undefined, 'secret')?.isAccepted('anyone', 'secret')).toBe(true);
    expect(createCredentials(undefined, 'secret')?.isAccepted('secret', 'anyone')).toBe(false);
  });
  test('Basic authorization', () => {
    const credentials = createCredentials('alice', 'se:crét');
    if (credentials === undefined) throw new Error('a token was set');
    const basic = (text: string) => Buffer.from(text).toString('base64');
    expect(isBasicAccepted(credentials, `Basic ${basic('alice:se:crét')}`)).toBe(true);
    expect(isBasicAccepted(credentials, `basic  ${basic('alice:se:crét')}`)).toBe(true);
    for (const header of [
      undefined,
      '',
      'Basic',
      `Bearer ${basic('alice:se:crét')}`,
      `Basic ${basic('alice')}`,
      'Basic !!!!',
      `Basic ${basic(':')}`,
    ]) {
      expect(isBasicAccepted(credentials, header)).toBe(false);
    }
  });
});

describe('connection log', () => {
  test('gives the newest first and forgets beyond 256', () => {
    const connections = new ConnectionLog();
    expect(connections.recent(10)).toEqual([]);
    for (let i = 0; i < 300; i++) connections.open('socks5', `host:${i}`);
    expect(connections.recent(3).map(({ target }) => target)).toEqual(['host:299', 'host:298', 'host:297']);
    expect(connections.recent(1000).length).toBe(256);
    expect(connections.recent(1000).at(-1)?.target).toBe('host:44');
    expect(connections.recent(0)).toEqual([]);
    expect(connections.recent(-1)).toEqual([]);
  });
  test('the first outcome stays', () => {
    const connections = new ConnectionLog();
    const connection = connections.open('http', 'web:80');
    expect(connections.recent(1)[0]).toMatchObject({ outcome: 'open', kind: 'http', sentBytes: 0, receivedBytes: 0 });
    connection.finish('reset');
    connection.finish('closed');
    expect(connections.recent(1)[0]?.outcome).toBe('reset');
  });
});
