import { describe, expect, it } from 'vitest';
import { Download, NetstackWorld, RIGHT_IPV4, RIGHT_IPV6, Upload } from '../../../test/netstack-world.ts';
import { seededRng } from '../../../test/seeded-rng.ts';
import { type LinkFaults, PERFECT_LINK } from '../../../test/sim/lossy-link.ts';
import type { IpAddress } from '../../ip/address.ts';
import type { TcpConnection } from '../netstack.ts';

const MIB = 0x100000;

describe('a transfer in both directions at once arrives unchanged', () => {
  const cases: readonly [string, Partial<LinkFaults>, number][] = [
    ['on a link that only takes time', {}, 5],
    ['with 1 % loss', { loss: 0.01 }, 2],
    ['with 10 % loss', { loss: 0.1 }, 1],
    ['with reordering', { jitterMs: 8 }, 5],
    ['with duplicates', { duplicate: 0.05, jitterMs: 1 }, 2],
    ['with corruption', { corrupt: 0.005 }, 2],
    [
      'with 50 ms, 1 % loss, reordering, 1 % duplicates and 0.1 % corruption',
      { delayMs: 50, loss: 0.01, jitterMs: 20, duplicate: 0.01, corrupt: 0.001 },
      1,
    ],
    ['through a narrow link with a short queue', { kilobitsPerSecond: 20_000, queueBytes: 60_000 }, 2],
    ['with a delay of a second', { delayMs: 500 }, 1],
  ];
  for (const [name, faults, mebibytes] of cases) {
    it(name, () => {
      for (const [seed, remote] of [RIGHT_IPV4, RIGHT_IPV6].entries()) {
        const world = new NetstackWorld({ ...PERFECT_LINK, ...faults }, 100 + seed);
        exchange(world, remote, mebibytes * MIB);
      }
    });
  }
});

describe('a transfer', () => {
  it('resends hardly more than was lost, and nothing for mere reordering', () => {
    const lossy = new NetstackWorld({ ...PERFECT_LINK, loss: 0.01 }, 5);
    exchange(lossy, RIGHT_IPV4, 2 * MIB);
    const segments = Math.ceil((2 * MIB) / 1228);
    expect(lossy.toRight.sentCount - lossy.toRight.lostCount).toBeLessThan(1.7 * segments);
    const reordering = new NetstackWorld({ ...PERFECT_LINK, jitterMs: 4 }, 5);
    const upload = oneWay(reordering, 5 * MIB);
    expect(reordering.toRight.sentCount).toBeLessThan(Math.ceil((5 * MIB) / 1228) + 30);
    expect(upload.elapsedMs).toBeLessThan(600);
  });

  it('fills a narrow link to nine tenths', () => {
    const world = new NetstackWorld({ ...PERFECT_LINK, kilobitsPerSecond: 50_000, queueBytes: 250_000 }, 5);
    const { elapsedMs } = oneWay(world, 5 * MIB);
    expect((5 * MIB * 8) / elapsedMs).toBeGreaterThan(0.8 * 50_000);
  });

  it('crosses the wrap of the sequence numbers', () => {
    const world = new NetstackWorld({ ...PERFECT_LINK, loss: 0.005, jitterMs: 2 }, 9);
    // The sequence moves 250 a millisecond, so that a time can be found at which it is about to wrap.
    const { sequence, atMs } = initialSequenceOf(9);
    world.nowMs = atMs + ((0xfffffff0 - sequence) >>> 0) / 250;
    let first = -1;
    const send = world.toRight.send.bind(world.toRight);
    world.toRight.send = (packet, nowMs) => {
      if (first < 0) first = new DataView(packet.buffer, packet.byteOffset).getUint32(24);
      send(packet, nowMs);
    };
    exchange(world, RIGHT_IPV4, MIB);
    expect(first).toBe(0xfffffff0);
  });

  it('waits for a reader of a kilobyte a second without losing a byte or the connection', () => {
    const world = new NetstackWorld(PERFECT_LINK, 4);
    const data = randomBytes(100_000, 4);
    const upload = new Upload(data);
    let incoming: TcpConnection | undefined;
    world.right.listenTcp(80, { isDeferred: false });
    world.onRight = (event) => {
      if (event.kind === 'tcp-incoming') incoming = event.connection;
    };
    world.onLeft = (event) => {
      if (event.kind === 'tcp-connected' || event.kind === 'tcp-writable') upload.pump(event.connection, world.nowMs);
    };
    world.left.connectTcp({ local: undefined, remote: RIGHT_IPV4, port: 80 }, world.nowMs);
    world.run(100);
    const received = new Uint8Array(data.length);
    let length = 0;
    for (let second = 0; second < 120 && length < data.length; second++) {
      length += incoming?.read(received.subarray(length, length + 1024), world.nowMs) ?? 0;
      world.run(1000);
    }
    expect(received).toEqual(data);
  });

  it('shares the link fairly among eight connections', () => {
    const world = new NetstackWorld({ ...PERFECT_LINK, kilobitsPerSecond: 100_000, queueBytes: 400_000 }, 6);
    const downloads = new Map<TcpConnection, Download>();
    const block = new Uint8Array(65_536);
    world.right.listenTcp(80, { isDeferred: false });
    world.onRight = (event) => {
      if (event.kind === 'tcp-incoming') downloads.set(event.connection, new Download());
      if (event.kind === 'tcp-readable') downloads.get(event.connection)?.take(event.connection, world.nowMs);
    };
    world.onLeft = (event) => {
      if (event.kind !== 'tcp-connected' && event.kind !== 'tcp-writable') return;
      while (event.connection.write(block, world.nowMs) === block.length);
    };
    for (let i = 0; i < 8; i++) world.left.connectTcp({ local: undefined, remote: RIGHT_IPV4, port: 80 }, world.nowMs);
    world.run(3000);
    const lengths = [...downloads.values()].map((download) => download.length);
    expect(lengths).toHaveLength(8);
    expect(Math.min(...lengths)).toBeGreaterThan(0.25 * Math.max(...lengths));
  });

  it('takes turns packet by packet', () => {
    const world = new NetstackWorld(PERFECT_LINK, 6);
    world.right.listenTcp(80, { isDeferred: false });
    const connections = [1, 2, 3].map(() =>
      world.left.connectTcp({ local: undefined, remote: RIGHT_IPV4, port: 80 }, world.nowMs),
    );
    world.run(100);
    for (const connection of connections) connection.write(new Uint8Array(20_000), world.nowMs);
    const ports: number[] = [];
    for (let i = 0; i < 9; i++) {
      const slot = world.left.pollPacket(world.nowMs);
      ports.push(new DataView(world.arena.bytes.buffer).getUint16((world.arena.offset[slot] as number) + 20));
      world.arena.free(slot);
    }
    expect(new Set(ports.slice(0, 3)).size).toBe(3);
    expect(ports.slice(3, 6)).toEqual(ports.slice(0, 3));
    expect(ports.slice(6)).toEqual(ports.slice(0, 3));
  });

  it('opens and closes a thousand connections, and keeps nothing', () => {
    const world = new NetstackWorld({ ...PERFECT_LINK, loss: 0.02 }, 8);
    let finished = 0;
    world.right.listenTcp(80, { isDeferred: false });
    world.onRight = (event) => {
      if (event.kind !== 'tcp-remote-end') return;
      const data = new Uint8Array(100);
      event.connection.write(data.subarray(0, event.connection.read(data, world.nowMs)), world.nowMs);
      event.connection.shutdown(world.nowMs);
    };
    world.onLeft = (event) => {
      if (event.kind === 'tcp-connected') {
        event.connection.write(new Uint8Array(50), world.nowMs);
        event.connection.shutdown(world.nowMs);
      }
      if (event.kind === 'tcp-closed' && event.reason === 'finished') finished++;
    };
    for (let i = 0; i < 1000; i++)
      world.left.connectTcp({ local: undefined, remote: RIGHT_IPV4, port: 80 }, world.nowMs);
    world.runUntil(() => finished === 1000);
    world.run(120_000);
    expect([world.left.connectionCount, world.right.connectionCount]).toEqual([0, 0]);
    expect([world.left.pollTimeout(), world.right.pollTimeout()]).toEqual([undefined, undefined]);
    expect(world.arena.freeCount).toBe(world.arena.slotCount);
  });
});

