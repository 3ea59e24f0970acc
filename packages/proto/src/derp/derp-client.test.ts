import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRng } from '../../test/seeded-rng.ts';
import crafted from '../../test/vectors/derp/crafted-frames.json' with { type: 'json' };
import session from '../../test/vectors/derp/derper-session.json' with { type: 'json' };
import { concatBytes } from '../bytes/equal.ts';
import { formatHex, parseHex } from '../bytes/hex.ts';
import { PACKET_SLOT_BYTES, PacketArena } from '../bytes/packet-arena.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { PrivateKey } from '../keys/private-key.ts';
import { decodePublicKey, formatPublicKey } from '../keys/public-key.ts';
import { DerpClient, type DerpEvent, OUTPUT_BYTES_MAX } from './derp-client.ts';
import { encodeFrameHeader, FrameType } from './frames.ts';

const serverKeyFrame = parseHex(crafted.serverKeyFrame)!;
const serverInfo = parseHex(crafted.frames.find((f) => f.client === 'ServerInfoMessage')!.bytes)!;
const peer = decodePublicKey('node', new Uint8Array(32).fill(0x42));

function setup(o: { isHome?: boolean; slots?: number; privateHex?: string } = {}) {
  const arena = new PacketArena(new Uint8Array((o.slots ?? 8) * PACKET_SLOT_BYTES));
  const nodeKey = new PrivateKey<'node'>(parseHex(o.privateHex ?? crafted.clientNodePrivate)!, nobleProvider);
  const client = new DerpClient({
    arena,
    nodeKey,
    crypto: nobleProvider,
    rng: seededRng(3),
    isHome: o.isHome ?? false,
  });
  return { arena, client };
}

/** A client behind a login without an allowance: the recorded ServerInfo of derper has none. */
function loggedIn(o: { isHome?: boolean; slots?: number } = {}) {
  const recorded = session.connections[0]!;
  const bytes = (type: number) => parseHex(recorded.frames.s2c.find((f) => f.type === type)!.bytes)!;
  const all = setup({ ...o, privateHex: session.clients.alpha.nodePrivate });
  all.client.handleBytes(concatBytes(bytes(FrameType.serverKey), bytes(FrameType.serverInfo)), 0);
  expect(all.client.pollEvent()).toEqual({ kind: 'ready' });
  drainOutput(all.client);
  return all;
}

function frame(type: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(5 + payload.length);
  encodeFrameHeader(bytes, 0, type, payload.length);
  bytes.set(payload, 5);
  return bytes;
}

function drainOutput(client: DerpClient): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let part = client.pollTransmit(); part; part = client.pollTransmit()) parts.push(part);
  return concatBytes(...parts);
}

function drainEvents(client: DerpClient): DerpEvent[] {
  const events: DerpEvent[] = [];
  for (let event = client.pollEvent(); event; event = client.pollEvent()) events.push(event);
  return events;
}

function typesOf(bytes: Uint8Array): number[] {
  const types: number[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; at += 5 + view.getUint32(at + 1)) types.push(bytes[at]!);
  return types;
}

