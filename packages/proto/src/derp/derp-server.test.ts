import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRng } from '../../test/seeded-rng.ts';
import recorded from '../../test/vectors/derp/derper-server.json' with { type: 'json' };
import { concatBytes } from '../bytes/equal.ts';
import { formatHex, parseHex } from '../bytes/hex.ts';
import { PACKET_SLOT_BYTES, PacketArena } from '../bytes/packet-arena.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { generatePrivateKey, PrivateKey } from '../keys/private-key.ts';
import type { NodePublicKey } from '../keys/public-key.ts';
import { DerpClient } from './derp-client.ts';
import { CONNECTIONS_MAX, DerpServer } from './derp-server.ts';
import { encodeFrameHeader, FrameType } from './frames.ts';
import { CLIENT_QUEUE_MAX } from './server-connection.ts';

const serverKey = new PrivateKey<'node'>(parseHex(recorded.serverPrivate)!, nobleProvider);

function startServer(isAllowed: (key: NodePublicKey) => boolean = () => true): DerpServer {
  return new DerpServer({ serverKey, crypto: nobleProvider, rng: seededRng(1), isAllowed });
}

function frame(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const payload = concatBytes(...parts);
  const bytes = new Uint8Array(5 + payload.length);
  encodeFrameHeader(bytes, 0, type, payload.length);
  bytes.set(payload, 5);
  return bytes;
}

function framesOf(bytes: Uint8Array): string[] {
  const frames: string[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const end = at + 5 + view.getUint32(at + 1);
    frames.push(formatHex(bytes.subarray(at, end)));
    at = end;
  }
  return frames;
}

/** All bytes the server has for a connection now. */
function take(server: DerpServer, id: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let bytes = server.pollTransmit(id); bytes; bytes = server.pollTransmit(id)) parts.push(bytes);
  return concatBytes(...parts);
}

/** A client of the server, spoken for by our own machine. */
class Peer {
  readonly arena: PacketArena = new PacketArena(new Uint8Array(256 * PACKET_SLOT_BYTES));
  readonly client: DerpClient;
  readonly key: NodePublicKey;
  readonly id: number;
  readonly #server: DerpServer;

  constructor(server: DerpServer, seed: number) {
    const rng = seededRng(seed);
    const nodeKey = generatePrivateKey('node', nobleProvider, rng);
    this.key = nodeKey.publicKey;
    this.client = new DerpClient({ arena: this.arena, nodeKey, crypto: nobleProvider, rng, isHome: false });
    this.#server = server;
    this.id = server.addConnection(0);
    this.exchange();
    this.exchange();
  }

