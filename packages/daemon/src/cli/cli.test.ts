import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AUTH_KEY, createConfig } from '../../test/fake-config.ts';
import { createFakeServices, FakeNode, RUNNING } from '../../test/fake-node.ts';
import { type EngineOutcome, runEngine } from '../engine/run-engine.ts';
import type { CliWorld } from './cli-context.ts';
import { runCli } from './program.ts';

let dir: string;
let node: FakeNode;
let stop: AbortController;
let engine: Promise<EngineOutcome> | undefined;
let nowUnixMs: number;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'heddle-cli-'));
  mkdirSync(join(dir, 'state'), { mode: 0o700 });
  node = new FakeNode();
  stop = new AbortController();
  engine = undefined;
  nowUnixMs = 1_700_000_060_000;
});
afterEach(async () => {
  stop.abort();
  await engine;
  rmSync(dir, { recursive: true, force: true });
});

/** An engine in this process, at the socket `--state-dir <dir>/state` leads to. */
async function startEngine(): Promise<void> {
  const socketPath = join(dir, 'state', 'engine.sock');
  await new Promise<void>((resolve, reject) => {
    engine = runEngine({
      config: createConfig(dir, { socketPath }),
      createNode: () => node,
      services: createFakeServices().services,
      version: '1',
      unixMs: () => nowUnixMs,
      writeLog: () => {},
      onSocket: () => {},
      onStarted: () => resolve(),
      onState: () => {},
      signal: stop.signal,
      lingerMs: () => 0,
    });
    engine.catch(reject);
  });
}

interface Result {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

interface Call {
  readonly input?: string;
  readonly interrupt?: AbortSignal;
  readonly onOut?: (text: string) => void;
  readonly isBare?: boolean;
}

async function heddle(args: string[], call: Call = {}): Promise<Result> {
  let [out, err] = ['', ''];
  const world: CliWorld = {
    env: { HOME: dir },
    version: '1',
    out: (text) => {
      out += text;
      call.onOut?.(text);
    },
    err: (text) => {
      err += text;
    },
    isInteractive: false,
    readInput: async () => call.input ?? '',
    unixMs: () => nowUnixMs,
    engineCommand: ['/nonexistent/node'],
    loadParts: async () => ({ createNode: () => node, services: createFakeServices().services }),
    interrupt: call.interrupt ?? new AbortController().signal,
  };
  const target = call.isBare === true ? [] : ['--state-dir', join(dir, 'state')];
  const status = await runCli([...args, ...target], world);
  return { status, out, err };
}

describe('status', () => {
  it('shows everything on one screen', async () => {
    await startEngine();
    node.go(RUNNING);
    const { status, out } = await heddle(['status']);
    expect(status).toBe(0);
    expect(out.split('\n')[0]).toBe('VPN: running, 1 peer');
    for (const text of ['me.lab.test', '100.64.0.2', '127.0.0.1:16579', '60 s ago', 'relay lab', '1.2 MB', '12 B']) {
      expect(out).toContain(text);
    }
    expect((await heddle(['vpn', 'status'])).out).toBe(out);
  });

  it('says why there is no relay', async () => {
    await startEngine();
    const error = { code: 'derp/tls-certificate', message: 'derp.test has a certificate of an unknown authority' };
    node.relay = { regionId: 900, code: 'lab', isConnected: false, error };
    node.go(RUNNING);
    const line = `relay     lab (not connected: ${error.message} [derp/tls-certificate])`;
    expect((await heddle(['status'])).out).toContain(line);
    expect(JSON.parse((await heddle(['status', '--json'])).out)).toMatchObject({ relay: { error } });
  });

  it('has a stable JSON form', async () => {
    await startEngine();
    node.go(RUNNING);
    const { out } = await heddle(['status', '--json']);
    const status = JSON.parse(out);
    expect(status).toMatchObject({
      state: 'running',
      addresses: ['100.64.0.2'],
      peerCount: 1,
      relay: { code: 'lab' },
      proxy: '127.0.0.1:16579',
      pid: process.pid,
    });
    expect(Object.keys(status.peers[0])).toEqual(
      expect.arrayContaining([
        'name',
        'dnsName',
        'addresses',
        'online',
        'path',
        'rxBytes',
        'txBytes',
        'lastHandshakeUnixMs',
      ]),
    );
    expect(status).not.toHaveProperty('ok');
  });

  it('answers that nothing runs', async () => {
    expect(await heddle(['vpn', 'status'])).toEqual({ status: 0, out: 'VPN: not running\n', err: '' });
    const { out, status } = await heddle(['status', '--json']);
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      state: 'stopped',
      addresses: [],
      peerCount: 0,
      relay: null,
      proxy: null,
      peers: [],
    });
  });

