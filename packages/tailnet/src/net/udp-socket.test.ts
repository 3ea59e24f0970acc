import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SocketPair } from '../../test/socket-pair.ts';

let pair: SocketPair;
beforeEach(() => {
  pair = new SocketPair();
});
afterEach(() => pair.close());

const turns = async (count = 10): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe('a UDP socket', () => {
  it('sends and receives, and says from where', async () => {
    const [left, right] = [pair.left.sockets.openUdp(undefined), pair.right.sockets.openUdp(53)];
    expect(right.port).toBe(53);
    right.onMessage((data, { address, port }) => right.send(Uint8Array.of(...data, 9), address, port));
    const heard: unknown[] = [];
    left.onMessage((data, from) => heard.push([[...data], from]));
    expect(left.send(Uint8Array.of(1, 2), '100.64.0.2', 53)).toBe(true);
    await turns();
    expect(heard).toEqual([[[1, 2, 9], { address: '100.64.0.2', port: 53 }]]);
  });

  it('keeps datagrams that come before a listener, and sends empty and large ones', async () => {
    const [left, right] = [pair.left.sockets.openUdp(undefined), pair.right.sockets.openUdp(53)];
    for (const length of [0, 1, 1252, 8000]) left.send(new Uint8Array(length), '100.64.0.2', 53);
    await turns();
    const lengths: number[] = [];
    right.onMessage((data) => lengths.push(data.length));
    expect(lengths).toEqual([0, 1, 1252, 8000]);
  });

  it('refuses what is no address, and says false when its queue is full', async () => {
    const left = pair.left.sockets.openUdp(undefined);
    expect(() => left.send(new Uint8Array(1), 'db', 53)).toThrow(TypeError);
    let accepted = 0;
    while (accepted < 10_000 && left.send(new Uint8Array(1000), '100.64.0.2', 53)) accepted++;
    expect(accepted).toBeGreaterThan(0);
    expect(accepted).toBeLessThan(10_000);
    await turns();
    expect(left.send(new Uint8Array(1000), '100.64.0.2', 53)).toBe(true);
  });

  it('gives its port free when it closes, and sends nothing then', () => {
    const socket = pair.left.sockets.openUdp(53);
    expect(() => pair.left.sockets.openUdp(53)).toThrow(RangeError);
    socket.close();
    socket.close();
    expect(socket.send(new Uint8Array(1), '100.64.0.2', 53)).toBe(false);
    expect(pair.left.sockets.openUdp(53).port).toBe(53);
  });
});
