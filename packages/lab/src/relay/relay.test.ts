import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { PACKET_SLOT_BYTES, PacketArena } from '@heddle/proto/bytes/packet-arena';
import type { DerpMap, DerpNode } from '@heddle/proto/control/derp-map';
import { nobleProvider } from '@heddle/proto/crypto/noble-provider';
import { generatePrivateKey } from '@heddle/proto/keys/private-key';
import type { NodePublicKey } from '@heddle/proto/keys/public-key';
import { decodeBindingResponse, encodeBindingRequest } from '@heddle/proto/stun/stun';
import { nodeRng } from '@heddle/tailnet/crypto/node-provider';
import { DerpLinks } from '@heddle/tailnet/derp/derp-links';
import { afterEach, describe, expect, test } from 'vitest';
import { startRelay } from './relay.ts';
import { RelayServer } from './relay-server.ts';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function relayOnLoopback(isAllowed?: (key: NodePublicKey) => boolean) {
  const relay = await startRelay({ host: '127.0.0.1', port: 0, stunPort: 0, isAllowed });
  cleanups.push(() => relay.close());
  return relay;
}

function mapOf(port: number): DerpMap {
  const node: DerpNode = {
    name: '900a',
    regionId: 900,
    hostName: '127.0.0.1',
    certName: '',
    ipv4: '127.0.0.1',
    ipv6: 'none',
    derpPort: port,
    stunPort: -1,
    isStunOnly: false,
    isInsecureForTests: false,
  };
  const region = { regionId: 900, code: 'lab', name: 'lab', isNoMeasureNoHome: false, nodes: [node] };
  return { regions: new Map([[900, region]]), regionScore: new Map() };
}

