import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ControlRequest, isReadRequest, parseRequest } from '../schema/request.ts';
import { claimSocket } from './claim-socket.ts';
import { ControlClient } from './control-client.ts';
import { type ControlServer, type ControlServerOptions, startControlServer } from './control-server.ts';

let dir: string;
let path: string;
let nowMs: number;
const servers: ControlServer[] = [];
const sockets: Socket[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'heddle-socket-'));
  path = join(dir, 'run', 'x.sock');
  nowMs = 0;
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await server.close();
  rmSync(dir, { recursive: true, force: true });
});

async function start(options: Partial<ControlServerOptions<ControlRequest>> = {}): Promise<ControlServer> {
  const server = await startControlServer({
    socketPath: path,
    parse: parseRequest,
    isRead: isReadRequest,
    answer: async (request) => ({ message: `did ${request.action}`, saw: request }),
    subscribe: () => () => {},
    nowMs: () => nowMs,
    ...options,
  });
  servers.push(server);
  return server;
}

/** Sends raw text, half-closes, and returns the reply lines. */
async function exchange(text: string | Uint8Array): Promise<Record<string, unknown>[]> {
  const socket = connect({ path, allowHalfOpen: true });
  sockets.push(socket);
  socket.end(text);
  let reply = '';
  socket.setEncoding('utf8').on('data', (chunk) => {
    reply += chunk;
  });
  await once(socket, 'close');
  return reply
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const codes = (replies: Record<string, unknown>[]): unknown[] => replies.map((reply) => reply['code'] ?? reply['ok']);

async function rejectionCode(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(TailnetError);
  return (error as TailnetError).code;
}

describe('requests', () => {
  it('mean the same in all forms, and clients that half-close get their answers in order', async () => {
    await start();
    const replies = await exchange(
      [
        '{"action":"recent_connections","max":7,"id":"a"}',
        '{"recent_connections":{"max":7}}',
        '"status"',
        '{"status":null}\r',
        '',
        '{"action":"stop","team":"x","reason":"because","request_ts":1700000000,"future":true}',
        '"version"', // without a newline at the end
      ].join('\n'),
    );
    expect(replies.map((reply) => reply['message'])).toEqual([
      'did recent_connections',
      'did recent_connections',
      'did status',
      'did status',
      'did stop',
      'did version',
    ]);
    expect(replies.every((reply) => reply['ok'] === true && reply['pid'] === process.pid)).toBe(true);
    expect(replies[0]).toMatchObject({ id: 'a', saw: { max: 7 } });
    expect(replies[1]).toMatchObject({ saw: { action: 'recent_connections', max: 7 } });
  });

  it('that are bad cost one error each, never the connection', async () => {
    await start();
    const bad = ['nonsense', '[1]', '17', '{}', '{"action":5}', '"fly"', '{"action":"ping"}', '{"a":1,"b":2}'];
    const deep = '['.repeat(60_000) + ']'.repeat(60_000);
    const replies = await exchange([...bad, deep, '{"logs":{"max":0}}', '"status"'].join('\n'));
    expect(codes(replies)).toEqual([
      'ipc/bad-request',
      'ipc/bad-request',
      'ipc/bad-request',
      'ipc/bad-request',
      'ipc/unknown-action',
      'ipc/unknown-action',
      'ipc/bad-request',
      'ipc/bad-request',
      'ipc/bad-request',
      'ipc/bad-request',
      true,
    ]);
  });

  it('that are not UTF-8 or too long cost one error each', async () => {
    await start();
    const long = JSON.stringify({ action: 'status', reason: 'x'.repeat(131_072) });
    const fitting = JSON.stringify({ action: 'status', filler: 'x'.repeat(131_072 - 31) });
    expect(fitting.length).toBe(131_072);
    const text = Buffer.concat([Buffer.from([0xff, 0x0a]), Buffer.from(`${long}\n${fitting}\n"status"\n`)]);
    expect(codes(await exchange(text))).toEqual(['ipc/bad-request', 'ipc/too-large', true, true]);
  });

  it('that arrive in a flood are all answered', async () => {
    await start({ nowMs: () => (nowMs += 3000) });
    const replies = await exchange('"status"\n'.repeat(500));
    expect(codes(replies)).toEqual(Array(500).fill(true));
  });

  it('that fail keep the code of the failure', async () => {
    await start({
      answer: async (request) => {
        throw request.action === 'ping' ? new TailnetError('dial/unknown-host', 'No peer "x"') : new Error('boom');
      },
    });
    const replies = await exchange('{"ping":{"peer":"x"}}\n"status"\n');
    expect(codes(replies)).toEqual(['dial/unknown-host', 'ipc/internal']);
  });

  it('that take too long are answered after 10 s', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      await start({ answer: () => new Promise(() => {}) });
      const replies = exchange('"status"\n');
      for (let step = 0; step < 3; step++) {
        await new Promise((resolve) => setImmediate(resolve));
        await new Promise((resolve) => setImmediate(resolve));
        vi.advanceTimersByTime(10_000);
      }
      expect(codes(await replies)).toEqual(['ipc/timeout']);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('limits', () => {
  it('let 30 requests a minute of one user pass, bad ones included', async () => {
    await start();
    expect(codes(await exchange(`${'"status"\n'.repeat(29)}bad\n`))).toEqual([
      ...Array(29).fill(true),
      'ipc/bad-request',
    ]);
    nowMs = 1000;
    const [reply] = await exchange('"status"\n');
    expect(reply).toMatchObject({ ok: false, code: 'ipc/rate-limited', retry_after_ms: 59_000 });
    nowMs = 60_000;
    expect(codes(await exchange('"status"\n'))).toEqual([true]);
  });

  it('drop a client that never ends its line', async () => {
    await start();
    const socket = connect(path);
    sockets.push(socket);
    socket.on('error', () => {});
    const closed = new Promise((resolve) => socket.on('close', resolve));
    const block = Buffer.alloc(65_536, 'x');
    const timer = setInterval(() => socket.write(block), 1);
    await closed;
    clearInterval(timer);
  });

  it('refuse the 129th connection of a user and take it when another has gone', async () => {
    await start();
    const held = Array.from({ length: 128 }, () => connect(path));
    sockets.push(...held);
    await Promise.all(held.map((socket) => once(socket, 'connect')));
    expect(codes(await exchange('"status"\n'))).toEqual(['ipc/too-many-connections']);
    held[0]?.destroy();
    await expect.poll(async () => codes(await exchange('"status"\n'))).toEqual([true]);
  });
});

describe('rights', () => {
  const stranger = () => ({ uid: 12_345, gid: 1, pid: 1 });

  it('of other users end at reading', async () => {
    await start({ identify: stranger });
    const read = ['"status"', '"peers"', '"routes"', '"version"', '"logs"', '"recent_connections"', '"subscribe"'];
    const change = ['"stop"', '"reconnect"', '{"ping":{"peer":"x"}}'];
    const socket = connect(path);
    sockets.push(socket);
    socket.write([...change, ...read].map((line) => `${line}\n`).join(''));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    await expect.poll(() => text.split('\n').length).toBe(11);
    const replies = text.trim().split('\n');
    expect(codes(replies.map((line) => JSON.parse(line)))).toEqual([
      ...Array(3).fill('ipc/forbidden'),
      ...Array(7).fill(true),
    ]);
  });

  it('of root are all, and without an identity there are none', async () => {
    const server = await start({ identify: () => ({ uid: 0, gid: 0, pid: 1 }) });
    expect(codes(await exchange('"stop"\n'))).toEqual([true]);
    await server.close();
    await start({ identify: () => undefined });
    expect(codes(await exchange('"status"\n'))).toEqual(['ipc/no-identity']);
  });

  it('are asked of the kernel by default', async () => {
    await start();
    expect(codes(await exchange('"stop"\n'))).toEqual([true]);
  });
});

describe('subscriptions', () => {
  it('stream events until the server closes, and cost one request', async () => {
    const sinks = new Set<(event: Record<string, unknown>) => void>();
    const server = await start({
      subscribe: (_request: ControlRequest, send) => {
        send({ event: 'state', state: 'connecting' });
        sinks.add(send);
        return () => sinks.delete(send);
      },
    });
    const client = await ControlClient.connect(path);
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const event of client.subscribe(['state'])) seen.push(event);
    })();
    await expect.poll(() => seen.length).toBe(1);
    for (const send of sinks) {
      send({ event: 'from-the-future' });
      send({ event: 'state', state: 'running', addresses: ['100.64.0.1'], peer_count: 1, derp_home: 1 });
    }
    await expect.poll(() => seen.length).toBe(2);
    await server.close();
    await reading;
    expect(sinks.size).toBe(0);
    expect(seen[1]).toMatchObject({ state: 'running', peer_count: 1 });
  });

  it('end when the client goes, also one that had half-closed', async () => {
    let count = 0;
    await start({
      subscribe: () => {
        count++;
        return () => count--;
      },
    });
    const socket = connect({ path, allowHalfOpen: true });
    sockets.push(socket);
    socket.end('"subscribe"\n');
    await once(socket, 'data');
    expect(count).toBe(1);
    const other = connect(path);
    other.write('"subscribe"\n');
    await once(other, 'data');
    await expect.poll(() => count).toBe(2);
    other.destroy();
    await expect.poll(() => count).toBe(1);
  });
});

describe('the socket file', () => {
  it('is 0600 in a folder 0700 and disappears at close', async () => {
    const server = await start();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(dir, 'run')).mode & 0o777).toBe(0o700);
    await server.close();
    expect(existsSync(path)).toBe(false);
  });

  it('of a killed engine is replaced', async () => {
    mkdirSync(join(dir, 'run'));
    const { execFileSync } = await import('node:child_process');
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    expect(() => execFileSync(process.execPath, ['-e', script])).toThrow();
    expect(statSync(path).isSocket()).toBe(true);
    await start();
    expect(codes(await exchange('"status"\n'))).toEqual([true]);
  });

  it('of a living engine refuses a second one and names the pid of the first', async () => {
    await start();
    await expect(claimSocket(path, false)).rejects.toThrow(`process ${process.pid}`);
    expect(await rejectionCode(claimSocket(path, false))).toBe('ipc/already-running');
    // Even when the lock was removed, the answer at the socket protects it and names the pid.
    for (const name of readdirSync(join(dir, 'run'))) if (name.includes('.lock.')) rmSync(join(dir, 'run', name));
    await expect(claimSocket(path, false)).rejects.toThrow(`process ${process.pid}`);
    expect(codes(await exchange('"status"\n'))).toEqual([true]);
  });

  it('of another program is left alone', async () => {
    mkdirSync(join(dir, 'run'));
    const other = createServer((socket) => socket.on('error', () => {}));
    other.listen(path);
    await once(other, 'listening');
    expect(await rejectionCode(claimSocket(path, false))).toBe('ipc/already-running');
    other.close();
  });

  it('is never made over something that is not a socket', async () => {
    mkdirSync(join(dir, 'run'));
    writeFileSync(path, 'precious');
    expect(await rejectionCode(claimSocket(path, false))).toBe('ipc/not-a-socket');
    expect(statSync(path).size).toBe(8);
  });

  it('needs a path the system can hold and a folder nobody else can change', async () => {
    expect(await rejectionCode(claimSocket(join(dir, 'x'.repeat(100)), false))).toBe('ipc/path-too-long');
    mkdirSync(join(dir, 'run'));
    chmodSync(join(dir, 'run'), 0o777);
    expect(await rejectionCode(claimSocket(path, false))).toBe('ipc/unsafe-directory');
    chmodSync(join(dir, 'run'), 0o1777);
    (await claimSocket(path, false)).release();
  });

  it('can be claimed again and again', async () => {
    for (let round = 0; round < 5; round++) {
      const server = await start();
      await server.close();
    }
    expect(readdirSync(join(dir, 'run')).length).toBe(1);
  });
});

