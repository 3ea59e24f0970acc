import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NebulaLab, type NebulaNetwork, type NebulaRelease } from '../support/nebula-lab.ts';
import { run, until } from '../support/processes.ts';
import { TeamsDaemon } from '../support/teams-daemon.ts';

const PEERS = join(process.env['HEDDLE_PEERS'] ?? join(homedir(), '.cache/heddle-peers'), 'bin');
const RELEASES: readonly NebulaRelease[] = [
  { name: 'Debian', nebula: '/usr/bin/nebula', cert: '/usr/bin/nebula-cert' },
  { name: 'new', nebula: join(PEERS, 'nebula-new'), cert: join(PEERS, 'nebula-cert-new') },
];
const ACME: NebulaNetwork = { name: 'acme', prefix: '10.77.0' };
const BETA: NebulaNetwork = { name: 'beta', prefix: '10.88.0' };
const canMakeNamespaces = process.getuid?.() === 0 && existsSync('/dev/net/tun');

for (const release of RELEASES) {
  const version = execFileSync(release.nebula, ['-version'], { encoding: 'utf8' }).trim();
  // Namespaces and devices are root's.
  describe.skipIf(!canMakeNamespaces)(`teams of Nebula ${version} (${release.name})`, () => {
    let lab: NebulaLab;
    let daemon: TeamsDaemon;

    beforeAll(async () => {
      lab = await NebulaLab.start({ release, networks: [ACME, BETA] });
      const { folder, configRoot, namespace } = lab;
      daemon = new TeamsDaemon({ folder, configRoot, namespace, nebula: release.nebula, isRateLimited: false });
    });
    afterAll(async () => {
      await daemon?.stop();
      await lab?.close();
    });

    it('are provisioned from the config root', async () => {
      await daemon.start();
      expect(await daemon.ask({ action: 'provision' })).toMatchObject({ ok: true, message: '2 teams provisioned' });
      expect(await daemon.ask({ action: 'teams' })).toMatchObject({ ok: true, teams: ['acme', 'beta'] });
    });

    it('are refused by Nebula itself before they are taken over', async () => {
      await daemon.copyTeam('beta', 'broken', '\ncipher: rot13\n');
      const answer = await daemon.ask({ action: 'provision', team: 'broken' });
      expect(answer).toMatchObject({ ok: false, code: 'nebula/config-invalid' });
      expect(JSON.stringify(answer)).not.toContain('PRIVATE KEY');
      await daemon.removeTeam('broken');
    });

    it('run side by side, though both want the same device and port', async () => {
      for (const team of ['acme', 'beta'])
        expect(await daemon.ask({ action: 'start', team })).toMatchObject({ ok: true });
      for (const network of [ACME, BETA]) await until(`a ping in ${network.name}`, 20_000, () => lab.canPing(network));
      expect(await lab.devices()).toHaveLength(2);
    });

    it('answer to the documented one-liners of socat', async () => {
      const socat = async (line: string): Promise<unknown> => {
        const { stdout } = await run('sh', ['-c', `echo '${line}' | socat - UNIX-CONNECT:${daemon.socketPath}`]);
        return JSON.parse(stdout) as unknown;
      };
      const up = { ok: true, team: 'acme', pid: expect.any(Number), message: expect.any(String) };
      expect(await socat('{"action":"teams"}')).toMatchObject({ ok: true, teams: ['acme', 'beta'] });
      expect(await socat('{"action":"list"}')).toMatchObject({ ok: true, teams: [{ name: 'acme' }, { name: 'beta' }] });
      expect(await socat('{"action":"status","team":"acme"}')).toMatchObject(up);
      expect(await socat('{"action":"start","team":"acme","reason":"a user","request_ts":1732190000}')).toMatchObject(
        up,
      );
      expect(await socat('{"action":"restart","team":"acme"}')).toMatchObject(up);
      const stopped = await socat('{"action":"stop","team":"acme"}');
      expect(stopped).toMatchObject({ ok: true, team: 'acme' });
      expect(stopped).not.toHaveProperty('pid');
      expect(await socat('{"action":"switch","team":"acme"}')).toMatchObject(up);
      expect(await socat('{"action":"provision"}')).toMatchObject({ ok: true });
      expect(await socat('{"action":"delete","team":"acme"}')).toMatchObject({ ok: true, team: 'acme' });
      expect(await socat('{"action":"provision","team":"acme"}')).toMatchObject({ ok: true });
      expect(await socat('{"action":"start","team":"beta"}')).toMatchObject({ ok: true, team: 'beta' });
    });

    it('switch', async () => {
      expect(await daemon.ask({ action: 'switch', team: 'beta', reason: 'moving' })).toMatchObject({ ok: true });
      await until('one device', 5000, async () => (await lab.devices()).length === 1);
      expect(await lab.canPing(BETA)).toBe(true);
      expect(await lab.canPing(ACME)).toBe(false);
    });

    it('say which Nebula runs them', async () => {
      expect(await daemon.status('beta')).toMatchObject({ version: version.replace('Version: ', '') });
    });

    it('restart with another process', async () => {
      const before = await daemon.status('beta');
      expect(await daemon.ask({ action: 'restart', team: 'beta' })).toMatchObject({ ok: true });
      const after = await daemon.status('beta');
      expect(after.pid).not.toBe(before.pid);
      await until('a ping', 20_000, () => lab.canPing(BETA));
    });

    it('take over a renewed certificate without an interruption, and another address by a restart', async () => {
      const { pid } = await daemon.status('beta');
      await lab.renewCertificate(BETA);
      expect(await daemon.ask({ action: 'reload', team: 'beta' })).toMatchObject({ ok: true, state: 'up', pid });
      await until('a ping', 20_000, () => lab.canPing(BETA));
      await lab.renewCertificate(BETA, `${BETA.prefix}.9/24`);
      const moved = await daemon.ask({ action: 'reload', team: 'beta' });
      expect(moved).toMatchObject({ ok: true, state: 'up', addresses: [`${BETA.prefix}.9`] });
      expect(moved['pid']).not.toBe(pid);
      await until('a ping', 20_000, () => lab.canPing(BETA));
    });

    it('come back by themselves after a kill', async () => {
      const { pid } = await daemon.status('beta');
      process.kill(pid as number, 'SIGKILL');
      const info = await until('another process', 5000, async () => {
        const status = await daemon.status('beta');
        return status.state === 'up' && status.pid !== pid ? status : undefined;
      });
      expect(info.restarts).toBe(1);
      await until('a ping', 20_000, () => lab.canPing(BETA));
    });

    it('are refused where their addresses would overlap', async () => {
      await daemon.copyTeam('beta', 'clash');
      await daemon.ask({ action: 'provision', team: 'clash' });
      const answer = await daemon.ask({ action: 'start', team: 'clash' });
      expect(answer).toMatchObject({ ok: false, code: 'plan/overlapping-team' });
      expect(answer.message).toContain('"beta"');
      expect(await lab.canPing(BETA)).toBe(true);
      await daemon.ask({ action: 'delete', team: 'clash' });
    });

    it('end with the daemon, which leaves nothing', async () => {
      const { code, elapsedMs } = await daemon.stop();
      expect(code).toBe(0);
      expect(elapsedMs).toBeLessThan(6000);
      expect(await lab.devices()).toEqual([]);
      expect(existsSync(daemon.socketPath)).toBe(false);
    });

    it('are up again after --autostart', async () => {
      await daemon.start('--autostart');
      await until('the set of before', 10_000, async () => (await daemon.status('beta')).state === 'up');
      expect(await daemon.status('acme')).toMatchObject({ state: 'stopped' });
      await until('a ping', 20_000, () => lab.canPing(BETA));
    });

    it('survive a kill -9 of the daemon: the next one ends what it finds and starts again', async () => {
      const { pid } = await daemon.status('beta');
      await daemon.kill();
      expect(await lab.devices()).toHaveLength(1);
      await daemon.start('--autostart');
      await until('another process', 10_000, async () => {
        const status = await daemon.status('beta');
        return status.state === 'up' && status.pid !== pid;
      });
      expect(await lab.devices()).toHaveLength(1);
      await until('a ping', 20_000, () => lab.canPing(BETA));
    });
  });
}