  it('shows where to log in, how often it was tried and what went wrong', async () => {
    await startEngine();
    node.go({ kind: 'needs_login', authUrl: 'https://login.test/a\u001b[2J' });
    expect((await heddle(['status'])).out).toContain('VPN: needs a login: https://login.test/a?[2J');
    node.go({ kind: 'reconnecting', attempt: 4 });
    expect((await heddle(['status'])).out).toContain('VPN: reconnecting, attempt 4');
    node.go(RUNNING);
    node.go({ kind: 'error', message: 'expired', code: 'control/key-expired' });
    expect((await heddle(['status'])).out).toContain('VPN: failed: expired (control/key-expired)');
  });
});

describe('commands of a running engine', () => {
  beforeEach(async () => {
    await startEngine();
    node.go(RUNNING);
  });

  it('list peers and routes', async () => {
    expect((await heddle(['peers'])).out).toMatch(/^PEER .*\ndb .*online/);
    expect(JSON.parse((await heddle(['peers', '--json'])).out).peers[0].name).toBe('db');
    expect((await heddle(['routes'])).out).toContain('10.1.0.0/16');
    expect(JSON.parse((await heddle(['routes', '--json'])).out).routes).toHaveLength(4);
  });

  it('ping', async () => {
    expect(await heddle(['ping', 'db'])).toEqual({
      status: 0,
      out: 'pong from db (100.64.0.3) via direct 192.0.2.1:41641 in 1.2 ms\n',
      err: '',
    });
    expect(JSON.parse((await heddle(['ping', 'db', '--json'])).out)).toMatchObject({ sent: 1, received: 1 });
    const unknown = await heddle(['ping', 'x']);
    expect(unknown.status).toBe(10);
    expect(unknown.err).toContain('[dial/unknown-host]\n  next: list the names: heddle peers');
    const silent = await heddle(['ping', 'silent']);
    expect(silent).toMatchObject({ status: 10, out: 'silent: no answer\n' });
  });

  it('show and follow the log', async () => {
    expect((await heddle(['logs', '-n', '1'])).out).toMatch(/INFO {2}running, 100.64.0.2/);
    expect(JSON.parse((await heddle(['logs', '-n', '1', '--json'])).out)).toMatchObject({ level: 'info' });
    const interrupt = new AbortController();
    const following = heddle(['logs', '-f'], {
      interrupt: interrupt.signal,
      onOut: (text) => {
        if (text.includes('attempt 7')) interrupt.abort();
      },
    });
    const timer = setInterval(() => node.go({ kind: 'reconnecting', attempt: 7 }), 10);
    expect((await following).status).toBe(0);
    clearInterval(timer);
  });

  it('wait without polling', async () => {
    node.go({ kind: 'connecting' });
    const waiting = heddle(['wait', '--timeout', '10']);
    setTimeout(() => node.go(RUNNING), 50);
    expect((await waiting).out).toBe('Connected (100.64.0.2, fd7a:115c:a1e0::2) — 1 peer visible\n');
  });

  it('wait no longer than they may, and explain with the last warning', async () => {
    node.go({ kind: 'connecting' });
    const { status, err } = await heddle(['wait', '--timeout', '0.05']);
    expect(status).toBe(5);
    expect(err).toContain('Not running after 0.05 s (connecting)');
    expect(err).toContain('[wait/timeout]');
  });

  it('stop it and are content when nothing is left to stop', async () => {
    expect(await heddle(['disconnect'])).toEqual({ status: 0, out: 'Disconnected\n', err: '' });
    expect(await heddle(['status'])).toMatchObject({ out: 'VPN: not running\n' });
    expect(await heddle(['disconnect'])).toEqual({ status: 0, out: 'VPN: not running\n', err: '' });
    expect(existsSync(join(dir, 'state', 'engine.sock'))).toBe(false);
  });

  it('refuse a second engine and name the first', async () => {
    const { status, err } = await heddle(['connect', '--login-server', 'http://ok.test']);
    expect(status).toBe(9);
    expect(err).toContain(`process ${process.pid}`);
    expect(err).toContain('[ipc/already-running]');
  });

  it('know both versions', async () => {
    expect(JSON.parse((await heddle(['version', '--json'])).out)).toMatchObject({ version: '1', engine: '1' });
  });
});

