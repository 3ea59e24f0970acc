import { EventEmitter, once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { PACKET_SLOT_BYTES, PacketArena } from '@heddle/proto/bytes/packet-arena';
import { nobleProvider } from '@heddle/proto/crypto/noble-provider';
import { generatePrivateKey } from '@heddle/proto/keys/private-key';
import type { NodePublicKey } from '@heddle/proto/keys/public-key';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { listen, type RelayFixture, relayMap, relayNode, startRelayFixture } from '../../test/relay-fixture.ts';
import { nodeRng } from '../crypto/node-provider.ts';
import type { LogLine } from '../types.ts';
import { IDLE_CLOSE_MS } from './derp-link.ts';
import { DerpLinks } from './derp-links.ts';

const SLOTS = 256;
const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function relay(o: Parameters<typeof startRelayFixture>[0] = {}): Promise<RelayFixture> {
  const fixture = await startRelayFixture(o);
  cleanups.push(() => fixture.close().catch(() => {}));
  return fixture;
}

/** A node's links, and a way to wait for what happens to them. */
function join() {
  const arena = new PacketArena(new Uint8Array(SLOTS * PACKET_SLOT_BYTES));
  const nodeKey = generatePrivateKey('node', nobleProvider, nodeRng);
  const received: string[] = [];
  const lines: LogLine[] = [];
  const happened = new EventEmitter();
  const links = new DerpLinks({
    arena,
    nodeKey,
    crypto: nobleProvider,
    rng: nodeRng,
    controlUrl: 'https://control.example',
    tlsCa: undefined,
    log: (line) => {
      lines.push(line);
      happened.emit('any');
    },
    onPacket: (regionId, slot) => {
      received.push(`${regionId}: ${new TextDecoder().decode(arena.packet(slot))}`);
      arena.free(slot);
      happened.emit('any');
    },
    onChange: () => happened.emit('any'),
  });
  cleanups.push(() => links.close());
  const until = async (condition: () => boolean) => {
    while (!condition()) await once(happened, 'any');
  };
  const send = (regionId: number, to: NodePublicKey, text: string) => {
    links.send(regionId, to, new TextEncoder().encode(text), 0, text.length);
  };
  return { key: nodeKey.publicKey, links, received, lines, until, send, arena };
}

const someone = generatePrivateKey('node', nobleProvider, nodeRng).publicKey;

describe('regions', () => {
  test('the home is dialled at once, another region when something is sent there', async () => {
    const [first, second] = [await relay(), await relay()];
    const map = relayMap({ 1: [relayNode(first.port)], 2: [relayNode(second.port)] });
    const [a, b] = [join(), join()];
    a.links.setMap(map);
    b.links.setMap(map);
    a.links.setHome(1);
    b.links.setHome(2);
    await a.until(() => a.links.isConnected(1));
    await b.until(() => b.links.isConnected(2));
    expect(a.links.isConnected(2)).toBe(false);
    a.send(2, b.key, 'hello');
    await b.until(() => b.received.length > 0);
    expect(b.received).toEqual(['2: hello']);
    expect(a.links.isConnected(2)).toBe(true);
    b.send(2, a.key, 'on the way back');
    await a.until(() => a.received.length > 0);
    expect(a.received).toEqual(['2: on the way back']);
  });

  test('what is sent to a region that the map does not have is counted', async () => {
    const a = join();
    a.send(7, someone, 'lost');
    a.links.setMap(relayMap({ 1: [] }));
    a.send(7, someone, 'lost');
    expect(a.links.snapshot()).toEqual({ 'derp-tx-unknown-region': 2 });
  });

  test('a home told before the map is dialled when the map comes', async () => {
    const { port } = await relay();
    const a = join();
    a.links.setHome(1);
    a.links.setMap(relayMap({ 1: [relayNode(port)] }));
    await a.until(() => a.links.isConnected(1));
  });

  test('a STUN-only node is no relay', async () => {
    const { port } = await relay();
    const a = join();
    a.links.setMap(relayMap({ 1: [relayNode(1, { isStunOnly: true }), relayNode(port)] }));
    a.links.setHome(1);
    await a.until(() => a.links.isConnected(1));
    const b = join();
    b.links.setMap(relayMap({ 1: [relayNode(1, { isStunOnly: true })] }));
    b.links.setHome(1);
    await b.until(() => b.lines.some((line) => line.fields?.['code'] === 'derp/no-nodes'));
  });

  test('before there is a connection 32 packets wait, the oldest are dropped', async () => {
    const { port } = await relay();
    const [a, b] = [join(), join()];
    const map = relayMap({ 1: [relayNode(port)] });
    b.links.setMap(map);
    b.links.setHome(1);
    await b.until(() => b.links.isConnected(1));
    a.links.setMap(map);
    for (let i = 0; i < 40; i++) a.send(1, b.key, `packet ${i}`);
    await b.until(() => b.received.length === 32);
    expect(b.received[0]).toBe('1: packet 8');
    expect(b.received.at(-1)).toBe('1: packet 39');
    expect(a.links.snapshot()).toEqual({ 'derp-tx-waiting-full': 8 });
  });
});

describe('a new map', () => {
  test('an empty one is not taken over', async () => {
    const { port } = await relay();
    const a = join();
    a.links.setMap(relayMap({ 1: [relayNode(port)] }));
    a.links.setHome(1);
    await a.until(() => a.links.isConnected(1));
    a.links.setMap(relayMap({}));
    expect(a.links.isConnected(1)).toBe(true);
    expect(a.lines.at(-1)?.level).toBe('warn');
  });

  test('other nodes in a region: dialled anew; the same nodes: left alone', async () => {
    const [first, second] = [await relay(), await relay()];
    const a = join();
    a.links.setMap(relayMap({ 1: [relayNode(first.port)] }));
    a.links.setHome(1);
    await a.until(() => a.links.isConnected(1));
    a.links.setMap(relayMap({ 1: [relayNode(first.port)], 2: [] }));
    expect(a.links.isConnected(1)).toBe(true);
    a.links.setMap(relayMap({ 1: [relayNode(second.port)] }));
    expect(a.links.isConnected(1)).toBe(false);
    await a.until(() => a.links.isConnected(1));
    expect(second.relay.clientCount).toBe(1);
  });

  test('a vanished region is closed', async () => {
    const { port, server } = await relay();
    const accepted = once(server, 'upgrade') as Promise<[IncomingMessage, Duplex]>;
    const a = join();
    a.links.setMap(relayMap({ 1: [relayNode(port)], 2: [] }));
    a.links.setHome(1);
    await a.until(() => a.links.isConnected(1));
    a.links.setMap(relayMap({ 2: [] }));
    expect(a.links.isConnected(1)).toBe(false);
    const [, socket] = await accepted;
    if (!socket.closed) await once(socket, 'close');
  });
});

describe('trouble', () => {
  test('a relay that is killed and comes back on its port is found again, with one warning per trouble', async () => {
    const first = await relay();
    const [a, b] = [join(), join()];
    for (const node of [a, b]) {
      node.links.setMap(relayMap({ 1: [relayNode(first.port)] }));
      node.links.setHome(1);
      await node.until(() => node.links.isConnected(1));
    }
    await first.close();
    await a.until(() => a.lines.filter((line) => line.fields?.['code'] === 'derp/refused').length >= 4);
    expect(a.links.isConnected(1)).toBe(false);
    a.send(1, b.key, 'sent while it was away');
    await relay({ port: first.port });
    await a.until(() => a.links.isConnected(1));
    await b.until(() => b.links.isConnected(1));
    b.send(1, a.key, 'back');
    await a.until(() => a.received.length > 0);
    const warnings = a.lines.filter((line) => line.level === 'warn').map((line) => line.fields?.['code']);
    expect(warnings).toEqual(['derp/lost', 'derp/refused']);
  });

  test('a node that failed is tried last the next time', async () => {
    const [bad, good] = [await relay({ isAllowed: () => false }), await relay()];
    const accepted = once(good.server, 'upgrade') as Promise<[IncomingMessage, Duplex]>;
    const a = join();
    a.links.setMap(relayMap({ 1: [relayNode(bad.port), relayNode(good.port)] }));
    a.links.setHome(1);
    await a.until(() => a.links.isConnected(1));
    const refusals = () => a.lines.filter((line) => line.fields?.['code'] === 'derp/not-authorised').length;
    expect(refusals()).toBe(1);
    (await accepted)[1].destroy();
    await a.until(() => !a.links.isConnected(1));
    await a.until(() => a.links.isConnected(1));
    expect(refusals()).toBe(1);
  });

  test('an announced restart sets the time of the next attempt, and health texts are logged', async () => {
    const { port, server } = await relay();
    const accepted = once(server, 'upgrade') as Promise<[IncomingMessage, Duplex]>;
    const a = join();
    a.links.setMap(relayMap({ 1: [relayNode(port)] }));
    a.links.setHome(1);
    await a.until(() => a.links.isConnected(1));
    const [, socket] = await accepted;
    socket.write(Uint8Array.of(0x14, 0, 0, 0, 3, 0x62, 0x61, 0x64));
    await a.until(() => a.lines.some((line) => line.fields?.['problem'] === 'bad'));
    // Reconnect in 40,000 ms, try for 0 ms.
    socket.end(Uint8Array.of(0x15, 0, 0, 0, 8, 0, 0, 0x9c, 0x40, 0, 0, 0, 0));
    await a.until(() => !a.links.isConnected(1));
    const retryInMs = a.lines.findLast((line) => line.fields?.['code'] === 'derp/lost')?.fields?.['retryInMs'];
    expect(retryInMs).toBeGreaterThanOrEqual(30_000);
    expect(retryInMs).toBeLessThanOrEqual(50_000);
  });

  test('a relay that does not answer a probe is replaced', async () => {
    const { port } = await relay();
    // Swallows everything the client says after the login.
    let isMuted = false;
    const proxy = createServer((socket) => {
      const upstream = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      socket.on('data', (chunk) => isMuted || upstream.write(chunk));
      upstream.pipe(socket);
      socket.on('close', () => upstream.destroy());
    });
    cleanups.push(() => void proxy.close());
    const a = join();
    a.links.setMap(relayMap({ 1: [relayNode(await listen(proxy))] }));
    a.links.setHome(1);
    await a.until(() => a.links.isConnected(1));
    isMuted = true;
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    a.links.probe();
    await Promise.resolve();
    vi.advanceTimersByTime(3000);
    expect(a.links.isConnected(1)).toBe(false);
    expect(a.lines.at(-1)?.message).toContain('probe-timeout');
    expect(a.links.failureOf(1)?.message).toContain('probe-timeout');
    isMuted = false;
    vi.advanceTimersByTime(1000);
    await a.until(() => a.links.isConnected(1));
    expect(a.links.failureOf(1)).toBeUndefined();
  });
});

describe('idle connections', () => {
  async function connectedTo(count: number) {
    const relays = await Promise.all(Array.from({ length: count }, () => relay()));
    const a = join();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    a.links.setMap(relayMap(Object.fromEntries(relays.map(({ port }, i) => [i + 1, [relayNode(port)]]))));
    for (let region = 1; region <= count; region++) {
      a.send(region, someone, 'x');
      await a.until(() => a.links.isConnected(region));
    }
    return a;
  }

  test('60 s after the last send a region that is not the home is closed', async () => {
    const a = await connectedTo(2);
    a.links.setHome(1);
    vi.advanceTimersByTime(IDLE_CLOSE_MS - 1);
    a.send(2, someone, 'still in use');
    vi.advanceTimersByTime(IDLE_CLOSE_MS - 1);
    expect(a.links.isConnected(2)).toBe(true);
    vi.advanceTimersByTime(1);
    expect(a.links.isConnected(2)).toBe(false);
    expect(a.links.isConnected(1)).toBe(true);
  });

  test('a home that is the home no longer becomes idle, and is dialled again on demand', async () => {
    const a = await connectedTo(1);
    a.links.setHome(1);
    vi.advanceTimersByTime(2 * IDLE_CLOSE_MS - 50_000);
    expect(a.links.isConnected(1)).toBe(true);
    a.links.setHome(0);
    vi.advanceTimersByTime(IDLE_CLOSE_MS);
    expect(a.links.isConnected(1)).toBe(false);
    a.send(1, someone, 'x');
    await a.until(() => a.links.isConnected(1));
  });
});

test('close ends dials, retries and connections, and nothing is called back', async () => {
  const { port } = await relay();
  const silent = createServer(() => {});
  cleanups.push(() => void silent.close());
  const silentPort = await listen(silent);
  const a = join();
  a.links.setMap(relayMap({ 1: [relayNode(port)], 2: [relayNode(silentPort)], 3: [relayNode(1)] }));
  a.links.setHome(1);
  for (const regionId of [1, 2, 3]) a.send(regionId, someone, 'x');
  await a.until(() => a.links.isConnected(1) && a.lines.some((line) => line.level === 'warn'));
  await a.links.close();
  const count = a.lines.length;
  expect(a.links.isConnected(1)).toBe(false);
  a.send(1, someone, 'x');
  a.links.setHome(2);
  a.links.setMap(relayMap({ 1: [relayNode(port)] }));
  await new Promise((resolve) => setImmediate(resolve));
  expect(a.lines.length).toBe(count);
  expect(a.arena.freeCount).toBe(SLOTS);
});
