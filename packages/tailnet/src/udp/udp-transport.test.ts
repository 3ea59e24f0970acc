import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { PACKET_SLOT_BYTES, PacketArena } from '@heddle/proto/bytes/packet-arena';
import { type Endpoint, parseEndpoint } from '@heddle/proto/ip/endpoint';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UdpTransport } from './udp-transport.ts';

const SLOTS = 512;

let arena: PacketArena;
let transport: UdpTransport;
let received: { bytes: number[]; from: Endpoint }[];
let sendErrors: [Endpoint, boolean][];
let drains: number;
const peers: Socket[] = [];

const open = (port = 0): Promise<UdpTransport> =>
  UdpTransport.open({
    arena,
    port,
    onDatagram: (slot, from) => {
      received.push({ bytes: [...arena.packet(slot)], from });
      arena.free(slot);
    },
    onSendError: (to, isUnreachable) => sendErrors.push([to, isUnreachable]),
    onDrain: () => {
      drains++;
    },
  });

beforeEach(async () => {
  arena = new PacketArena(new Uint8Array(SLOTS * PACKET_SLOT_BYTES));
  [received, sendErrors, drains] = [[], [], 0];
  transport = await open();
});
afterEach(async () => {
  await transport.close();
  for (const peer of peers.splice(0)) peer.close();
});

async function openPeer(address: '127.0.0.1' | '::1'): Promise<{ socket: Socket; endpoint: Endpoint }> {
  const socket = createSocket(address === '::1' ? 'udp6' : 'udp4');
  peers.push(socket);
  await new Promise<void>((resolve) => socket.bind(0, address, resolve));
  const { port } = socket.address();
  return { socket, endpoint: parseEndpoint(address === '::1' ? `[::1]:${port}` : `127.0.0.1:${port}`) as Endpoint };
}

describe.each(['127.0.0.1', '::1'] as const)('a UDP transport and a peer at %s', (address) => {
  it('exchange datagrams, and every slot is free afterwards', async (context) => {
    if (address === '::1' && !transport.hasIpv6) return context.skip();
    const { socket, endpoint } = await openPeer(address);
    const arrived = once(socket, 'message');
    transport.send(arena.copyIn(Uint8Array.of(1, 2, 3)), endpoint);
    const [data, from] = (await arrived) as [Buffer, { port: number }];
    expect([...data]).toEqual([1, 2, 3]);
    expect(from.port).toBe(transport.port);
    socket.send(Uint8Array.of(4), transport.port, address);
    socket.send(Uint8Array.of(5), transport.port, address);
    await vi.waitFor(() => expect(received.map(({ bytes }) => bytes)).toEqual([[4], [5]]));
    expect(received[0]?.from).toEqual(endpoint);
    expect(received[1]?.from).toBe(received[0]?.from);
    expect(arena.freeCount).toBe(SLOTS);
    expect(sendErrors).toEqual([]);
  });
});

describe('a UDP transport', () => {
  it('has the same port in both families, and says so when it is taken', async () => {
    expect(transport.port).toBeGreaterThan(0);
    await expect(open(transport.port)).rejects.toThrow(`${transport.port}`);
  });

  it('is blocked when too many datagrams are under way, and says when it is not any more', async () => {
    const { endpoint } = await openPeer('127.0.0.1');
    let sent = 0;
    for (; !transport.isBlocked && sent < SLOTS; sent++) transport.send(arena.copyIn(Uint8Array.of(1)), endpoint);
    expect(transport.isBlocked).toBe(true);
    expect(arena.freeCount).toBe(SLOTS - sent);
    await vi.waitFor(() => expect(arena.freeCount).toBe(SLOTS));
    expect([transport.isBlocked, drains]).toEqual([false, 1]);
  });

  it('reports a datagram that the system refuses, and frees its slot', async () => {
    // 255.255.255.255 needs SO_BROADCAST, which the sockets do not have: EACCES.
    const broadcast = parseEndpoint('255.255.255.255:9') as Endpoint;
    transport.send(arena.copyIn(Uint8Array.of(1)), broadcast);
    await vi.waitFor(() => expect(sendErrors).toEqual([[broadcast, false]]));
    expect(arena.freeCount).toBe(SLOTS);
  });

  it('goes on after a peer that has closed its port', async () => {
    const gone = await openPeer('127.0.0.1');
    const { socket, endpoint } = await openPeer('127.0.0.1');
    await new Promise<void>((resolve) => peers.splice(peers.indexOf(gone.socket), 1)[0]!.close(() => resolve()));
    for (let i = 0; i < 5; i++) transport.send(arena.copyIn(Uint8Array.of(i)), gone.endpoint);
    await vi.waitFor(() => expect(arena.freeCount).toBe(SLOTS));
    const arrived = once(socket, 'message');
    transport.send(arena.copyIn(Uint8Array.of(9)), endpoint);
    await arrived;
    await vi.waitFor(() => expect(arena.freeCount).toBe(SLOTS));
  });

  it('drops what arrives when no slot is free, and datagrams larger than one', async () => {
    const { socket } = await openPeer('127.0.0.1');
    socket.send(new Uint8Array(4000), transport.port, '127.0.0.1');
    const taken: number[] = [];
    for (let slot = arena.allocate(); slot >= 0; slot = arena.allocate()) taken.push(slot);
    await new Promise((resolve) => socket.send(Uint8Array.of(1), transport.port, '127.0.0.1', resolve));
    // It lies in the receive buffer now, and is read in the next turn.
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    for (const slot of taken) arena.free(slot);
    socket.send(Uint8Array.of(2), transport.port, '127.0.0.1');
    await vi.waitFor(() => expect(received.map(({ bytes }) => bytes)).toEqual([[2]]));
  });

  it('frees what it is given after it was closed, and closes twice', async () => {
    await transport.close();
    await transport.close();
    transport.send(arena.copyIn(Uint8Array.of(1)), parseEndpoint('127.0.0.1:9') as Endpoint);
    expect(arena.freeCount).toBe(SLOTS);
  });

  it('frees what is under way when it closes', async () => {
    const { endpoint } = await openPeer('127.0.0.1');
    for (let i = 0; i < 100; i++) transport.send(arena.copyIn(Uint8Array.of(1)), endpoint);
    await transport.close();
    await vi.waitFor(() => expect(arena.freeCount).toBe(SLOTS));
  });
});
