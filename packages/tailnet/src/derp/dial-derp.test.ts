import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { PACKET_SLOT_BYTES, PacketArena } from '@heddle/proto/bytes/packet-arena';
import type { DerpNode } from '@heddle/proto/control/derp-map';
import { nobleProvider } from '@heddle/proto/crypto/noble-provider';
import { DerpClient } from '@heddle/proto/derp/derp-client';
import { generatePrivateKey } from '@heddle/proto/keys/private-key';
import { afterEach, describe, expect, test } from 'vitest';
import { listen, type RelayFixture, relayNode, startRelayFixture } from '../../test/relay-fixture.ts';
import pem from '../../test/vectors/derp/certificates.json' with { type: 'json' };
import { nodeRng } from '../crypto/node-provider.ts';
import { type DerpConnection, type DialOptions, dialDerp } from './dial-derp.ts';

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function relay(o: Parameters<typeof startRelayFixture>[0] = {}): Promise<RelayFixture> {
  const fixture = await startRelayFixture(o);
  cleanups.push(() => fixture.close());
  return fixture;
}

/** A TCP server that does something else with each connection. */
async function server(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const listening: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  cleanups.push(() => {
    listening.close();
    for (const socket of sockets) socket.destroy();
  });
  return listen(listening);
}

async function closedPort(): Promise<number> {
  const listening = createServer();
  const port = await listen(listening);
  listening.close();
  await once(listening, 'close');
  return port;
}

/** The node reached, or the code of the failure, and what each node before it failed with. */
async function dial(nodes: readonly DerpNode[], o: Partial<DialOptions> = {}) {
  const failures: string[] = [];
  const arena = new PacketArena(new Uint8Array(4 * PACKET_SLOT_BYTES));
  const nodeKey = generatePrivateKey('node', nobleProvider, nodeRng);
  let connection: DerpConnection | undefined;
  let code = '';
  try {
    connection = await dialDerp({
      nodes,
      idealNode: nodes[0]?.name,
      controlUrl: 'https://control.example',
      tlsCa: undefined,
      environment: {},
      timeoutMs: 10_000,
      createClient: () => new DerpClient({ arena, nodeKey, crypto: nobleProvider, rng: nodeRng, isHome: true }),
      onNodeFailure: (_node, error) => failures.push(error.code),
      signal: new AbortController().signal,
      ...o,
    });
    const { socket } = connection;
    cleanups.push(() => void socket.destroy());
  } catch (error) {
    code = (error as { code: string }).code;
  }
  return { connection, code, failures };
}

describe('one node', () => {
  test('plain HTTP: logged in, the socket paused', async () => {
    const { port } = await relay();
    const { connection } = await dial([relayNode(port)], { environment: { HEDDLE_DERP_HTTP: '1' } });
    expect(connection?.client.isReady).toBe(true);
    expect(connection?.socket.isPaused()).toBe(true);
  });

  test('TLS with an additional authority', async () => {
    const { port } = await relay({ tls: { key: pem.key, cert: pem.issued } });
    const node = relayNode(port, { isInsecureForTests: false });
    expect(await dial([node])).toMatchObject({ code: 'derp/tls-certificate' });
    expect((await dial([node], { tlsCa: pem.authority })).connection?.client.isReady).toBe(true);
  });

  test('a test node on loopback without TLS is reached all the same', async () => {
    const { port } = await relay();
    expect((await dial([relayNode(port)])).connection?.client.isReady).toBe(true);
    expect(await dial([relayNode(port, { isInsecureForTests: false })])).toMatchObject({ code: 'derp/not-tls' });
  });

  test('the upgrade names the host, and the port when it is not the usual one', async () => {
    const { port, server: http } = await relay();
    const seen = once(http, 'upgrade') as Promise<[IncomingMessage]>;
    await dial([relayNode(port, { hostName: 'relay.test' })], { environment: { HEDDLE_DERP_HTTP: '1' } });
    const [{ headers, method, url }] = await seen;
    expect({ method, url }).toEqual({ method: 'GET', url: '/derp' });
    expect(headers).toMatchObject({ host: `relay.test:${port}`, upgrade: 'DERP', connection: 'Upgrade' });
    expect(headers['ideal-node']).toBeUndefined();
  });

  test('a fixed address spares DNS, and a disabled family is not tried', async () => {
    const { port } = await relay();
    const node = relayNode(port, { hostName: 'does-not-exist.invalid' });
    expect((await dial([node])).connection).toBeDefined();
    expect(await dial([{ ...node, ipv4: 'none' }])).toMatchObject({ code: 'derp/unreachable' });
  });

  test('a host name is looked up', async () => {
    const { port } = await relay();
    expect((await dial([relayNode(port, { hostName: 'localhost', ipv4: '', ipv6: '' })])).connection).toBeDefined();
  });
});

