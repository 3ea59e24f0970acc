import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PiecewiseSocket } from './piecewise-socket.ts';

let server: Server;
const accepted: ((socket: Socket) => void)[] = [];
beforeAll(async () => {
  server = createServer({ allowHalfOpen: true }, (socket) => accepted.shift()?.(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

async function pair(): Promise<{ readonly client: Socket; readonly socket: PiecewiseSocket }> {
  const inner = new Promise<Socket>((resolve) => accepted.push(resolve));
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  client.on('error', () => {});
  const socket = new PiecewiseSocket(await inner);
  socket.on('error', () => {});
  return { client, socket };
}

const closed = (socket: Socket | PiecewiseSocket) =>
  new Promise<void>((resolve) => socket.on('close', () => resolve()));

describe('a socket in pieces', () => {
  it('hands on every byte in its order, however it came and however often it is held', async () => {
    const chunk = fc.uint8Array({ minLength: 1, maxLength: 3_000 });
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 8 }), async (chunks) => {
        const { client, socket } = await pair();
        for (const bytes of chunks) client.write(bytes);
        client.end();
        const received: Buffer[] = [];
        await new Promise<void>((resolve) => {
          socket.on('data', (bytes: Buffer) => {
            expect(bytes.length).toBeLessThanOrEqual(512);
            received.push(bytes);
            socket.hold();
            setImmediate(() => socket.release());
          });
          socket.on('end', () => resolve());
        });
        expect(Buffer.concat(received).equals(Buffer.concat(chunks))).toBe(true);
        client.destroy();
        socket.destroy();
      }),
      { numRuns: 50 },
    );
  });

  it('hands nothing on while it is held, whoever resumes it', async () => {
    const { client, socket } = await pair();
    let count = 0;
    const first = new Promise<void>((resolve) => {
      socket.on('data', () => {
        count++;
        socket.hold();
        socket.resume();
        resolve();
      });
    });
    client.write('x'.repeat(5_000));
    await first;
    for (let i = 0; i < 100; i++) await new Promise(setImmediate);
    expect(count).toBe(1);
    client.destroy();
    socket.destroy();
  });

  it('writes what it is given, and tells when there is room again', async () => {
    const { client, socket } = await pair();
    client.pause();
    const big = Buffer.alloc(32 * 1024 * 1024, 'y');
    expect(socket.write('é', 'latin1')).toBe(true);
    expect(socket.write(big)).toBe(false);
    const drained = new Promise<void>((resolve) => socket.once('drain', () => resolve()));
    socket.end('z');
    let length = 0;
    let last: Buffer = Buffer.alloc(0);
    let head = -1;
    for await (const bytes of client) {
      last = bytes as Buffer;
      if (length === 0) head = last[0] as number;
      length += last.length;
    }
    await drained;
    expect([length, head, last.at(-1)]).toEqual([big.length + 2, 0xe9, 'z'.charCodeAt(0)]);
    client.destroy();
    socket.destroy();
  });

  it('ends with the inner one, and the inner one with it', async () => {
    const one = await pair();
    const isClosed = closed(one.socket);
    one.client.resetAndDestroy();
    await isClosed;
    const other = await pair();
    const ends = Promise.all([closed(other.client), closed(other.socket.inner)]);
    other.client.resume().on('end', () => other.client.end());
    other.socket.write('the last words');
    other.socket.destroySoon();
    await ends;
    expect(other.client.bytesRead).toBe(14);
  });
});
