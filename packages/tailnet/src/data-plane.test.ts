import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { netmapOf, Side, statusOf } from '../test/plane-side.ts';

let left: Side;
let right: Side;
const introduce = (): void => {
  left.plane.setNetmap(netmapOf(left.describe(), [right.describe()]));
  right.plane.setNetmap(netmapOf(right.describe(), [left.describe()]));
};

beforeEach(async () => {
  [left, right] = await Promise.all([
    new Side(1).open({ isUdpEnabled: true }),
    new Side(2).open({ isUdpEnabled: true }),
  ]);
});
afterEach(async () => {
  await Promise.all([left.plane.close(), right.plane.close()]);
});

describe('two data planes without a relay', () => {
  it('find each other by their UDP endpoints and carry a connection', async () => {
    introduce();
    right.plane.sockets.listen(80, (connection) => connection.pipe(connection));
    expect(await left.plane.sockets.ping(right.address, 8000, undefined)).toBeGreaterThan(0);
    const options = { address: right.address, port: 80, timeoutMs: 8000, signal: undefined };
    const connection = await left.plane.sockets.dial(options);
    connection.end('echo');
    expect((await once(connection, 'data')).toString()).toBe('echo');
    const peer = statusOf(left, netmapOf(left.describe(), [right.describe()])).peers[0];
    expect(peer).toMatchObject({ name: 'side2', path: { kind: 'direct' }, online: true });
    expect(peer!.lastHandshakeUnixMs).toBeGreaterThan(1_600_000_000_000);
    expect(peer!.rxBytes).toBeGreaterThan(0);
  });
});

describe('a data plane', () => {
  it('tells its endpoints once, when it opens, and has no home without relays', () => {
    introduce();
    expect(left.told).toHaveLength(1);
    expect(left.plane.endpoints.length).toBeGreaterThan(0);
    for (const { type } of left.plane.endpoints) expect(type).toBe(1);
    expect([left.plane.home, left.plane.isHomeConnected, left.homes]).toEqual([0, false, []]);
  });

  it('does not open a UDP port that is taken', async () => {
    const port = left.plane.endpoints[0]!.endpoint.port;
    await expect(new Side(3).open({ isUdpEnabled: true, udpPort: port })).rejects.toThrow(`${port}`);
  });

  it('has no endpoints without UDP, and closes twice', async () => {
    const quiet = await new Side(3).open({ isUdpEnabled: false });
    expect([quiet.plane.endpoints, quiet.told]).toEqual([[], []]);
    await quiet.plane.close();
    await quiet.plane.close();
  });

  it('probes and pings on while it is closed, without an error', async () => {
    introduce();
    const pinging = left.plane.sockets.ping(right.address, 100, undefined);
    await left.plane.close();
    await pinging.catch(() => undefined);
    left.plane.probe(0);
    introduce();
    expect(left.plane.isRelayConnected(1)).toBe(false);
  });
});
