import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enterNamespace } from '../support/enter-namespace.ts';
import { NebulaLab, type NebulaNetwork } from '../support/nebula-lab.ts';
import { run, until } from '../support/processes.ts';
import { RealTailnet } from '../support/real-tailnet.ts';
import { TeamsDaemon } from '../support/teams-daemon.ts';
import { connectBySocks, echo, type Services, startTransferServer } from '../support/transfers.ts';

const HEDDLE = fileURLToPath(new URL('../../node_modules/.bin/heddle', import.meta.url));
const ACME: NebulaNetwork = { name: 'acme', prefix: '10.77.0' };
const DEBIAN = { name: 'Debian', nebula: '/usr/bin/nebula', cert: '/usr/bin/nebula-cert' };
const canMakeNamespaces = process.getuid?.() === 0 && existsSync('/dev/net/tun');

// Namespaces and devices are root's.
describe.skipIf(!canMakeNamespaces)('two tailnets of two coordination servers and a Nebula team', () => {
  let lab: NebulaLab;
  let daemon: TeamsDaemon;
  let service: Services;
  const tailnets = new Map<string, RealTailnet>();

  beforeAll(async () => {
    lab = await NebulaLab.start({ release: DEBIAN, networks: [ACME] });
    enterNamespace(lab.namespace);
    service = await startTransferServer();
    for (const name of ['red', 'blue']) {
      const real = await RealTailnet.start({ control: 'testcontrol', nodes: 1 });
      tailnets.set(name, real);
      const dir = join(lab.configRoot, name);
      await mkdir(dir);
      await writeFile(join(dir, 'key'), real.authKey, { mode: 0o600 });
      await writeFile(join(dir, 'tailnet.yml'), `login_server: ${real.controlUrl}\nauth_key_file: key\nhostname: us\n`);
    }
    const { folder, configRoot } = lab;
    daemon = new TeamsDaemon({ folder, configRoot, namespace: undefined, nebula: DEBIAN.nebula, isRateLimited: false });
    await daemon.start();
    expect(await daemon.ask({ action: 'provision' })).toMatchObject({ ok: true, message: '3 teams provisioned' });
  });
  afterAll(async () => {
    await daemon?.stop();
    for (const real of tailnets.values()) await real.close();
    await service?.close();
    await lab?.close();
  });

  /** What comes back from the tailnet's peer, through the team's own proxy. */
  async function echoThrough(team: string): Promise<string> {
    const { proxy } = (await daemon.ask({ action: 'status', team })) as unknown as { proxy: string };
    const peer = (tailnets.get(team) as RealTailnet).node.ipv4;
    const socket = await connectBySocks(Number(proxy.split(':')[1]), peer, service.port);
    return echo(socket, `hello ${team}`);
  }

  async function expectTrafficInAll(): Promise<void> {
    for (const team of tailnets.keys()) {
      expect(await until(`an answer in ${team}`, 20_000, () => echoThrough(team))).toBe(`hello ${team}`);
    }
    await until('a ping', 20_000, () => lab.canPing(ACME));
  }

  it('run at once, with traffic in all three', async () => {
    for (const team of ['acme', 'red', 'blue']) {
      expect(await daemon.ask({ action: 'start', team })).toMatchObject({ ok: true, state: 'up' });
    }
    const { teams } = (await daemon.ask({ action: 'list' })) as unknown as { teams: { proxy?: string; pid: number }[] };
    const proxies = teams.flatMap(({ proxy }) => proxy ?? []);
    expect(new Set(proxies).size).toBe(2);
    await expectTrafficInAll();
  });

  it('answer what only an engine knows', async () => {
    const { name } = (tailnets.get('red') as RealTailnet).node;
    expect(await daemon.ask({ action: 'peers', team: 'red' })).toMatchObject({ ok: true, peers: [{ name }] });
    expect(await daemon.ask({ action: 'ping', team: 'red', peer: name })).toMatchObject({ ok: true, peer: name });
    expect(await daemon.ask({ action: 'netcheck', team: 'blue' })).toMatchObject({
      ok: true,
      relay: { isConnected: true },
    });
    expect(await daemon.ask({ action: 'peers', team: 'acme' })).toMatchObject({
      ok: false,
      code: 'team/not-supported',
    });
  });

  it('are asked by the commands too', async () => {
    const { name } = (tailnets.get('red') as RealTailnet).node;
    const heddle = (...args: string[]) => run(HEDDLE, [...args, '--socket-path', daemon.socketPath]);
    expect((await heddle('peers', '--team', 'red')).stdout).toMatch(new RegExp(`^${name} +100\\.`, 'm'));
    expect((await heddle('ping', name, '--team', 'red')).stdout).toContain(`pong from ${name}`);
    expect((await heddle('logs', '--team', 'acme', '-n', '50')).stdout).toContain('Nebula interface is active');
    expect((await heddle('peers', '--team', 'acme')).stderr).toContain('[team/not-supported]');
  });

  it('one is killed and comes back alone, the others do not notice', async () => {
    const before = await daemon.status('red');
    const others = [(await daemon.status('acme')).pid, (await daemon.status('blue')).pid];
    process.kill(before.pid as number, 'SIGKILL');
    await until('another process', 10_000, async () => {
      const status = await daemon.status('red');
      return status.state === 'up' && status.pid !== before.pid;
    });
    await expectTrafficInAll();
    expect([(await daemon.status('acme')).pid, (await daemon.status('blue')).pid]).toEqual(others);
  });

  it('are all back after the daemon was killed', async () => {
    await daemon.kill();
    await daemon.start('--autostart');
    for (const team of ['acme', 'red', 'blue']) {
      await until(`team ${team}`, 15_000, async () => (await daemon.status(team)).state === 'up');
    }
    await expectTrafficInAll();
  });
});
