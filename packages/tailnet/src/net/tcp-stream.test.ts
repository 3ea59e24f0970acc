import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { finished } from 'node:stream/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SocketPair } from '../../test/socket-pair.ts';
import type { TailnetConnection } from '../types.ts';

let pair: SocketPair;
let left: TailnetConnection;
let right: TailnetConnection;
let unhandled: unknown[];
const onUnhandled = (error: unknown) => unhandled.push(error);

beforeEach(async () => {
  unhandled = [];
  process.on('uncaughtException', onUnhandled);
  pair = new SocketPair();
  [left, right] = await pair.connect();
});
afterEach(() => {
  pair.close();
  process.off('uncaughtException', onUnhandled);
  expect(unhandled).toEqual([]);
});

const text = async (stream: TailnetConnection): Promise<string> => {
  let all = '';
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) all += (chunk as Buffer).toString();
  return all;
};
const errorOf = async (stream: TailnetConnection): Promise<string | undefined> => {
  let code: string | undefined;
  stream.on('error', (error: Error & { code: string }) => {
    code = error.code;
  });
  stream.resume();
  await new Promise((resolve) => stream.once('close', resolve));
  return code;
};
const turns = async (count = 20): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};
const connections = (): number[] => [pair.left.netstack.connectionCount, pair.right.netstack.connectionCount];

describe('a stream', () => {
  it('knows both addresses', () => {
    expect([left.remoteAddress, left.remotePort]).toEqual(['100.64.0.2', 80]);
    expect([right.remoteAddress, right.remotePort]).toEqual([left.localAddress, left.localPort]);
  });

  it('carries what both sides send, and ends with both FINs', async () => {
    left.end('from left');
    right.end('from right');
    expect(await Promise.all([text(left), text(right)])).toEqual(['from right', 'from left']);
    expect(left.destroyed && right.destroyed).toBe(true);
  });

  it('goes on in one direction after the other has ended', async () => {
    left.end('question');
    expect(await text(right)).toBe('question');
    await turns();
    expect([left.destroyed, right.writable]).toEqual([false, true]);
    right.write('late ');
    await turns();
    right.end('answer');
    expect(await text(left)).toBe('late answer');
  });

  it('pushes a fast writer back while nobody reads, and loses nothing', async () => {
    const sizeBytes = 16 * 1024 * 1024;
    const data = randomBytes(sizeBytes);
    let written = 0;
    for (; written < sizeBytes; written += 65_536) {
      if (!left.write(data.subarray(written, written + 65_536))) {
        await Promise.race([once(left, 'drain'), turns(200)]);
        if (left.writableNeedDrain) break;
      }
    }
    expect(written).toBeLessThan(sizeBytes);
    expect(pair.arena.slotCount - pair.arena.freeCount).toBeLessThan(64);
    left.end(data.subarray(written + 65_536));
    const hash = createHash('sha256');
    for await (const chunk of right) hash.update(chunk as Buffer);
    expect(hash.digest('hex')).toBe(createHash('sha256').update(data).digest('hex'));
  });

  it('delivers what the peer sent before its reader came', async () => {
    left.end('early');
    await turns();
    expect(await text(right)).toBe('early');
  });

  it('sends single bytes at once', async () => {
    const heard: string[] = [];
    right.on('data', (chunk: Buffer) => heard.push(chunk.toString()));
    for (const letter of 'abc') {
      left.write(letter);
      await turns(4);
    }
    expect(heard).toEqual(['a', 'b', 'c']);
  });
});

describe('destroy', () => {
  it('with an error resets, and the peer has the code of a reset', async () => {
    const lost = errorOf(right);
    const own = errorOf(left);
    left.destroy(Object.assign(new Error('enough'), { code: 'test/enough' }));
    expect(await lost).toBe('dial/reset');
    expect(await own).toBe('test/enough');
    expect(connections()).toEqual([0, 0]);
  });

  it('without end() resets: the peer must not take what it has for the whole', async () => {
    const lost = errorOf(right);
    left.write('half of it');
    left.destroy();
    expect(await lost).toBe('dial/reset');
    expect(connections()).toEqual([0, 0]);
  });

  it('after end() lets the last bytes and the FIN go out', async () => {
    const data = randomBytes(100_000);
    left.end(data);
    await once(left, 'finish');
    left.destroy();
    const chunks: Buffer[] = [];
    for await (const chunk of right.iterator({ destroyOnReturn: false })) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).equals(data)).toBe(true);
    right.end();
    await vi.waitFor(() => expect(pair.right.netstack.connectionCount).toBe(0));
  });

  it('after end() resets when the peer goes on sending', async () => {
    left.end();
    await once(left, 'finish');
    left.destroy();
    await turns();
    const lost = errorOf(right);
    right.write('to nobody');
    expect(await lost).toBe('dial/reset');
    expect(connections()).toEqual([0, 0]);
  });

  it('after end() resets when bytes of the peer were not read', async () => {
    right.write('not read');
    await turns();
    left.end();
    await once(left, 'finish');
    const lost = errorOf(right);
    left.destroy();
    expect(await lost).toBe('dial/reset');
  });

  it('after both ends had ended is silent', async () => {
    left.resume().end();
    right.resume().end();
    await Promise.all([finished(left), finished(right)]);
    left.destroy();
    right.destroy();
    await turns();
    expect([left.errored, right.errored]).toEqual([null, null]);
  });

  it('of a stream that is read by nobody raises no error', async () => {
    right.on('error', () => {});
    left.destroy();
    await turns();
    expect([left.destroyed, left.errored]).toEqual([true, null]);
  });

  it('answers a write that waits for room', async () => {
    const outcome = new Promise((resolve) => left.write(Buffer.alloc(16 * 1024 * 1024), resolve));
    await turns();
    right.on('error', () => {});
    left.destroy();
    expect(await Promise.race([outcome, turns()])).toBeInstanceOf(Error);
  });
});

describe('a peer that resets', () => {
  it('fails reads and writes with the same code', async () => {
    const lost = errorOf(left);
    right.on('error', () => {});
    right.destroy(new Error('away'));
    expect(await lost).toBe('dial/reset');
    const outcome = await new Promise((resolve) => left.write('x', resolve));
    expect(outcome).toBeInstanceOf(Error);
  });

  it('answers a write that waits for room', async () => {
    left.on('error', () => {});
    right.on('error', () => {});
    const outcome = new Promise((resolve) => left.write(Buffer.alloc(16 * 1024 * 1024), resolve));
    await turns();
    right.destroy();
    expect(await Promise.race([outcome, turns()])).toBeInstanceOf(Error);
  });
});
