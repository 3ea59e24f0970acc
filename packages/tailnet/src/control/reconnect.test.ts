import { generatePrivateKey } from '@heddle/proto/keys/private-key';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeControl, SELF, sendMap } from '../../test/control/fake-control.ts';
import { cleanUp, cleanups, crypto, FAST, Subject, startServer, until } from '../../test/control/subject.ts';
import { nodeRng } from '../crypto/node-provider.ts';

afterEach(cleanUp);

describe('a node that the server has lost', () => {
  it.each([
    [404, 'node not found'],
    [400, 'node not found'],
    [500, 'Internal error'],
  ])('is registered again after %i %s for its stream', async (status, text) => {
    const server = await startServer();
    server.onStream = (stream) => {
      if (server.bodies('register').length > 1) return sendMap(stream, { Node: SELF });
      stream.respond({ ':status': status });
      stream.end(text);
    };
    const subject = new Subject(server.url);
    await subject.untilNetmap();
    expect(server.bodies('register')).toHaveLength(2);
    expect(await subject.untilError('reconnecting')).toBe('control/unknown-node');
  });

  it('is registered again after 404 for an update, though its stream is open', async () => {
    const server = await startServer();
    const subject = new Subject(server.url);
    await subject.untilNetmap();
    await until(() => server.bodies('update').length === 1, 'the first update');
    server.onUpdate = () => (server.bodies('register').length > 1 ? {} : { status: 404 });
    subject.client.setHomeDerp(3);
    await subject.untilNetmap(2);
    expect(server.bodies('register')).toHaveLength(2);
  });

  it('is noticed without news by the periodic update', async () => {
    const server = await startServer();
    const subject = new Subject(server.url, { timings: { ...FAST, refreshMs: 20 } });
    await subject.untilNetmap();
    await until(() => server.bodies('update').length >= 3, 'periodic updates');
  });

  it('is registered again when its stream ends at once', async () => {
    const server = await startServer();
    server.onStream = (stream) => {
      if (server.bodies('stream').length > 2) return sendMap(stream, { Node: SELF });
      stream.respond({ ':status': 200 }, { endStream: true });
    };
    const subject = new Subject(server.url);
    await subject.untilNetmap();
    expect(server.bodies('register').length).toBeGreaterThan(1);
    expect(subject.kinds.filter((kind) => kind === 'reconnecting')).toHaveLength(2);
  });
});

describe('a lost connection', () => {
  it('is replaced without registering, with a fresh netmap', async () => {
    const server = await startServer();
    const messages = [{ Node: SELF, Peers: [{ ...SELF, ID: 2 }] }, { Node: SELF }];
    server.onStream = (stream) => sendMap(stream, messages.shift()!);
    const subject = new Subject(server.url);
    await subject.untilNetmap();
    server.cut();
    expect((await subject.untilNetmap(2)).peers.size).toBe(0);
    expect(server.bodies('register')).toHaveLength(1);
    expect(subject.kinds.slice(3)).toEqual(['streaming', 'reconnecting', 'streaming']);
    // The key is remembered.
    expect(server.plainRequests).toEqual(['/key?v=131', '/ts2021', '/ts2021']);
  });

  it('GOAWAY is one', async () => {
    const server = await startServer();
    const subject = new Subject(server.url);
    await subject.untilNetmap();
    for (const session of server.sessions) session.goaway();
    await subject.untilNetmap(2);
  });

  it('the end of the stream is one', async () => {
    const server = await startServer();
    server.onStream = (stream) => {
      sendMap(stream, { Node: SELF });
      if (server.bodies('stream').length === 1) stream.end();
    };
    const subject = new Subject(server.url);
    await subject.untilNetmap(2);
    expect(await subject.untilError('reconnecting')).toBe('control/stream-ended');
  });

  it('an end inside a message is damage', async () => {
    const server = await startServer();
    server.onStream = (stream) => {
      sendMap(stream, { Node: SELF });
      if (server.bodies('stream').length === 1) stream.end(Buffer.from([200, 0, 0, 0, 1]));
    };
    const subject = new Subject(server.url);
    await subject.untilNetmap(2);
    expect(await subject.untilError('reconnecting')).toBe('control/stream-damaged');
  });

  it('silence is one', async () => {
    const server = await startServer();
    const subject = new Subject(server.url, { timings: { ...FAST, watchdogMs: 30 } });
    await subject.untilNetmap(2);
    expect(await subject.untilError('reconnecting')).toBe('control/timeout');
  });

  it('keep-alives break the silence', async () => {
    const server = await startServer();
    let beat: NodeJS.Timeout | undefined;
    server.onStream = (stream) => {
      sendMap(stream, { Node: SELF });
      beat = setInterval(() => sendMap(stream, { KeepAlive: true }), 20);
      stream.on('close', () => clearInterval(beat));
    };
    const subject = new Subject(server.url, { timings: { ...FAST, watchdogMs: 400, refreshMs: 10 } });
    await subject.untilNetmap();
    await until(() => server.bodies('update').length > 25, 'more time than the watchdog allows');
    expect(subject.kinds).not.toContain('reconnecting');
  });

  it('a server that comes back with another key is joined', async () => {
    const server = await startServer();
    const subject = new Subject(server.url);
    await subject.untilNetmap();
    server.serverKey = generatePrivateKey('machine', crypto, nodeRng);
    server.cut();
    await subject.untilNetmap(2);
    expect(server.plainRequests.slice(2)).toEqual(['/ts2021', '/key?v=131', '/ts2021']);
  });

  it('a server that comes back with another key and keeps silent about it is joined', async () => {
    const server = await startServer();
    const subject = new Subject(server.url, { timings: { ...FAST, rememberedKeyMs: 50 } });
    await subject.untilNetmap();
    server.onUpgrade = () => {
      server.onUpgrade = undefined;
    };
    server.cut();
    await subject.untilNetmap(2);
    expect(server.plainRequests.slice(2)).toEqual(['/ts2021', '/key?v=131', '/ts2021']);
  });

  it('a server that was away for a while is joined', async () => {
    const server = await startServer();
    const { port } = server;
    const subject = new Subject(server.url);
    await subject.untilNetmap();
    await server.close();
    cleanups.splice(0, 1);
    await until(() => subject.kinds.filter((kind) => kind === 'reconnecting').length > 3, 'some attempts');
    const successor = new FakeControl();
    await successor.listen(port);
    cleanups.unshift(() => successor.close());
    await subject.untilNetmap(2);
  });
});