describe('failures by code', () => {
  test('derp/refused', async () => {
    expect(await dial([relayNode(await closedPort())])).toMatchObject({ code: 'derp/refused' });
  });

  test('derp/no-nodes', async () => {
    expect(await dial([])).toMatchObject({ code: 'derp/no-nodes' });
  });

  test('derp/not-authorised when the relay closes instead of letting us in', async () => {
    const { port } = await relay({ isAllowed: () => false });
    expect(await dial([relayNode(port)])).toMatchObject({ code: 'derp/not-authorised' });
  });

  test.each([
    ['another status', 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'],
    ['no HTTP', 'SSH-2.0-OpenSSH_9.9\r\n'],
    ['another upgrade', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'],
    [
      'an upgrade to something that is not DERP',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\nhello there, who are you?',
    ],
  ])('derp/not-a-relay for %s', async (_name, text) => {
    const port = await server((socket) => socket.once('data', () => socket.write(text)));
    const { code } = await dial([relayNode(port)], { environment: { HEDDLE_DERP_HTTP: '1' } });
    expect(code).toBe('derp/not-a-relay');
  });

  test.each(['', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n'])(
    'derp/unreachable when the connection ends early: %j',
    async (text) => {
      const port = await server((socket) => socket.once('data', () => socket.end(text)));
      const { code } = await dial([relayNode(port)], { environment: { HEDDLE_DERP_HTTP: '1' } });
      expect(code).toBe('derp/unreachable');
    },
  );

  test.each(['tls', 'plain'])('derp/timeout for a server that accepts and stays silent (%s)', async (transport) => {
    const port = await server(() => {});
    const environment = transport === 'plain' ? { HEDDLE_DERP_HTTP: '1' } : {};
    expect(await dial([relayNode(port)], { environment, timeoutMs: 100 })).toMatchObject({ code: 'derp/timeout' });
  });

  test('derp/closed when the caller gives up', async () => {
    const abort = new AbortController();
    const port = await server(() => abort.abort());
    expect(await dial([relayNode(port)], { signal: abort.signal })).toMatchObject({
      code: 'derp/closed',
      failures: [],
    });
    expect(await dial([relayNode(port)], { signal: abort.signal })).toMatchObject({ code: 'derp/closed' });
  });
});

describe('several nodes', () => {
  test('one that fails in any way is passed over', async () => {
    const good = await relay();
    const silent = await server(() => {});
    const wrongCertificate = await relay({ tls: { key: pem.key, cert: pem.selfSigned } });
    const closed = await relay({ isAllowed: () => false });
    const nodes = [
      relayNode(await closedPort()),
      relayNode(wrongCertificate.port, { isInsecureForTests: false }),
      relayNode(closed.port),
      relayNode(silent),
      relayNode(good.port),
    ];
    const { connection, failures } = await dial(nodes, { timeoutMs: 2000 });
    expect(connection?.node).toBe(nodes[4]);
    expect(failures).toEqual(['derp/refused', 'derp/tls-certificate', 'derp/not-authorised', 'derp/timeout']);
  });

  test('another node than the ideal one hears which that is', async () => {
    const { port, server: http } = await relay();
    const seen = once(http, 'upgrade') as Promise<[IncomingMessage]>;
    await dial([relayNode(await closedPort(), { name: '900a' }), relayNode(port, { name: '900b' })]);
    expect((await seen)[0].headers['ideal-node']).toBe('900a');
  });

  test('when all fail, the error is that of the node that got furthest', async () => {
    const closed = await relay({ isAllowed: () => false });
    const refused = relayNode(await closedPort());
    expect(await dial([relayNode(closed.port), refused])).toMatchObject({ code: 'derp/not-authorised' });
  });
});

test('the first frame is read wherever the segments are cut', async () => {
  const { port } = await relay();
  for (const cut of [20, 129, 130, 170]) {
    // A proxy that cuts the answer after so many bytes.
    const proxy = await server((socket) => {
      const upstream = connect(port, '127.0.0.1');
      upstream.on('error', () => {});
      socket.pipe(upstream);
      let isFirst = true;
      upstream.on('data', (chunk) => {
        if (!isFirst) return void socket.write(chunk);
        isFirst = false;
        socket.setNoDelay(true);
        socket.write(chunk.subarray(0, cut), () => setImmediate(() => socket.write(chunk.subarray(cut))));
      });
    });
    const { connection } = await dial([relayNode(proxy)], { environment: { HEDDLE_DERP_HTTP: '1' } });
    expect(connection?.client.isReady).toBe(true);
  }
});