function join(port: number) {
  const arena = new PacketArena(new Uint8Array(512 * PACKET_SLOT_BYTES));
  const nodeKey = generatePrivateKey('node', nobleProvider, nodeRng);
  const received: string[] = [];
  let wake = () => {};
  const links = new DerpLinks({
    arena,
    nodeKey,
    crypto: nobleProvider,
    rng: nodeRng,
    controlUrl: `http://127.0.0.1:${port}`,
    tlsCa: undefined,
    log: () => {},
    onPacket: (_regionId, slot) => {
      received.push(new TextDecoder().decode(arena.packet(slot)));
      arena.free(slot);
      wake();
    },
    onChange: () => wake(),
  });
  cleanups.push(() => links.close());
  links.setMap(mapOf(port));
  links.setHome(900);
  const until = async (condition: () => boolean) => {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const send = (to: NodePublicKey, text: string) => links.send(900, to, new TextEncoder().encode(text), 0, text.length);
  return { key: nodeKey.publicKey, links, received, until, send, arena };
}

async function get(port: number, path: string, headers: Record<string, string> = {}) {
  const sent = request({ port, path, headers, agent: false });
  sent.end();
  const [response] = await once(sent, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, headers: response.headers, text };
}

describe('over real sockets', () => {
  test('two nodes exchange packets, and a burst arrives whole and in order', async () => {
    const relay = await relayOnLoopback();
    const [a, b] = [join(relay.port), join(relay.port)];
    await a.until(() => a.links.isConnected(900));
    await b.until(() => b.links.isConnected(900));
    const burst = Array.from({ length: 300 }, (_, i) => `packet ${i} ${'x'.repeat(1000)}`);
    for (const text of burst) a.send(b.key, text);
    await b.until(() => b.received.length === burst.length);
    expect(b.received).toEqual(burst);
    b.send(a.key, 'answer');
    await a.until(() => a.received.length > 0);
    expect(a.received).toEqual(['answer']);
    expect(b.arena.freeCount).toBe(512);
  });

  test('what is sent before there is a connection waits for it', async () => {
    const relay = await relayOnLoopback();
    const [a, b] = [join(relay.port), join(relay.port)];
    await b.until(() => b.links.isConnected(900));
    a.send(b.key, 'early');
    await b.until(() => b.received.length > 0);
    expect(b.received).toEqual(['early']);
  });

  test('a node that is not allowed stays out', async () => {
    const relay = await relayOnLoopback(() => false);
    const codes: string[] = [];
    const links = new DerpLinks({
      arena: new PacketArena(new Uint8Array(PACKET_SLOT_BYTES)),
      nodeKey: generatePrivateKey('node', nobleProvider, nodeRng),
      crypto: nobleProvider,
      rng: nodeRng,
      controlUrl: `http://127.0.0.1:${relay.port}`,
      tlsCa: undefined,
      log: (line) => codes.push(String(line.fields?.['code'])),
      onPacket: () => {},
      onChange: () => {},
    });
    cleanups.push(() => links.close());
    links.setMap(mapOf(relay.port));
    links.setHome(900);
    while (!codes.includes('derp/not-authorised')) await new Promise((resolve) => setImmediate(resolve));
    expect(links.isConnected(900)).toBe(false);
  });

  test('the port is free again after close', async () => {
    const relay = await startRelay({ host: '127.0.0.1', port: 0, stunPort: 0 });
    const a = join(relay.port);
    await a.until(() => a.links.isConnected(900));
    await relay.close();
    const again = await startRelay({ host: '127.0.0.1', port: relay.port, stunPort: relay.stunPort });
    cleanups.push(() => again.close());
    await a.until(() => a.links.isConnected(900));
  });

  test('a taken port is an error and leaves nothing running', async () => {
    const relay = await relayOnLoopback();
    await expect(startRelay({ host: '127.0.0.1', port: relay.port, stunPort: 0 })).rejects.toThrow('EADDRINUSE');
    await expect(startRelay({ host: '127.0.0.1', port: 0, stunPort: relay.stunPort })).rejects.toThrow('EADDRINUSE');
  });
});

describe('HTTP', () => {
  test('the paths answer as derper does', async () => {
    const { port } = await relayOnLoopback();
    expect(await get(port, '/derp')).toMatchObject({ status: 426, text: 'DERP requires connection upgrade\n' });
    for (const path of ['/derp/probe', '/derp/latency-check?x=1']) {
      const answer = await get(port, path);
      expect(answer).toMatchObject({ status: 200, text: '' });
      expect(answer.headers['access-control-allow-origin']).toBe('*');
    }
    const portal = await get(port, '/generate_204', { 'X-Tailscale-Challenge': 'ts_abc' });
    expect(portal).toMatchObject({ status: 204 });
    expect(portal.headers['x-tailscale-response']).toBe('response ts_abc');
    expect(await get(port, '/other')).toMatchObject({ status: 404 });
  });

  test('garbage, other upgrades and half an upgrade do not disturb the relay', async () => {
    const relay = await relayOnLoopback();
    const head = 'Host: x\r\nConnection: Upgrade\r\n';
    const attempts = [
      '\x16\x03\x01\x00\x00',
      `GET /derp HTTP/1.1\r\n${head}Upgrade: websocket\r\n\r\n`,
      `GET /elsewhere HTTP/1.1\r\n${head}Upgrade: DERP\r\n\r\n`,
      `GET /derp HTTP/1.1\r\n${head}Upgrade: DERP\r\n\r\n\xff\xff\xff\xff\xff`,
    ];
    for (const text of attempts) {
      const socket = connect(relay.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(text, 'latin1');
      socket.resume();
      await once(socket, 'close');
    }
    const a = join(relay.port);
    await a.until(() => a.links.isConnected(900));
  });

  test('fast start skips the answer but not the ServerKey frame', async () => {
    const relay = await relayOnLoopback();
    const socket = connect(relay.port, '127.0.0.1');
    socket.write('GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: DERP\r\nDerp-Fast-Start: 1\r\n\r\n');
    const [first] = (await once(socket, 'data')) as [Uint8Array];
    expect([...first.subarray(0, 5)]).toEqual([0x01, 0, 0, 0, 40]);
    expect(`nodekey:${Buffer.from(first.subarray(13, 45)).toString('hex')}`).toBe(relay.publicKey);
    socket.destroy();
  });

  test('attached to a server it leaves other paths alone', async () => {
    const relay = new RelayServer({ serverKey: undefined, isAllowed: () => true });
    const server = createServer((incoming, response) => {
      if (incoming.url === '/mine') response.end('mine');
    });
    relay.attach(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanups.push(() => {
      relay.close();
      server.close();
      server.closeAllConnections();
    });
    const { port } = server.address() as AddressInfo;
    expect(await get(port, '/mine')).toMatchObject({ status: 200, text: 'mine' });
    expect(await get(port, '/derp/probe')).toMatchObject({ status: 200 });
    const a = join(port);
    await a.until(() => a.links.isConnected(900));
    expect(relay.clientCount).toBe(1);
  });
});

describe('STUN', () => {
  test('a request is answered with the address it came from, anything else is not', async () => {
    const relay = await relayOnLoopback();
    const socket = createSocket('udp4');
    cleanups.push(() => void socket.close());
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const txId = new Uint8Array(12).fill(7);
    socket.send(new Uint8Array(30), relay.stunPort, '127.0.0.1');
    socket.send(encodeBindingRequest(txId), relay.stunPort, '127.0.0.1');
    const [bytes] = (await once(socket, 'message')) as [Uint8Array];
    const answer = decodeBindingResponse(bytes);
    expect(answer).toMatchObject({ mapped: { text: `127.0.0.1:${socket.address().port}` } });
  });
});
