import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeFakeNebula } from '../../packages/daemon/test/fake-nebula.ts';
import certificates from '../../packages/daemon/test/vectors/nebula/long-lived.json' with { type: 'json' };
import { IS_BUILT } from '../support/heddle-command.ts';
import { run, until } from '../support/processes.ts';
import { TeamsDaemon } from '../support/teams-daemon.ts';

// The real daemon as a process of its own; only Nebula pretends, and has no device.
const HEDDLE = fileURLToPath(new URL('../../node_modules/.bin/heddle', import.meta.url));

let folder: string;
let configRoot: string;
let daemon: TeamsDaemon;

function addTeam(name: string, fake: Record<string, unknown> = {}): void {
  const dir = join(configRoot, name);
  mkdirSync(dir, { recursive: true });
  const pki = { ca: join(folder, 'ca.crt'), cert: join(folder, 'host.crt'), key: join(folder, 'host.key') };
  const config = { pki, tun: { disabled: true }, fake };
  writeFileSync(join(dir, 'config.yml'), JSON.stringify(config));
}

function createDaemon(isRateLimited = false): TeamsDaemon {
  const nebula = join(folder, 'nebula');
  return new TeamsDaemon({ folder, configRoot, nebula, namespace: undefined, isRateLimited });
}

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}/exe`);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-teams-'));
  configRoot = join(folder, 'config');
  makeFakeNebula(folder);
  writeFileSync(join(folder, 'ca.crt'), certificates.ca);
  writeFileSync(join(folder, 'host.crt'), certificates.host);
  writeFileSync(join(folder, 'host.key'), 'a key that nobody reads\n', { mode: 0o600 });
  addTeam('acme');
  addTeam('beta');
  daemon = createDaemon();
});
afterEach(async () => {
  await daemon.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe.skipIf(!IS_BUILT || process.platform !== 'linux')('the teams daemon', () => {
  it('provisions, starts, switches, restarts, stops and deletes', async () => {
    await daemon.start();
    expect(statSync(daemon.socketPath).mode & 0o777).toBe(0o666);
    expect(statSync(join(folder, 'run')).mode & 0o777).toBe(0o755);
    expect(statSync(join(folder, 'state')).mode & 0o777).toBe(0o700);
    expect(await daemon.ask({ action: 'provision' })).toMatchObject({ ok: true });
    const started = await daemon.ask({ action: 'start', team: 'acme' });
    expect(started).toMatchObject({ ok: true, team: 'acme', state: 'up', message: 'team acme is up' });
    expect(await daemon.ask({ action: 'start', team: 'acme' })).toMatchObject({
      ok: true,
      pid: started['pid'],
      message: 'team acme is already running',
    });
    expect(await daemon.ask({ action: 'switch', team: 'beta' })).toMatchObject({ ok: true, active: true });
    expect(await daemon.ask({ action: 'list' })).toMatchObject({
      message: '2 teams, 1 up',
      teams: [
        { name: 'acme', state: 'stopped', desired: 'down' },
        { name: 'beta', state: 'up', desired: 'up' },
      ],
    });
    const { pid } = await daemon.status('beta');
    expect((await daemon.ask({ action: 'restart', team: 'beta' }))['pid']).not.toBe(pid);
    expect(await daemon.ask({ action: 'stop', team: 'beta' })).toMatchObject({ ok: true, state: 'stopped' });
    expect(await daemon.ask({ action: 'delete', team: 'beta' })).toMatchObject({ ok: true });
    expect(await daemon.ask({ action: 'status', team: 'beta' })).toMatchObject({ ok: false, code: 'team/unknown' });
    expect(existsSync(join(configRoot, 'beta', 'config.yml'))).toBe(true);
  });

  it('says why a team does not come up, and does not try again where only a person can help', async () => {
    addTeam('acme', {
      errorLine: { msg: 'Failed to load ca from config', error: 'no pki.ca path or PEM data provided' },
    });
    await daemon.start();
    await daemon.ask({ action: 'provision' });
    expect(await daemon.ask({ action: 'start', team: 'acme' })).toMatchObject({
      ok: false,
      code: 'nebula/pki-missing',
    });
    expect(await daemon.status('acme')).toMatchObject({ state: 'failed', desired: 'up', restarts: 0 });
  });

  it('reloads a team in place where Nebula can, and restarts it where it cannot', async () => {
    addTeam('acme', { handlersAfterMs: 0 });
    await daemon.start();
    await daemon.ask({ action: 'provision' });
    const { pid } = await daemon.ask({ action: 'start', team: 'acme' });
    expect(await daemon.ask({ action: 'reload', team: 'acme' })).toMatchObject({ ok: true, state: 'up', pid });
    // An unknown section may be one that no signal reaches.
    addTeam('acme', { handlersAfterMs: 0, note: 'changed' });
    const restarted = await daemon.ask({ action: 'reload', team: 'acme' });
    expect(restarted).toMatchObject({ ok: true, state: 'up' });
    expect(restarted['pid']).not.toBe(pid);
    writeFileSync(join(configRoot, 'acme', 'config.yml'), 'pki: [');
    expect(await daemon.ask({ action: 'reload', team: 'acme' })).toMatchObject({ ok: false, code: 'team/bad-config' });
    expect(await daemon.status('acme')).toMatchObject({ state: 'up', pid: restarted['pid'] });
  });

  it('provisions and reloads on SIGHUP, and opens no debugger on SIGUSR1', async () => {
    await daemon.start();
    process.kill(daemon.pid, 'SIGUSR1');
    process.kill(daemon.pid, 'SIGHUP');
    await until('the teams', 5000, async () => (await daemon.ask({ action: 'teams' })).message === '2 teams');
    await until('the end of it', 5000, () => readFileSync(daemon.logPath, 'utf8').includes('"Reloaded"'));
    expect(readFileSync(daemon.logPath, 'utf8')).not.toMatch(/[Dd]ebugger|inspector/);
  });

  it('tells what Nebula did not take over', async () => {
    const errorLine = { msg: 'Could not load client cert', error: 'nebula certificate for this host is expired' };
    addTeam('acme', { handlersAfterMs: 0, reloadErrorLine: errorLine });
    await daemon.start();
    await daemon.ask({ action: 'provision' });
    await daemon.ask({ action: 'start', team: 'acme' });
    const answer = await daemon.ask({ action: 'reload', team: 'acme' });
    expect(answer).toMatchObject({ ok: false, code: 'nebula/reload-failed' });
    expect(answer.message).toContain('expired');
    expect(await daemon.status('acme')).toMatchObject({ state: 'up' });
  });

  it('does not start a team that its server has revoked', async () => {
    const revocation = { reason: '401 Unauthorized', revoked_at: '2026-11-21T00:00:00Z' };
    writeFileSync(join(configRoot, 'acme', 'auth-revoked.json'), JSON.stringify(revocation));
    await daemon.start();
    await daemon.ask({ action: 'provision' });
    const answer = await daemon.ask({ action: 'start', team: 'acme' });
    expect(answer).toMatchObject({ ok: false, code: 'registration/revoked' });
    expect(await daemon.status('acme')).toMatchObject({ state: 'failed' });
  });

  it('brings a killed team back, and shows that', async () => {
    await daemon.start();
    await daemon.ask({ action: 'provision' });
    const { pid } = await daemon.ask({ action: 'start', team: 'acme' });
    process.kill(pid as number, 'SIGKILL');
    const info = await until('another process', 5000, async () => {
      const status = await daemon.status('acme');
      return status.state === 'up' && status.pid !== pid ? status : undefined;
    });
    expect(info).toMatchObject({ restarts: 1, last_error: { code: 'nebula/killed' } });
  });

  it('ends all teams at once and itself within 6 s, though one does not listen', async () => {
    addTeam('beta', { ignoreTerm: true, handlersAfterMs: 0 });
    await daemon.start();
    await daemon.ask({ action: 'provision' });
    for (const team of ['acme', 'beta']) await daemon.ask({ action: 'start', team });
    const pids = [(await daemon.status('acme')).pid, (await daemon.status('beta')).pid] as number[];
    const { code, elapsedMs } = await daemon.stop();
    expect(code).toBe(0);
    expect(elapsedMs).toBeLessThan(6500);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(existsSync(daemon.socketPath)).toBe(false);
  }, 15_000);

  it('after a kill -9 ends what its predecessor left, and brings back what was up', async () => {
    await daemon.start();
    await daemon.ask({ action: 'provision' });
    await daemon.ask({ action: 'start', team: 'acme' });
    const { pid } = await daemon.status('acme');
    await daemon.kill();
    expect(isAlive(pid as number)).toBe(true);
    const left = ['test.json', 'config.json.new'].map((name) => join(folder, 'state', 'teams', 'acme', name));
    for (const path of left) writeFileSync(path, 'half a fi');
    await daemon.start('--autostart');
    expect(isAlive(pid as number)).toBe(false);
    await until('the team', 5000, async () => (await daemon.status('acme')).state === 'up');
    expect(left.filter((path) => existsSync(path))).toEqual([]);
    expect((await daemon.status('beta')).state).toBe('stopped');
  });

  it('says in a dry run what it would do, and does nothing', async () => {
    mkdirSync(join(configRoot, 'broken'));
    writeFileSync(join(configRoot, 'broken', 'config.yml'), 'pki: [');
    const paths = ['--socket-path', daemon.socketPath, '--state-db-path', join(folder, 'state', 'state.db')];
    const dry = () => run(HEDDLE, ['--ipc-mode', 'socket', '--dry-run', '--config-root', configRoot, ...paths]);
    const { code, stdout } = await dry();
    expect(code).toBe(1);
    expect(stdout).toContain(`Would listen at ${daemon.socketPath}`);
    expect(stdout).toMatch(/^NO {2}broken: broken\/config\.yml line \d+: .+ \[team\/bad-config\]$/m);
    expect(stdout).toMatch(/^acme +clear/m);
    rmSync(join(configRoot, 'broken'), { recursive: true });
    expect((await dry()).code).toBe(0);
    expect([existsSync(join(folder, 'run')), existsSync(join(folder, 'state'))]).toEqual([false, false]);
  });

  it('is refused beside another one, whose pid is told', async () => {
    await daemon.start();
    const args = [
      '--ipc-mode',
      'socket',
      '--socket-path',
      daemon.socketPath,
      '--state-db-path',
      join(folder, 'other.db'),
    ];
    const { code, stderr } = await run(HEDDLE, args);
    expect(code).toBe(9);
    expect(stderr).toMatch(/already running at .* \(process \d+\)/);
    const sameState = ['--ipc-mode', 'socket', '--socket-path', join(folder, 'run2', 'x.sock')];
    const second = await run(HEDDLE, [...sameState, '--state-db-path', join(folder, 'state', 'state.db')]);
    expect(second.code).toBe(9);
    expect(second.stderr).toMatch(/process \d+/);
  });

  it('lets a user ask thirty times a minute', async () => {
    await daemon.stop();
    daemon = createDaemon(true);
    await daemon.start();
    const answers = await new Promise<string>((resolve) => {
      const socket = connect({ path: daemon.socketPath, allowHalfOpen: true });
      let text = '';
      socket.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      socket.on('end', () => resolve(text));
      socket.end('{"action":"teams"}\n'.repeat(31));
    });
    const codes = answers
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { code?: string }).code ?? 'ok');
    // Waiting for the daemon has cost some of them.
    expect(codes.filter((code) => code === 'ok').length).toBeLessThanOrEqual(30);
    expect(codes.at(-1)).toBe('ipc/rate-limited');
  });

  it('is used by the command line', async () => {
    const heddle = (...args: string[]) => run(HEDDLE, [...args, '--socket-path', daemon.socketPath]);
    expect((await heddle('list')).stderr).toContain('[team/no-daemon]');
    await daemon.start();
    expect((await heddle('list')).stdout).toContain('heddle provision');
    expect((await heddle('provision')).stdout).toContain('2 teams provisioned');
    expect((await heddle('up', 'acme')).stdout).toBe('Team acme is up\n');
    expect((await heddle('list')).stdout).toMatch(/^acme +nebula +up /m);
    const status = await heddle('status', '--state-dir', join(folder, 'none'));
    expect(status.stdout).toMatch(/^TEAM.+\nacme +nebula +up /);
    expect((await heddle('plan')).stdout).toMatch(/^beta +clear/m);
    expect((await heddle('switch', 'beta', '--reason', 'a test')).stdout).toBe('Team beta is up\n');
    expect(JSON.parse((await heddle('list', '--json')).stdout)).toMatchObject({
      teams: [{ state: 'stopped' }, { state: 'up' }],
    });
    expect((await heddle('down', 'beta')).stdout).toBe('Team beta is stopped\n');
    const unknown = await heddle('up', 'nobody');
    expect([unknown.code, unknown.stderr.split('\n')[0]]).toEqual([
      2,
      'heddle: There is no team "nobody" [team/unknown]',
    ]);
    const log = readFileSync(daemon.logPath, 'utf8');
    expect(log).toMatch(
      /"message":"switch requested","fields":\{"uid":\d+,"pid":\d+,"team":"beta","reason":"a test"\}/,
    );
  });
});
