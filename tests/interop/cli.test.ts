import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePorts, run, startProgram, until } from '../support/processes.ts';
import { RealTailnet } from '../support/real-tailnet.ts';
import {
  connectBySocks,
  echo,
  type Services,
  startHttpServer,
  startTransferServer,
  upload,
} from '../support/transfers.ts';

const HEDDLE = fileURLToPath(new URL('../../node_modules/.bin/heddle', import.meta.url));
const SERVE_PORT = 7100;

describe('the heddle command against tailscaled', () => {
  let folder: string;
  let real: RealTailnet;
  let http: Services;
  let transfer: Services;
  let proxy: string;
  let forwardPort: number;

  const heddle = (...args: string[]) =>
    run(HEDDLE, [...args, '--state-dir', join(folder, 'state'), '--socket-path', join(folder, 'sock')], {
      timeoutMs: 40_000,
    });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'heddle-cli-'));
    [http, transfer] = await Promise.all([startHttpServer('hello by name\n'), startTransferServer()]);
    real = await RealTailnet.start({ control: 'testcontrol', nodes: 1 });
    const [proxyPort, forward] = (await freePorts(2)) as [number, number];
    proxy = `127.0.0.1:${proxyPort}`;
    forwardPort = forward;
    await writeFile(join(folder, 'key'), `${real.authKey}\n`, { mode: 0o600 });
  });

  afterAll(async () => {
    await heddle('disconnect');
    await real?.close();
    await Promise.all([http?.close(), transfer?.close()]);
    await rm(folder, { recursive: true, force: true });
  });

  it('says that nothing runs before it is connected', async () => {
    const { stdout } = await heddle('vpn', 'status');
    expect(stdout).toContain('VPN: not running');
  });

  it('connects, says so in one line and returns while the engine runs on', async () => {
    const { code, stdout, stderr } = await heddle(
      ...['connect', '--login-server', real.controlUrl, '--auth-key-file', join(folder, 'key'), '--hostname', 'cli'],
      ...['--proxy', proxy, '--forward', `127.0.0.1:${forwardPort}:${real.node.name}:${transfer.port}`],
      ...['--serve', `${SERVE_PORT}:127.0.0.1:${transfer.port}`],
    );
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^Connected \(100\.\S+, fd7a:\S+\) — 1 peer visible$/m);
    expect(code).toBe(0);
  });

  it('shows the state as text and as JSON', async () => {
    const { stdout } = await heddle('status', '--json');
    const status = JSON.parse(stdout);
    expect(status).toMatchObject({ state: 'running', peerCount: 1, proxy });
    expect(status.addresses).toHaveLength(2);
    expect(status.peers[0]).toMatchObject({ name: 'peer1', addresses: [real.node.ipv4, real.node.ipv6] });
    for (const field of ['dnsName', 'online', 'path', 'rxBytes', 'txBytes', 'lastHandshakeUnixMs']) {
      expect(status.peers[0]).toHaveProperty(field);
    }
    expect((await heddle('status')).stdout).toContain('peer1');
  });

  it('carries HTTP by short and full name through SOCKS5 and the HTTP proxy with curl', async () => {
    const { peers } = JSON.parse((await heddle('status', '--json')).stdout);
    for (const name of [real.node.name, peers[0].dnsName]) {
      const url = `http://${name}:${http.port}/`;
      for (const args of [
        ['--proxy', `socks5h://${proxy}`],
        ['--proxy', `http://${proxy}`],
        ['--proxytunnel', '--proxy', `http://${proxy}`],
      ]) {
        const { stdout, stderr, code } = await run('curl', ['-sS', '--max-time', '10', ...args, url]);
        expect({ args, stdout, stderr, code }).toEqual({ args, stdout: 'hello by name\n', stderr: '', code: 0 });
      }
    }
  });

  it('forwards a local port to the peer and serves a local port to it', async () => {
    const { createConnection } = await import('node:net');
    const local = createConnection({ port: forwardPort, host: '127.0.0.1', allowHalfOpen: true });
    expect(await echo(local, 'forwarded')).toBe('forwarded');
    const { addresses } = JSON.parse((await heddle('status', '--json')).stdout);
    const remote = await connectBySocks(real.node.socksPort, addresses[0], SERVE_PORT);
    expect(await upload(remote, 100_000)).toBe(true);
  });

  it('pings, lists peers and routes, and shows its log', async () => {
    expect((await heddle('ping', real.node.name, '--json')).stdout).toContain(real.node.ipv4);
    expect((await heddle('peers')).stdout).toContain(real.node.name);
    expect((await heddle('routes')).stdout).toContain(`${real.node.ipv4}/32`);
    expect((await heddle('logs')).code).toBe(0);
  });

  it('never shows the auth key: neither in the log nor in the arguments of a process', async () => {
    expect((await heddle('logs')).stdout).not.toContain(real.authKey);
    const processes = (await run('ps', ['-eo', 'args'])).stdout.split('\n');
    const engines = processes.filter((line) => line.includes('__vpn-daemon'));
    expect(engines.length).toBeGreaterThan(0);
    expect(engines.filter((line) => line.includes(real.authKey))).toEqual([]);
  });

  it('refuses a second engine on the same socket and names the first', async () => {
    const { code, stderr } = await heddle(
      'connect',
      '--login-server',
      real.controlUrl,
      '--auth-key-file',
      join(folder, 'key'),
    );
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/pid \d+|process \d+/);
  });

  it('disconnects and leaves neither process nor socket', async () => {
    expect((await heddle('disconnect')).code).toBe(0);
    expect((await heddle('vpn', 'status')).stdout).toContain('VPN: not running');
    await expect(stat(join(folder, 'sock'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('asks for a token when it was given one', async () => {
    await writeFile(join(folder, 'token'), 'open-sesame\n', { mode: 0o600 });
    const args = ['--login-server', real.controlUrl, '--auth-key-file', join(folder, 'key'), '--proxy', proxy];
    expect((await heddle('connect', ...args, '--proxy-token-file', join(folder, 'token'))).code).toBe(0);
    const url = `http://${real.node.name}:${http.port}/`;
    const get = async (server: string) =>
      (await run('curl', ['-sS', '--max-time', '10', '--proxy', server, url])).stdout;
    for (const scheme of ['socks5h', 'http']) {
      expect(await get(`${scheme}://${proxy}`)).not.toContain('hello by name');
      expect(await get(`${scheme}://me:wrong@${proxy}`)).not.toContain('hello by name');
      expect(await get(`${scheme}://me:open-sesame@${proxy}`)).toBe('hello by name\n');
    }
    expect((await heddle('logs')).stdout).not.toContain('open-sesame');
    await heddle('disconnect');
  });

  it('comes back with its keys and without an auth key, at the same addresses', async () => {
    // testcontrol insists on the key even for a node it knows; Headscale does not.
    const { stdout } = await heddle(
      'connect',
      '--login-server',
      real.controlUrl,
      '--auth-key-file',
      join(folder, 'key'),
      '--proxy',
      proxy,
    );
    expect(stdout).toMatch(/^Connected/);
    await heddle('disconnect');
  });

  it('says what is wrong with a refused auth key and leaves nothing running', async () => {
    await writeFile(join(folder, 'wrong'), 'no-such-key\n', { mode: 0o600 });
    const { code, stderr } = await run(
      HEDDLE,
      [
        'connect',
        '--login-server',
        real.controlUrl,
        '--auth-key-file',
        join(folder, 'wrong'),
        '--state-dir',
        join(folder, 'other'),
        '--socket-path',
        join(folder, 'sock2'),
        '--proxy',
        '127.0.0.1:0',
      ],
      { timeoutMs: 30_000 },
    );
    expect(code).not.toBe(0);
    expect(stderr).toContain('auth key');
    expect(stderr).not.toContain('no-such-key');
  });

  it('gives up on a server that never answers', async () => {
    const hanging = createServer(() => {});
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));
    const { port } = hanging.address() as { port: number };
    const { code, stderr } = await run(
      HEDDLE,
      [
        'connect',
        '--login-server',
        `http://127.0.0.1:${port}`,
        '--auth-key-file',
        join(folder, 'key'),
        '--state-dir',
        join(folder, 'third'),
        '--socket-path',
        join(folder, 'sock3'),
        '--proxy',
        '127.0.0.1:0',
        '--timeout',
        '3',
      ],
      { timeoutMs: 30_000 },
    );
    expect(code).not.toBe(0);
    expect(stderr).not.toBe('');
    hanging.close();
  });

  it('stops what it started on ctrl-C while waiting', async () => {
    const hanging = createServer(() => {});
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));
    const { port } = hanging.address() as { port: number };
    const socketPath = join(folder, 'sock4');
    const program = startProgram({
      name: 'connect',
      folder,
      command: HEDDLE,
      args: [
        'connect',
        '--login-server',
        `http://127.0.0.1:${port}`,
        '--auth-key-file',
        join(folder, 'key'),
        '--state-dir',
        join(folder, 'fourth'),
        '--socket-path',
        socketPath,
        '--proxy',
        '127.0.0.1:0',
      ],
    });
    await until('the engine to listen', 10_000, () => stat(socketPath));
    await program.stop('SIGINT');
    await until(
      'the engine to be gone',
      10_000,
      async () => (await stat(socketPath).catch(() => undefined)) === undefined,
    );
    hanging.close();
  });
});