describe('the client', () => {
  it('tells a missing engine from a dead and from a forbidden one', async () => {
    expect(await rejectionCode(ControlClient.connect(path))).toBe('ipc/not-running');
    expect(await rejectionCode(ControlClient.connect(`/${'x'.repeat(200)}`))).toBe('ipc/path-too-long');
  });

  it('returns checked answers and typed failures', async () => {
    await start({
      answer: async (request) => {
        if (request.action === 'ping') throw new TailnetError('dial/timeout', 'No answer');
        return request.action === 'version' ? { message: 'v', version: '1', node: 'v20' } : { message: 'nothing' };
      },
    });
    const client = await ControlClient.connect(path);
    expect(await client.request({ action: 'version' })).toMatchObject({ version: '1', pid: process.pid });
    expect(await rejectionCode(client.request({ action: 'ping', peer: 'x' }))).toBe('dial/timeout');
    expect(await rejectionCode(client.request({ action: 'status' }))).toBe('ipc/bad-reply');
    client.close();
  });

  it('may be open to all, to read; operators may change things too', async () => {
    let uid = 4711;
    const server = await start({
      isOpenToAll: true,
      operatorUids: new Set([1234]),
      identify: () => ({ pid: 1, uid, gid: 1 }),
      answer: async (request, client) => ({ message: `did ${request.action} for ${client.uid}` }),
    });
    expect(statSync(server.path).mode & 0o777).toBe(0o666);
    expect(statSync(join(dir, 'run')).mode & 0o777).toBe(0o755);
    expect(await exchange('"version"\n"stop"\n')).toMatchObject([
      { ok: true, message: 'did version for 4711' },
      { ok: false, code: 'ipc/forbidden' },
    ]);
    uid = 1234;
    expect(await exchange('"stop"\n')).toMatchObject([{ ok: true, message: 'did stop for 1234' }]);
  });

  it('says so when the engine goes away', async () => {
    let close: () => Promise<void> = async () => {};
    const server = await start({
      answer: () => {
        void close();
        return new Promise(() => {});
      },
    });
    close = () => server.close();
    const client = await ControlClient.connect(path);
    const answer = rejectionCode(client.request({ action: 'status' }));
    expect(await answer).toBe('ipc/closed');
  });
});
