import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createConfig } from '../../test/fake-config.ts';
import { createFakeServices, FakeNode, RUNNING } from '../../test/fake-node.ts';
import type { EngineConfig } from '../schema/engine-config.ts';
import type { StateEvent } from '../schema/event.ts';
import { ControlClient } from '../socket/control-client.ts';
import { type EngineOutcome, runEngine } from './run-engine.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'heddle-run-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

interface Run {
  readonly outcome: Promise<EngineOutcome>;
  readonly node: FakeNode;
  readonly abort: AbortController;
  readonly sockets: (string | undefined)[];
}

async function run(change: Partial<EngineConfig> = {}, lingerMs = 60_000): Promise<Run> {
  const node = new FakeNode();
  const abort = new AbortController();
  const sockets: (string | undefined)[] = [];
  const { services } = createFakeServices();
  let outcome: Promise<EngineOutcome> | undefined;
  await new Promise<void>((resolve, reject) => {
    outcome = runEngine({
      config: createConfig(dir, change),
      createNode: () => node,
      services,
      version: '1',
      unixMs: () => 0,
      writeLog: () => {},
      onSocket: (path) => sockets.push(path),
      onStarted: () => resolve(),
      onState: () => {},
      signal: abort.signal,
      lingerMs: () => lingerMs,
    });
    outcome.catch(reject);
  });
  return { outcome: outcome as Promise<EngineOutcome>, node, abort, sockets };
}

async function readStates(client: ControlClient): Promise<StateEvent[]> {
  const states: StateEvent[] = [];
  for await (const event of client.subscribe(['state'])) if (event.event === 'state') states.push(event);
  return states;
}

describe('a running engine', () => {
  it('tells its subscribers of its end and removes the socket file', async () => {
    const { outcome, node, sockets } = await run();
    node.go(RUNNING);
    const client = await ControlClient.connect(join(dir, 'x.sock'));
    const states = readStates(client);
    const other = await ControlClient.connect(join(dir, 'x.sock'));
    expect(await other.request({ action: 'stop' })).toMatchObject({ message: 'stopping' });
    expect(await outcome).toEqual({ kind: 'stopped' });
    expect((await states).map((event) => event.state)).toEqual(['running', 'shutting_down', 'stopped']);
    expect(sockets).toEqual([join(dir, 'x.sock'), undefined]);
    expect(existsSync(join(dir, 'x.sock'))).toBe(false);
    other.close();
  });

  it('ends at a signal', async () => {
    const { outcome, abort, node } = await run();
    abort.abort();
    expect(await outcome).toEqual({ kind: 'stopped' });
    expect(node.isClosed).toBe(true);
  });

  it('that failed at once waits for somebody to ask why', async () => {
    const { outcome, node } = await run();
    node.go({ kind: 'error', message: 'no', code: 'control/invalid-auth-key' });
    const client = await ControlClient.connect(join(dir, 'x.sock'));
    const [first] = await readStates(client);
    expect(first).toMatchObject({ state: 'error', code: 'control/invalid-auth-key' });
    expect(await outcome).toEqual({ kind: 'failed', code: 'control/invalid-auth-key', message: 'no' });
  });

  it('that failed with nobody asking does not stay for ever', async () => {
    const { outcome, node } = await run({}, 10);
    node.go({ kind: 'error', message: 'no', code: 'control/invalid-auth-key' });
    expect((await outcome).kind).toBe('failed');
  });

  it('that fails after it ran stays to answer', async () => {
    const { outcome, node, abort } = await run({}, 0);
    node.go(RUNNING);
    node.go({ kind: 'error', message: 'expired', code: 'control/key-expired' });
    const client = await ControlClient.connect(join(dir, 'x.sock'));
    expect(await client.request({ action: 'status' })).toMatchObject({ error: { code: 'control/key-expired' } });
    client.close();
    abort.abort();
    await outcome;
  });

  it('cannot be had twice, and a failed start leaves no socket', async () => {
    const first = await run();
    await expect(run()).rejects.toMatchObject({ code: 'ipc/already-running' });
    first.abort.abort();
    await first.outcome;
    await expect(run({ proxy: '127.0.0.1:1' })).rejects.toMatchObject({ code: 'proxy/port-in-use' });
    expect(existsSync(join(dir, 'x.sock'))).toBe(false);
    const again = await run();
    again.abort.abort();
    await again.outcome;
  });
});
