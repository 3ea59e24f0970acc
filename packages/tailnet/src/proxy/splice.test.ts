import { createServer, type Socket } from 'node:net';
import { PassThrough, Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { createSignal, FakeNode, listenOnLoopback } from '../../test/fake-node.ts';
import { RawClient } from '../../test/raw-client.ts';
import { type Forward, startForward } from './forward.ts';
import { pump } from './splice.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A client and the connection of a service, joined by a forward. */
async function join(): Promise<{ client: RawClient; service: RawClient; node: FakeNode; forward: Forward }> {
  const accepted = createSignal<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => accepted.resolve(socket));
  const port = await listenOnLoopback(server);
  const node = new FakeNode({ service: '127.0.0.1' });
  const forward = await startForward(node, { listen: '127.0.0.1:0', host: 'service', port });
  closers.push(
    () => forward.close(),
    () => server.close(),
  );
  const client = await RawClient.connect(forward.address);
  return { client, service: new RawClient(await accepted.promise), node, forward };
}

describe('splice', () => {
  test('carries both directions', async () => {
    const { client, service } = await join();
    client.send('question');
    expect((await service.read(8)).toString()).toBe('question');
    service.send('answer');
    expect((await client.read(6)).toString()).toBe('answer');
  });
  test('keeps the other direction open when one ends', async () => {
    const { client, service, node } = await join();
    client.send('all I have');
    client.socket.end();
    expect(await service.readToEnd()).toBe('all I have');
    service.send('and now ');
    await client.read(8);
    service.send('the answer');
    service.socket.end();
    expect(await client.readToEnd()).toBe('the answer');
    await expect.poll(() => node.openConnectionCount).toBe(0);
  });
  test('keeps the other direction open when the service ends first', async () => {
    const { client, service } = await join();
    service.send('banner');
    service.socket.end();
    expect(await client.readToEnd()).toBe('banner');
    client.send('late');
    client.socket.end();
    expect(await service.readToEnd()).toBe('late');
  });
  test('passes a reset on, either way', async () => {
    const first = await join();
    first.client.socket.resetAndDestroy();
    expect(await first.service.fate()).toBe('reset');
    const second = await join();
    second.service.socket.resetAndDestroy();
    expect(await second.client.fate()).toBe('reset');
  });
  test('carries megabytes unchanged', async () => {
    const { client, service } = await join();
    const bytes = Buffer.alloc(8 * 1024 * 1024, 'some bytes that are no multiple of a chunk');
    client.socket.end(bytes);
    service.socket.end(bytes);
    expect((await service.readToEnd()) === bytes.toString()).toBe(true);
    expect((await client.readToEnd()) === bytes.toString()).toBe(true);
  });
  test('closing the forward resets what goes through it', async () => {
    const { client, service, forward } = await join();
    await forward.close();
    expect(await client.fate()).toBe('reset');
    expect(await service.fate()).toBe('reset');
  });
});

describe('pump', () => {
  test('counts what passes and ends the writer', async () => {
    const [from, to] = [new PassThrough(), new PassThrough()];
    let count = 0;
    pump(from, to, (bytes) => {
      count += bytes;
    });
    from.end('12345');
    expect((await to.toArray()).toString()).toBe('12345');
    expect(count).toBe(5);
  });
  test('does not read on while the writer takes nothing', async () => {
    const chunk = Buffer.alloc(16_384);
    const chunkCount = 1000;
    let readCount = 0;
    const from = new Readable({
      read() {
        this.push(readCount++ < chunkCount ? chunk : null);
      },
    });
    const taken = createSignal<() => void>();
    let writtenCount = 0;
    const to = new Writable({
      write(_chunk, _encoding, done) {
        writtenCount++;
        if (writtenCount === 1) taken.resolve(done);
        else done();
      },
    });
    pump(from, to, () => {});
    const goOn = await taken.promise;
    // A source in memory gives all it has within one turn to whoever goes on asking.
    await setImmediate();
    expect(from.isPaused()).toBe(true);
    expect(readCount * chunk.length).toBeLessThanOrEqual(
      from.readableHighWaterMark + to.writableHighWaterMark + 2 * chunk.length,
    );
    goOn();
    await finished(to);
    expect(writtenCount).toBe(chunkCount);
  });
});
