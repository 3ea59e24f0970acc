import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LogEvent, StateEvent } from '../schema/event.ts';
import { StartReporter } from './start-reporter.ts';

const CONNECTING: StateEvent = { event: 'state', state: 'connecting' };
const RUNNING: StateEvent = { event: 'state', state: 'running', addresses: ['100.64.0.2'] };

let dir: string;
let server: Server;
let pipe: Socket;
let reader: Socket;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'heddle-report-'));
  server = createServer().listen(join(dir, 'pipe'));
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  pipe = connect(join(dir, 'pipe'));
  [reader] = await accepted;
});
afterEach(() => {
  pipe.destroy();
  reader.destroy();
  server.close();
  rmSync(dir, { recursive: true });
});

const lines = async (): Promise<unknown[]> =>
  (await text(reader))
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));

describe('a start report', () => {
  it('begins with the outcome, tells what happens, and ends when the engine runs', async () => {
    const reporter = new StartReporter(pipe);
    reporter.tell(CONNECTING);
    reporter.start({ ok: true, pid: 7 });
    reporter.tell(CONNECTING);
    reporter.tell(RUNNING);
    reporter.tell(CONNECTING);
    expect(reporter.isHeard).toBe(false);
    expect(await lines()).toEqual([{ ok: true, pid: 7 }, CONNECTING, RUNNING]);
  });

  it('of a failure is the only line', async () => {
    const reporter = new StartReporter(pipe);
    reporter.start({ ok: false, code: 'proxy/port-in-use', message: 'taken' });
    reporter.start({ ok: true, pid: 7 });
    reporter.tell(RUNNING);
    expect(await lines()).toEqual([{ ok: false, code: 'proxy/port-in-use', message: 'taken' }]);
  });

  it('is heard until its reader has gone', async () => {
    const reporter = new StartReporter(pipe);
    expect(reporter.isHeard).toBe(true);
    reporter.start({ ok: true, pid: 7 });
    reader.destroy();
    await new Promise((resolve) => pipe.once('close', resolve));
    expect(reporter.isHeard).toBe(false);
    reporter.tell(RUNNING);
    await reporter.end();
  });

  it('keeps no more than its bound for a reader that does not read', async () => {
    const reporter = new StartReporter(pipe);
    reporter.start({ ok: true, pid: 7 });
    const line: LogEvent = { event: 'log', line: { time: '', level: 'warn', message: 'x'.repeat(1000) } };
    for (let i = 0; i < 5000; i++) reporter.tell(line);
    expect(pipe.writableLength).toBeLessThan(70_000);
    await reporter.end();
    expect(pipe.destroyed).toBe(true);
  });

  it('to nobody costs nothing', async () => {
    const reporter = new StartReporter(undefined);
    reporter.start({ ok: true, pid: 7 });
    reporter.tell(RUNNING);
    expect(reporter.isHeard).toBe(false);
    await reporter.end();
  });
});