  /** Carries bytes both ways. */
  exchange(nowMs = 0): void {
    const bytes = take(this.#server, this.id);
    if (bytes.length > 0) this.client.handleBytes(bytes, nowMs);
    for (let out = this.client.pollTransmit(); out; out = this.client.pollTransmit()) {
      this.#server.handleBytes(this.id, out, nowMs);
    }
  }

  send(to: NodePublicKey, text: string, nowMs = 0): void {
    const bytes = new TextEncoder().encode(text);
    this.client.sendPacket(to, bytes, 0, bytes.length);
    this.exchange(nowMs);
  }

  received(): string[] {
    this.exchange();
    const texts: string[] = [];
    for (let slot = this.client.pollPacket(); slot >= 0; slot = this.client.pollPacket()) {
      texts.push(new TextDecoder().decode(this.arena.packet(slot)));
      this.arena.free(slot);
    }
    return texts;
  }

  events(): string[] {
    this.exchange();
    const kinds: string[] = [];
    for (let event = this.client.pollEvent(); event; event = this.client.pollEvent()) {
      kinds.push(event.kind === 'peer-gone' ? `peer-gone ${event.reason}` : event.kind);
    }
    return kinds;
  }
}

/** Sessions that met in the recording, and when each began in it. */
const TOGETHER: readonly Readonly<Record<string, number>>[] = [
  { 'ping, pong, note preferred, own packets': 0, 'second client': 2421 },
  {
    'twice the same key: first connection': 0,
    'twice the same key: second connection': 552,
    'sender to the doubled key': 1105,
  },
];

function replay(names: Readonly<Record<string, number>>): Map<string, { answers: string[]; isClosed: boolean }> {
  const server = startServer();
  const results = new Map<string, { answers: string[]; isClosed: boolean }>();
  const ids = new Map<number, string>();
  const steps = recorded.sessions
    .filter(({ name }) => name in names)
    .flatMap((session) => session.events.map((event) => ({ session, event, atMs: names[session.name]! + event.ms })))
    .sort((a, b) => a.atMs - b.atMs);
  for (const { session, event, atMs } of steps) {
    let id = [...ids].find(([, name]) => name === session.name)?.[0];
    if (id === undefined) {
      id = server.addConnection(atMs);
      ids.set(id, session.name);
      results.set(session.name, { answers: [], isClosed: false });
    }
    if (event.from === 'client' && event.hex !== undefined) server.handleBytes(id, parseHex(event.hex)!, atMs);
    if (event.what === 'connection closed' && !session.closedByServer) server.removeConnection(id);
    for (const [each, name] of ids) results.get(name)!.answers.push(...framesOf(take(server, each)));
    for (let close = server.pollEvent(); close; close = server.pollEvent()) {
      results.get(ids.get(close.connection)!)!.isClosed = true;
    }
  }
  return results;
}

describe('sessions recorded with derper, their client frames given to our server', () => {
  const alone = recorded.sessions.filter(({ name }) => !TOGETHER.some((group) => name in group));
  const groups = [...TOGETHER, ...alone.map(({ name }) => ({ [name]: 0 }))];

  test.each(groups.map((group) => ({ title: Object.keys(group).join(' + '), group })))('$title', ({ group }) => {
    const results = replay(group);
    for (const session of recorded.sessions.filter(({ name }) => name in group)) {
      const { answers, isClosed } = results.get(session.name)!;
      const expected = session.events.filter((event) => event.from === 'server').flatMap(({ hex }) => hex ?? []);
      const isSealed = (hex: string) => hex.startsWith('03');
      expect(answers.filter((hex) => !isSealed(hex))).toEqual(expected.filter((hex) => !isSealed(hex)));
      expect(answers.filter(isSealed).length).toBe(expected.filter(isSealed).length);
      expect(isClosed).toBe(session.closedByServer);
    }
  });
});

describe('login', () => {
  test('a key that is not allowed is closed without a word', () => {
    const server = startServer(() => false);
    const peer = new Peer(server, 1);
    expect(peer.events()).toEqual([]);
    expect(server.pollEvent()).toEqual({ kind: 'close', connection: peer.id, reason: 'not-allowed' });
    expect(server.connectionCount).toBe(0);
  });

  test('a client that says nothing is closed after 10 s', () => {
    const server = startServer();
    const id = server.addConnection(0);
    expect(server.pollTimeout()?.atMs).toBe(10_000);
    server.handleTimeout(10_000);
    expect(server.pollEvent()).toEqual({ kind: 'close', connection: id, reason: 'login-timeout' });
    expect(server.pollTimeout()).toBeUndefined();
  });

  test('connections beyond the bound are refused', () => {
    const server = startServer();
    for (let i = 0; i < CONNECTIONS_MAX; i++) expect(server.addConnection(0)).toBeGreaterThan(0);
    expect(server.addConnection(0)).toBe(-1);
  });

  test('a client that speaks HTTP is closed', () => {
    const server = startServer();
    server.handleBytes(server.addConnection(0), new TextEncoder().encode('GET / HTTP/1.1\r\n\r\n'), 0);
    expect(server.pollEvent()).toMatchObject({ reason: 'not-derp' });
  });
});

describe('forwarding', () => {
  test('packets arrive in order with the sender’s key', () => {
    const server = startServer();
    const [a, b] = [new Peer(server, 1), new Peer(server, 2)];
    a.send(b.key, 'one');
    a.send(b.key, 'two');
    expect(b.received()).toEqual(['one', 'two']);
    expect(formatHex(b.client.packetSource)).toBe(formatHex(a.key));
  });

  test('a burst reaches a reader that keeps up whole', () => {
    const server = startServer();
    const [a, b] = [new Peer(server, 1), new Peer(server, 2)];
    const burst = Array.from({ length: 200 }, (_, i) => `packet ${i}`);
    for (const text of burst) a.client.sendPacket(b.key, new TextEncoder().encode(text), 0, text.length);
    a.exchange();
    expect(b.received()).toEqual(burst);
  });

  test('for a socket that is full the newest 32 packets wait, and disco packets besides', () => {
    const server = startServer();
    const [a, b] = [new Peer(server, 1), new Peer(server, 2)];
    server.setCongested(b.id, true, 0);
    for (let i = 0; i < 40; i++) a.send(b.key, `packet ${i}`);
    a.client.sendPacket(b.key, parseHex('5453f09f92ac01')!, 0, 7);
    a.exchange();
    expect(b.received()).toEqual([]);
    server.setCongested(b.id, false, 1);
    expect(server.pollPending()).toBeGreaterThan(0);
    const received = b.received();
    expect(received).toHaveLength(CLIENT_QUEUE_MAX + 1);
    expect(received[1]).toBe('packet 8');
    expect(received.at(-1)).toBe('packet 39');
  });

  test('a socket that stays full for 10 s is closed', () => {
    const server = startServer();
    const peer = new Peer(server, 1);
    server.setCongested(peer.id, true, 1000);
    server.setCongested(peer.id, true, 5000);
    server.handleTimeout(10_999);
    expect(server.pollEvent()).toBeUndefined();
    server.handleTimeout(11_000);
    expect(server.pollEvent()).toMatchObject({ reason: 'write-timeout' });
  });

  test('whoever had packets from a peer hears that it left, others do not', () => {
    const server = startServer();
    const [a, b, c] = [new Peer(server, 1), new Peer(server, 2), new Peer(server, 3)];
    a.send(b.key, 'hello');
    server.removeConnection(a.id);
    expect(b.events()).toEqual(['ready', 'peer-gone disconnected']);
    expect(c.events()).toEqual(['ready']);
  });

  test('"not here" is told for disco packets, three at once and one a second', () => {
    const server = startServer();
    const a = new Peer(server, 1);
    const nobody = generatePrivateKey('node', nobleProvider, seededRng(9)).publicKey;
    const disco = parseHex('5453f09f92ac01')!;
    const ask = (nowMs: number) => {
      a.client.sendPacket(nobody, disco, 0, disco.length);
      a.exchange(nowMs);
    };
    for (let i = 0; i < 5; i++) ask(0);
    expect(a.events().filter((kind) => kind === 'peer-gone not-here')).toHaveLength(3);
    ask(1000);
    expect(a.events()).toEqual(['peer-gone not-here']);
  });
});

test('a keep-alive comes every 60 to 65 s', () => {
  const server = startServer();
  const id = new Peer(server, 1).id;
  const { atMs } = server.pollTimeout()!;
  expect(atMs).toBeGreaterThanOrEqual(60_000);
  expect(atMs).toBeLessThan(65_000);
  server.handleTimeout(atMs);
  expect(framesOf(take(server, id))).toEqual(['0600000000']);
  expect(server.pollTimeout()!.atMs).toBe(2 * atMs);
});

test('random bytes never throw and never disturb another client', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 10 }),
      fc.integer({ min: 0, max: 0x16 }),
      (chunks, type) => {
        const server = startServer();
        const [a, b, bad] = [new Peer(server, 1), new Peer(server, 2), new Peer(server, 3)];
        server.handleBytes(bad.id, frame(type, ...chunks), 0);
        for (const chunk of chunks) server.handleBytes(bad.id, chunk, 0);
        server.handleTimeout(1);
        a.send(b.key, 'still here');
        expect(b.received()).toEqual(['still here']);
      },
    ),
    { numRuns: 40 },
  );
});

test('a SendPacket of more than 64 KiB closes the connection', () => {
  const server = startServer();
  const peer = new Peer(server, 1);
  server.handleBytes(peer.id, frame(FrameType.sendPacket, new Uint8Array(32 + 65_537)), 0);
  expect(server.pollEvent()).toMatchObject({ reason: 'bad-frame' });
});
