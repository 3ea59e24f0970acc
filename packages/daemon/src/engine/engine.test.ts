import { setImmediate as turn } from 'node:timers/promises';
import type { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { JoinOptions, TailnetState } from '@heddle/tailnet/types';
import { describe, expect, it, vi } from 'vitest';
import { AUTH_KEY, createConfig } from '../../test/fake-config.ts';
import { createFakeServices, FakeNode, RUNNING } from '../../test/fake-node.ts';
import type { EngineConfig } from '../schema/engine-config.ts';
import { replyBodyShapes } from '../schema/reply.ts';
import { type ControlAction, parseRequest } from '../schema/request.ts';
import { Engine } from './engine.ts';
import { EngineLog } from './engine-log.ts';

interface Setup {
  readonly engine: Engine;
  readonly nodes: FakeNode[];
  readonly joins: JoinOptions[];
  readonly open: Set<string>;
  readonly log: EngineLog;
  readonly stops: number[];
  ask(action: ControlAction, parameters?: object): Promise<Record<string, unknown>>;
}

function setUp(change: Partial<EngineConfig> = {}): Setup {
  const { services, open } = createFakeServices();
  const [nodes, joins, stops]: [FakeNode[], JoinOptions[], number[]] = [[], [], []];
  const log = new EngineLog({ write: () => {}, secrets: [AUTH_KEY], isVerbose: false, unixMs: () => 0 });
  const engine = new Engine({
    config: createConfig('/nowhere', change),
    createNode: (options) => {
      joins.push(options);
      nodes.push(new FakeNode());
      return nodes.at(-1) as FakeNode;
    },
    services,
    log,
    version: '1.2.3',
    unixMs: () => 42,
    onStopRequest: () => void stops.push(1),
  });
  const ask: Setup['ask'] = async (action, parameters = {}) => {
    const parsed = parseRequest({ action, ...parameters });
    if (parsed.kind === 'bad') throw new Error(parsed.message);
    const reply = await engine.answer(parsed.request);
    if (action in replyBodyShapes) {
      const shape = replyBodyShapes[action as keyof typeof replyBodyShapes];
      expect(shape(JSON.parse(JSON.stringify(reply)))).toMatchObject({ kind: 'ok' });
    }
    return reply;
  };
  return { engine, nodes, joins, open, log, stops, ask };
}

const codeOf = (action: Promise<unknown>): Promise<string> => action.then(String, (error: TailnetError) => error.code);

describe('an engine', () => {
  it('listens, starts its node with what it was told, and serves once that runs', async () => {
    const { engine, nodes, joins, open } = setUp({ hostname: 'me', tlsCa: 'PEM' });
    await engine.start();
    expect(nodes[0]?.isStarted).toBe(true);
    expect(joins[0]).toMatchObject({ controlUrl: 'http://ok.test', authKey: AUTH_KEY, hostname: 'me', tlsCa: 'PEM' });
    expect([...open]).toEqual(['proxy 127.0.0.1:16579', 'forward 127.0.0.1:15432 db:5432']);
    nodes[0]?.go(RUNNING);
    await turn();
    expect(open).toContain('serve 8080');
    await engine.stop();
    expect(open.size).toBe(0);
    expect(nodes[0]?.isClosed).toBe(true);
  });

  it('does not start when a port is taken, and leaves nothing open', async () => {
    const taken = setUp({ proxy: '127.0.0.1:1' });
    expect(await codeOf(taken.engine.start())).toBe('proxy/port-in-use');
    expect(taken.nodes).toEqual([]);
    const bad = setUp({ serves: ['nonsense'] });
    expect(await codeOf(bad.engine.start())).toBe('proxy/bad-serve');
    expect(bad.open.size).toBe(0);
  });

  it('runs on when one serve fails, and says so in the log', async () => {
    const { engine, nodes, open, log } = setUp({ serves: ['1:127.0.0.1:1', '2:127.0.0.1:2'], proxy: 'off' });
    await engine.start();
    nodes[0]?.go(RUNNING);
    await turn();
    expect(open).toContain('serve 2');
    expect(log.recent(5).some((record) => record.fields?.['code'] === 'listen/port-in-use')).toBe(true);
    await engine.stop();
  });

  it('answers every action in every state', async () => {
    const { engine, nodes, ask } = setUp();
    const states: TailnetState[] = [
      { kind: 'starting' },
      { kind: 'connecting' },
      { kind: 'needs_login', authUrl: 'https://login.test/a' },
      { kind: 'handshaking' },
      { kind: 'registering' },
      RUNNING,
      { kind: 'reconnecting', attempt: 3 },
      { kind: 'error', message: 'no', code: 'control/invalid-auth-key' },
      { kind: 'shutting_down' },
      { kind: 'stopped' },
    ];
    await ask('status');
    await engine.start();
    for (const state of states) {
      nodes[0]?.go(state);
      for (const action of ['status', 'peers', 'routes', 'recent_connections', 'logs', 'version'] as const) {
        await ask(action);
      }
      expect(await ask('status')).toMatchObject({ state: state.kind });
    }
    await engine.stop();
    expect(await ask('status')).toMatchObject({ state: 'stopped', peers: [], proxy: null });
  });

  it('describes its status in the shape every client relies on', async () => {
    const { engine, nodes, ask } = setUp();
    await engine.start();
    nodes[0]?.go(RUNNING);
    expect(await ask('status')).toMatchObject({
      state: 'running',
      addresses: ['100.64.0.2'],
      peerCount: 1,
      relay: { regionId: 900, code: 'lab', isConnected: true },
      proxy: '127.0.0.1:16579',
      forwards: ['127.0.0.1:15432:db:5432'],
      peers: [{ name: 'db', dnsName: 'db.lab.test', online: true, path: { kind: 'relay', address: 'lab' } }],
      startedUnixMs: 42,
    });
    nodes[0]?.go({ kind: 'needs_login', authUrl: 'https://login.test/a' });
    expect(await ask('status')).toMatchObject({ state: 'needs_login', authUrl: 'https://login.test/a' });
    expect((await ask('recent_connections', { max: 2 }))['connections']).toHaveLength(2);
    expect((await ask('routes'))['routes']).toEqual([]);
    await engine.stop();
  });

  it('tells addresses, subnets and exits apart', async () => {
    const { engine, nodes, ask } = setUp();
    await engine.start();
    nodes[0]?.go(RUNNING);
    expect((await ask('routes'))['routes']).toMatchObject([
      { kind: 'address', used: true },
      { kind: 'address', used: true },
      { kind: 'subnet', used: false },
      { kind: 'exit', used: false },
    ]);
    await engine.stop();
  });

  it('pings, and passes failures on', async () => {
    const { engine, ask } = setUp();
    expect(await codeOf(ask('ping', { peer: 'db' }))).toBe('tailnet/not-running');
    await engine.start();
    expect(await ask('ping', { peer: 'db' })).toMatchObject({ address: '100.64.0.3', roundTripMs: 1.24 });
    expect(await codeOf(ask('ping', { peer: 'x' }))).toBe('dial/unknown-host');
    await engine.stop();
  });

  it('asks for its own end after it has answered', async () => {
    const { ask, stops } = setUp();
    const reply = await ask('stop', { reason: 'test' });
    expect(reply['message']).toBe('stopping');
    await turn();
    await turn();
    expect(stops).toHaveLength(1);
  });

  it('gets a new node at reconnect while its listeners stay', async () => {
    const { engine, nodes, open, ask } = setUp();
    await engine.start();
    nodes[0]?.go(RUNNING);
    await turn();
    await Promise.all([ask('reconnect'), ask('reconnect')]);
    await vi.waitFor(() => expect(nodes).toHaveLength(2));
    expect(nodes[0]?.isClosed).toBe(true);
    expect(open).toContain('proxy 127.0.0.1:16579');
    nodes[0]?.go({ kind: 'error', message: 'late', code: 'x/y' });
    expect(engine.state.kind).toBe('starting');
    nodes[1]?.go(RUNNING);
    await turn();
    expect(open).toContain('serve 8080');
    await engine.stop();
    expect(nodes).toHaveLength(2);
  });

  it('stops although its node does not close', async () => {
    vi.useFakeTimers();
    try {
      const { engine, nodes, log } = setUp();
      await engine.start();
      (nodes[0] as FakeNode).closing = new Promise(() => {});
      const stopping = engine.stop();
      await vi.advanceTimersByTimeAsync(5000);
      await stopping;
      expect(log.recent(2)[0]?.message).toContain('did not close');
    } finally {
      vi.useRealTimers();
    }
  });

  it('streams states and log lines to whoever subscribed to them', async () => {
    const { engine, nodes, log } = setUp();
    await engine.start();
    const [states, both]: [unknown[], unknown[]] = [[], []];
    const stop = engine.subscribe({ action: 'subscribe' }, (event) => states.push(event));
    engine.subscribe({ action: 'subscribe', events: ['state', 'log'] }, (event) => both.push(event));
    nodes[0]?.go({ kind: 'needs_login', authUrl: 'https://login.test/a' });
    nodes[0]?.go(RUNNING);
    stop();
    nodes[0]?.go({ kind: 'reconnecting', attempt: 1 });
    log.add({ level: 'warn', message: 'w' });
    expect(states).toEqual([
      { event: 'state', state: 'starting' },
      { event: 'state', state: 'needs_login', auth_url: 'https://login.test/a' },
      {
        event: 'state',
        state: 'running',
        addresses: ['100.64.0.2', 'fd7a:115c:a1e0::2'],
        peer_count: 1,
        derp_home: 900,
      },
    ]);
    expect(both).toContainEqual({ event: 'state', state: 'reconnecting', attempt: 1 });
    expect(both.at(-1)).toMatchObject({ event: 'log', line: { level: 'warn', message: 'w' } });
    await engine.stop();
  });

  it('keeps the auth key out of errors and logs', async () => {
    const { engine, nodes, joins, log, ask } = setUp();
    await engine.start();
    joins[0]?.log?.({ level: 'warn', message: `server said ${AUTH_KEY}`, fields: { key: AUTH_KEY, count: 1 } });
    nodes[0]?.go({ kind: 'error', message: `bad key ${AUTH_KEY}`, code: 'control/invalid-auth-key' });
    const everything = JSON.stringify([await ask('status'), await ask('logs'), log.recent(100)]);
    expect(everything).not.toContain(AUTH_KEY);
    expect(everything).toContain('[redacted]');
    await engine.stop();
  });
});
