import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SocketPair } from '../../test/socket-pair.ts';

let pair: SocketPair;
let unhandled: unknown[];
const onUnhandled = (error: unknown) => unhandled.push(error);

beforeEach(() => {
  unhandled = [];
  process.on('uncaughtException', onUnhandled);
  pair = new SocketPair();
});
afterEach(async () => {
  pair.close();
  await turns();
  process.off('uncaughtException', onUnhandled);
  expect(unhandled).toEqual([]);
});

const turns = async (count = 20): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};
const codeOf = (failing: Promise<unknown>): Promise<unknown> =>
  failing.then(
    () => 'no error',
    (error: { code: string }) => error.code,
  );

describe('a dial', () => {
  it('is refused where nobody listens', async () => {
    expect(await codeOf(pair.dial(81))).toBe('dial/refused');
    expect(pair.left.netstack.connectionCount).toBe(0);
  });

  it('times out when nobody answers, and leaves no connection', async () => {
    pair.left.isCut = true;
    expect(await codeOf(pair.dial(80, { timeoutMs: 20 }))).toBe('dial/timeout');
    expect(pair.left.netstack.connectionCount).toBe(0);
  });

  it('is cancelled by its signal, before or during', async () => {
    pair.left.isCut = true;
    expect(await codeOf(pair.dial(80, { signal: AbortSignal.abort() }))).toBe('dial/aborted');
    const abort = new AbortController();
    const dialing = codeOf(pair.dial(80, { signal: abort.signal }));
    await turns();
    abort.abort();
    expect(await dialing).toBe('dial/aborted');
    expect(pair.left.netstack.connectionCount).toBe(0);
  });

  it('that succeeded lives on when its signal fires later', async () => {
    const abort = new AbortController();
    pair.right.sockets.listen(80, (connection) => connection.end('alive'));
    const connection = await pair.dial(80, { signal: abort.signal });
    abort.abort();
    expect((await once(connection, 'data')).toString()).toBe('alive');
  });
});

describe('a listener', () => {
  it('has its port alone until it is closed', () => {
    const { sockets } = pair.right;
    const listener = sockets.listen(80, () => {});
    expect(() => sockets.listen(80, () => {})).toThrow(expect.objectContaining({ code: 'listen/port-in-use' }));
    listener.close();
    listener.close();
    sockets.listen(80, () => {});
    expect(listener.port).toBe(80);
  });

  it('that is closed twice leaves its successor alone', async () => {
    const listener = pair.right.sockets.listen(80, () => {});
    listener.close();
    pair.right.sockets.listen(80, (connection) => connection.end('second'));
    listener.close();
    expect((await once(await pair.dial(80), 'data')).toString()).toBe('second');
  });

  it('leaves what it has accepted alone when it closes', async () => {
    const [left, right] = await pair.connect();
    expect(await codeOf(pair.dial(80))).toBe('dial/refused');
    right.write('still here');
    expect((await once(left, 'data')).toString()).toBe('still here');
  });
});

describe('a ping', () => {
  it('is answered with its time', async () => {
    const { sockets } = pair.left;
    const times = await Promise.all(Array.from({ length: 5 }, () => sockets.ping(pair.right.address, 2000, undefined)));
    for (const roundTripMs of times) expect(roundTripMs).toBeGreaterThanOrEqual(0);
  });

  it('gives up in time, and at its signal', async () => {
    pair.left.isCut = true;
    const { sockets } = pair.left;
    expect(await sockets.ping(pair.right.address, 10, undefined)).toBeUndefined();
    const abort = new AbortController();
    const pinging = sockets.ping(pair.right.address, 60_000, abort.signal);
    abort.abort();
    expect(await pinging).toBeUndefined();
  });

  it('that was cancelled before ends at once', async () => {
    pair.left.isCut = true;
    const pinging = pair.left.sockets.ping(pair.right.address, 60_000, AbortSignal.abort());
    const outcome = await Promise.race([pinging.then(() => 'ended'), turns().then(() => 'waits')]);
    expect(outcome).toBe('ended');
  });

  it('is refused when too many wait', async () => {
    pair.left.isCut = true;
    const { sockets } = pair.left;
    const waiting = Array.from({ length: 256 }, () => sockets.ping(pair.right.address, 60_000, undefined));
    expect(await codeOf((async () => sockets.ping(pair.right.address, 10, undefined))())).toBe('ping/too-many');
    sockets.close();
    await Promise.all(waiting);
  });
});

describe('the end of the node', () => {
  it('closes streams without an error, and the peer has a reset', async () => {
    const [left, right] = await pair.connect();
    const closed = once(left, 'close');
    const lost = once(right, 'error');
    pair.left.sockets.close();
    await closed;
    expect(left.errored).toBeNull();
    expect((await lost)[0]).toMatchObject({ code: 'dial/reset' });
    expect(pair.left.netstack.connectionCount).toBe(0);
  });

  it('answers dials that wait', async () => {
    pair.left.isCut = true;
    const dialing = codeOf(pair.dial(80));
    pair.left.sockets.close();
    expect(await dialing).toBe('dial/closed');
  });

  it('gives no time to pings that wait', async () => {
    pair.left.isCut = true;
    const pinging = pair.left.sockets.ping(pair.right.address, 60_000, undefined).catch(() => undefined);
    pair.left.sockets.close();
    expect(await pinging).toBeUndefined();
  });

  it('closes datagram ports', () => {
    const socket = pair.left.sockets.openUdp(undefined);
    pair.left.sockets.close();
    expect(socket.send(new Uint8Array(1), '100.64.0.2', 1)).toBe(false);
  });
});