describe('login', () => {
  test('ServerKey is answered by ClientInfo, and by the home note when this is the home', () => {
    for (const isHome of [true, false]) {
      const { client } = setup({ isHome });
      client.handleBytes(serverKeyFrame, 0);
      const types = typesOf(drainOutput(client));
      expect(types).toEqual(isHome ? [FrameType.clientInfo, FrameType.notePreferred] : [FrameType.clientInfo]);
      expect(drainEvents(client)).toEqual([]);
    }
  });

  test('a ServerKey with trailing bytes is accepted', () => {
    const { client } = setup();
    client.handleBytes(parseHex(crafted.serverKeyFrameWithTrailingBytes)!, 0);
    expect(typesOf(drainOutput(client))).toEqual([FrameType.clientInfo]);
  });

  test.each([
    ['another frame first', frame(FrameType.keepAlive, new Uint8Array(0))],
    ['a wrong magic', frame(FrameType.serverKey, new Uint8Array(40))],
    ['a short key', frame(FrameType.serverKey, serverKeyFrame.slice(5, 44))],
    ['an HTTP answer', new TextEncoder().encode('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ])('%s is not DERP', (_name, bytes) => {
    const { client } = setup();
    client.handleBytes(bytes, 0);
    expect(drainEvents(client)).toEqual([{ kind: 'failed', reason: 'not-derp' }]);
    expect(client.pollTransmit()).toBeUndefined();
  });

  test('a ServerKey of low order is refused', () => {
    const { client } = setup();
    const bytes = serverKeyFrame.slice();
    bytes.fill(0, 13);
    client.handleBytes(bytes, 0);
    expect(drainEvents(client)).toEqual([{ kind: 'failed', reason: 'bad-server-key' }]);
  });

  test('a ServerInfo that does not open fails', () => {
    const { client } = setup();
    client.handleBytes(serverKeyFrame, 0);
    client.handleBytes(frame(FrameType.serverInfo, new Uint8Array(60)), 0);
    expect(drainEvents(client)).toEqual([{ kind: 'failed', reason: 'bad-server-info' }]);
  });

  test('a server that stays silent fails the login after 10 s', () => {
    const { client } = setup();
    client.handleTimeout(1000);
    expect(client.pollTimeout()).toEqual({ atMs: 11_000, why: 'derp login' });
    client.handleTimeout(10_999);
    expect(drainEvents(client)).toEqual([]);
    client.handleTimeout(11_000);
    expect(drainEvents(client)).toEqual([{ kind: 'failed', reason: 'login-timeout' }]);
    expect(client.pollTimeout()).toBeUndefined();
  });

  test('packets before ServerKey are dropped and counted, after it they go out behind the login', () => {
    const { client } = setup();
    expect(client.sendPacket(peer, new Uint8Array(10), 0, 10)).toBe(false);
    expect(client.counters.count('derp-tx-not-ready')).toBe(1);
    client.handleBytes(serverKeyFrame, 0);
    expect(client.sendPacket(peer, new Uint8Array(10), 0, 10)).toBe(true);
    expect(typesOf(drainOutput(client))).toEqual([FrameType.clientInfo, FrameType.sendPacket]);
  });
});

describe('frames read by the reference client', () => {
  function handleCrafted(name: string) {
    const all = setup();
    all.client.handleBytes(concatBytes(serverKeyFrame, serverInfo), 0);
    drainEvents(all.client);
    drainOutput(all.client);
    all.client.handleBytes(parseHex(crafted.frames.find((f) => f.name === name)!.bytes)!, 1);
    return all;
  }

  test.each(crafted.frames.filter((f) => f.client === 'HealthMessage'))('$name', ({ name, value }) => {
    expect(drainEvents(handleCrafted(name).client)).toEqual([{ kind: 'health', ...value }]);
  });

  test.each(crafted.frames.filter((f) => f.client === 'ServerRestartingMessage'))('$name', ({ name, value }) => {
    expect(drainEvents(handleCrafted(name).client)).toEqual([{ kind: 'restarting', ...value }]);
  });

  test.each(crafted.frames.filter((f) => f.client === 'PeerGoneMessage'))('$name', ({ name, value }) => {
    const [event] = drainEvents(handleCrafted(name).client);
    expect(event?.kind === 'peer-gone' && formatPublicKey('node', event.peer)).toBe(value.peer);
    expect(event).toMatchObject({ reason: value.reason === 0 ? 'disconnected' : 'not-here' });
  });

  test.each(crafted.frames.filter((f) => f.client === 'ReceivedPacket'))('$name', ({ name, value }) => {
    const { arena, client } = handleCrafted(name);
    const slot = client.pollPacket();
    expect(formatHex(arena.packet(slot))).toBe(value.data);
    expect(`nodekey:${formatHex(client.packetSource)}`).toBe(value.source);
    expect(client.pollPacket()).toBe(-1);
  });

  test.each(crafted.frames.filter((f) => f.client === 'PingMessage'))('$name is answered', ({ name, value }) => {
    const { client } = handleCrafted(name);
    expect(formatHex(drainOutput(client))).toBe(`1300000008${value.data}`);
  });

  test.each(crafted.frames.filter((f) => ['PongMessage', 'KeepAliveMessage', 'PeerPresentMessage'].includes(f.client)))(
    '$name changes nothing',
    ({ name }) => {
      const { client } = handleCrafted(name);
      expect(drainEvents(client)).toEqual([]);
      expect(drainOutput(client)).toHaveLength(0);
      expect(client.counters.count('derp-rx-short')).toBe(name.startsWith('short') ? 1 : 0);
    },
  );
});

describe('a recorded session of tailscaled', () => {
  test.each(session.connections)('$role: every packet comes out, every note goes unanswered', (connection) => {
    const client = session.clients[connection.client as 'alpha' | 'beta'];
    const { arena, client: machine } = setup({ privateHex: client.nodePrivate, isHome: true });
    const received: string[] = [];
    for (const hex of connection.segments.s2c) {
      machine.handleBytes(parseHex(hex)!, 0);
      for (let slot = machine.pollPacket(); slot >= 0; slot = machine.pollPacket()) {
        received.push(formatHex(machine.packetSource) + formatHex(arena.packet(slot)));
        arena.free(slot);
      }
    }
    const packets = connection.frames.s2c.filter((f) => f.type === FrameType.recvPacket);
    expect(received).toEqual(packets.map((f) => f.bytes.slice(10)));
    expect(typesOf(drainOutput(machine))).toEqual([FrameType.clientInfo, FrameType.notePreferred]);
    const gone = connection.frames.s2c.filter((f) => f.type === FrameType.peerGone).length;
    expect(drainEvents(machine).map((event) => event.kind)).toEqual(['ready', ...new Array(gone).fill('peer-gone')]);
    expect(machine.counters.snapshot()).toEqual({});
  });

  test('a packet is sent in the bytes tailscaled sends it in', () => {
    const connection = session.connections[0]!;
    const sent = connection.frames.c2s.filter((f) => f.type === FrameType.sendPacket);
    const { client } = loggedIn();
    for (const { bytes } of sent) {
      const payload = parseHex(bytes)!.subarray(5);
      client.sendPacket(decodePublicKey('node', payload.subarray(0, 32)), payload, 32, payload.length - 32);
    }
    expect(formatHex(drainOutput(client))).toBe(sent.map((f) => f.bytes).join(''));
  });
});

describe('home note', () => {
  test('it follows every change once', () => {
    const { client } = loggedIn();
    client.setHome(false);
    expect(drainOutput(client)).toHaveLength(0);
    client.setHome(true);
    client.setHome(true);
    expect(formatHex(drainOutput(client))).toBe('070000000101');
    client.setHome(false);
    expect(formatHex(drainOutput(client))).toBe('070000000100');
  });
});

describe('bounds', () => {
  test('output beyond 1 MiB drops the newest packet, and a pong still goes out', () => {
    const { client } = loggedIn();
    const packet = new Uint8Array(60_000);
    let sent = 0;
    while (client.sendPacket(peer, packet, 0, packet.length)) sent++;
    expect(sent).toBe(Math.floor(OUTPUT_BYTES_MAX / (60_000 + 37)));
    expect(client.counters.count('derp-tx-queue-full')).toBe(1);
    client.handleBytes(frame(FrameType.ping, new Uint8Array(8)), 0);
    const types = typesOf(drainOutput(client));
    expect(types).toHaveLength(sent + 1);
    expect(types.at(-1)).toBe(FrameType.pong);
    expect(client.sendPacket(peer, packet, 0, packet.length)).toBe(true);
  });

  test('without free slots packets are dropped and counted, and the next ones pass', () => {
    const { arena, client } = loggedIn({ slots: 2 });
    const packet = frame(FrameType.recvPacket, new Uint8Array(100));
    client.handleBytes(concatBytes(packet, packet, packet), 0);
    expect(client.counters.count('derp-rx-no-slot')).toBe(1);
    arena.free(client.pollPacket());
    client.handleBytes(packet, 0);
    expect(client.counters.count('derp-rx-no-slot')).toBe(1);
    client.close();
    expect(arena.freeCount).toBe(2);
  });

  test('a packet that fills the slot passes, one byte more is dropped', () => {
    const { arena, client } = loggedIn();
    client.handleBytes(frame(FrameType.recvPacket, new Uint8Array(32 + 1984).fill(9)), 0);
    expect(arena.length[client.pollPacket()]).toBe(1984);
    client.handleBytes(frame(FrameType.recvPacket, new Uint8Array(32 + 1985)), 0);
    expect(client.pollPacket()).toBe(-1);
    expect(client.counters.count('derp-rx-too-large')).toBe(1);
  });

  test('events beyond the bound are dropped, the failure is not', () => {
    const { client } = loggedIn();
    const gone = frame(FrameType.peerGone, new Uint8Array(33));
    client.handleBytes(concatBytes(...new Array<Uint8Array>(300).fill(gone)), 0);
    client.handleTimeout(120_000);
    const events = drainEvents(client);
    expect(events).toHaveLength(257);
    expect(events.at(-1)).toEqual({ kind: 'failed', reason: 'read-timeout' });
    expect(client.counters.count('derp-rx-event-queue-full')).toBe(44);
  });

  test('a packet longer than a relay forwards is the caller’s mistake', () => {
    const { client } = loggedIn();
    expect(() => client.sendPacket(peer, new Uint8Array(65_537), 0, 65_537)).toThrow(RangeError);
  });
});

describe('watchdog', () => {
  test('after 90 s of silence a ping goes out, after 120 s the connection fails', () => {
    const { client } = loggedIn();
    expect(client.pollTimeout()?.atMs).toBe(90_000);
    client.handleTimeout(90_000);
    expect(typesOf(drainOutput(client))).toEqual([FrameType.ping]);
    expect(client.pollTimeout()?.atMs).toBe(120_000);
    client.handleTimeout(119_999);
    expect(drainEvents(client)).toEqual([]);
    client.handleTimeout(120_000);
    expect(drainEvents(client)).toEqual([{ kind: 'failed', reason: 'read-timeout' }]);
  });

  test('any byte starts the silence anew', () => {
    const { client } = loggedIn();
    client.handleTimeout(90_000);
    drainOutput(client);
    client.handleBytes(frame(FrameType.keepAlive, new Uint8Array(0)), 100_000);
    expect(client.pollTimeout()?.atMs).toBe(190_000);
  });

  test('a probe without an answer fails after 3 s', () => {
    const { client } = loggedIn();
    client.probe(1000);
    client.probe(2000);
    expect(typesOf(drainOutput(client))).toEqual([FrameType.ping]);
    expect(client.pollTimeout()?.atMs).toBe(4000);
    client.handleTimeout(4000);
    expect(drainEvents(client)).toEqual([{ kind: 'failed', reason: 'probe-timeout' }]);
  });

  test('a probe with an answer leaves the connection alone', () => {
    const { client } = loggedIn();
    client.probe(1000);
    drainOutput(client);
    client.handleBytes(frame(FrameType.pong, new Uint8Array(8)), 1500);
    client.handleTimeout(4000);
    expect(drainEvents(client)).toEqual([]);
  });
});

test('an announced allowance drops what exceeds it and refills with time', () => {
  const { client } = setup();
  client.handleBytes(concatBytes(serverKeyFrame, serverInfo), 0);
  drainOutput(client);
  drainEvents(client);
  const packet = new Uint8Array(60_000);
  const cost = packet.length + 37;
  let sent = 0;
  for (; client.sendPacket(peer, packet, 0, packet.length); sent++) drainOutput(client);
  expect(sent).toBe(Math.floor(2_000_000 / cost));
  expect(client.counters.count('derp-tx-rate-limited')).toBe(1);
  const wake = client.pollTimeout();
  expect(wake?.atMs).toBe(50);
  client.handleTimeout(50);
  expect(client.sendPacket(peer, packet, 0, packet.length)).toBe(true);
});

test('queued output, events and packets are due now', () => {
  const { client, arena } = loggedIn();
  client.handleBytes(frame(FrameType.recvPacket, new Uint8Array(64)), 7);
  expect(client.pollTimeout()?.atMs).toBe(7);
  arena.free(client.pollPacket());
  client.handleBytes(frame(FrameType.ping, new Uint8Array(8)), 8);
  expect(client.pollTimeout()?.atMs).toBe(8);
  drainOutput(client);
  expect(client.pollTimeout()?.atMs).toBe(90_008);
});

test('random bytes never throw and never leak a slot', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 12 }),
      fc.integer({ min: 1, max: 0x15 }),
      (chunks, type) => {
        const { arena, client } = loggedIn({ slots: 4 });
        client.handleBytes(frame(type, chunks[0] ?? new Uint8Array(0)), 1);
        for (const chunk of chunks) client.handleBytes(chunk, 2);
        client.handleTimeout(3);
        client.close();
        expect(arena.freeCount).toBe(4);
      },
    ),
  );
});