/** Sends `length` bytes each way and compares. */
function exchange(world: NetstackWorld, remote: IpAddress, length: number): void {
  const [there, back] = [randomBytes(length, 1), randomBytes(length, 2)];
  const [uploadThere, uploadBack] = [new Upload(there), new Upload(back)];
  const [downloadThere, downloadBack] = [new Download(), new Download()];
  let closed = 0;
  world.right.listenTcp(80, { isDeferred: false });
  world.onLeft = (event) => {
    if (event.kind === 'tcp-connected' || event.kind === 'tcp-writable')
      uploadThere.pump(event.connection, world.nowMs);
    if (event.kind === 'tcp-readable') downloadBack.take(event.connection, world.nowMs);
    if (event.kind === 'tcp-closed') closed++;
  };
  world.onRight = (event) => {
    if (event.kind === 'tcp-incoming' || event.kind === 'tcp-writable') uploadBack.pump(event.connection, world.nowMs);
    if (event.kind === 'tcp-readable') downloadThere.take(event.connection, world.nowMs);
    if (event.kind === 'tcp-closed') closed++;
  };
  world.left.connectTcp({ local: undefined, remote, port: 80 }, world.nowMs);
  world.runUntil(() => closed === 2);
  expect(isSame(downloadThere.bytes(), there)).toBe(true);
  expect(isSame(downloadBack.bytes(), back)).toBe(true);
  expect(world.arena.freeCount).toBe(world.arena.slotCount);
}

/** Sends one way only; returns how long it took. */
function oneWay(world: NetstackWorld, length: number): { elapsedMs: number } {
  const data = randomBytes(length, 3);
  const upload = new Upload(data);
  const download = new Download();
  const startedAtMs = world.nowMs;
  world.right.listenTcp(80, { isDeferred: false });
  world.onLeft = (event) => {
    if (event.kind === 'tcp-connected' || event.kind === 'tcp-writable') upload.pump(event.connection, world.nowMs);
  };
  world.onRight = (event) => {
    if (event.kind === 'tcp-readable') download.take(event.connection, world.nowMs);
  };
  world.left.connectTcp({ local: undefined, remote: RIGHT_IPV4, port: 80 }, world.nowMs);
  world.runUntil(() => download.length === length);
  expect(isSame(download.bytes(), data)).toBe(true);
  return { elapsedMs: world.nowMs - startedAtMs };
}

/** Initial sequence of the first connection of a fresh world of this seed at its start. */
function initialSequenceOf(seed: number): { sequence: number; atMs: number } {
  const { left, arena, nowMs } = new NetstackWorld(PERFECT_LINK, seed);
  left.connectTcp({ local: undefined, remote: RIGHT_IPV4, port: 80 }, nowMs);
  const start = arena.offset[left.pollPacket(nowMs)] as number;
  return { sequence: arena.view.getUint32(start + 24), atMs: nowMs };
}

function randomBytes(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  seededRng(seed).fill(bytes);
  return bytes;
}

/** A deep comparison of megabytes by the test runner takes seconds. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