describe('connect', () => {
  it('runs in the foreground until ctrl-C', async () => {
    const interrupt = new AbortController();
    const call = heddle(['connect', '--foreground', '--login-server', 'http://ok.test', '--auth-key', '-'], {
      input: `${AUTH_KEY}\n`,
      interrupt: interrupt.signal,
      onOut: () => interrupt.abort(),
    });
    await expect.poll(() => node.isStarted).toBe(true);
    node.go(RUNNING);
    const { status, out, err } = await call;
    expect(status).toBe(0);
    expect(out).toBe('Connected (100.64.0.2, fd7a:115c:a1e0::2) — 1 peer visible\n');
    expect(err).not.toContain(AUTH_KEY);
    expect(readdirSync(join(dir, 'state')).filter((name) => name.endsWith('.sock'))).toEqual([]);
  });

  it('fails with the reason of the node', async () => {
    const call = heddle(['connect', '--foreground', '--login-server', 'http://ok.test']);
    await expect.poll(() => node.isStarted).toBe(true);
    node.go({ kind: 'error', message: 'The auth key was used', code: 'control/invalid-auth-key' });
    const { status, err } = await call;
    expect(status).toBe(6);
    expect(err).toContain('heddle: The auth key was used [control/invalid-auth-key]\n  next: ');
  });

  it('finds mistakes before it starts anything', async () => {
    const cases: [string[], string, number][] = [
      [['--login-server', 'nonsense'], 'usage/bad-login-server', 2],
      [['--login-server', 'https://x.test/path'], 'usage/bad-login-server', 2],
      [['--forward', 'x'], 'proxy/bad-forward', 2],
      [['--serve', 'x'], 'proxy/bad-serve', 2],
      [['--proxy', 'x'], 'proxy/bad-listen', 2],
      [['--auth-key', 'a', '--auth-key-file', 'b'], 'usage/two-auth-keys', 2],
      [['--auth-key-file', join(dir, 'missing')], 'connect/auth-key-file', 2],
      [['--auth-key', '-'], 'connect/auth-key-file', 2],
      [['--tls-ca', join(dir, 'missing')], 'connect/tls-ca-file', 2],
      [['--proxy-token-file', join(dir, 'missing')], 'connect/proxy-token-file', 2],
      [['--proxy-user', 'me'], 'connect/proxy-token-file', 2],
      [['--context', '../x'], 'usage/bad-context', 2],
      [['--socket-path', `/tmp/${'x'.repeat(120)}`], 'ipc/path-too-long', 2],
    ];
    for (const [args, code, status] of cases) {
      const result = await heddle(['connect', ...args, '--json']);
      expect([args, JSON.parse(result.out)['code'], result.status]).toEqual([args, code, status]);
    }
    expect(readdirSync(join(dir, 'state'))).toEqual([]);
  });

  it('refuses a directory of somebody else', async () => {
    writeFileSync(join(dir, 'state', 'precious'), '');
    chmodSync(join(dir, 'state'), 0o755);
    const { status, err } = await heddle(['connect']);
    expect(status).toBe(8);
    expect(err).toContain('[state/foreign]');
    expect(statSync(join(dir, 'state')).mode & 0o777).toBe(0o755);
  });

  it('says so when the engine cannot be started', async () => {
    const { status, err } = await heddle(['connect']);
    expect(status).toBe(1);
    expect(err).toContain('Cannot start the engine (ENOENT) [engine/died]');
  });
});

describe('the command line', () => {
  it('explains itself', async () => {
    const { status, out } = await heddle(['--help'], { isBare: true });
    expect(status).toBe(0);
    expect(out).toContain('disconnect');
    expect(out).not.toContain('__vpn-daemon');
  });

  it('ends with 2 for what it does not understand', async () => {
    for (const args of [['fly'], ['status', '--wings'], ['ping'], ['logs', '-n', '0'], ['wait', '--timeout', 'x']]) {
      expect((await heddle(args, { isBare: true })).status).toBe(2);
    }
  });

  it('ends with 3 where a command needs an engine and none runs', async () => {
    for (const args of [['peers'], ['routes'], ['ping', 'x'], ['wait'], ['reconnect'], ['logs']]) {
      const { status, err } = await heddle(args);
      expect(status).toBe(3);
      expect(err).toMatch(/\[ipc\/not-running\]\n {2}next: start it: heddle connect\n$/);
    }
  });

  it('shows the log of an engine that has ended, crash included', async () => {
    const record = JSON.stringify({ time: 't', level: 'warn', message: 'm', fields: { a: 1 } });
    writeFileSync(join(dir, 'state', 'engine.log'), `${record}\nSegmentation fault\n`);
    expect((await heddle(['logs'])).out).toBe('t WARN  m a=1\n- ERROR Segmentation fault\n');
  });
});
