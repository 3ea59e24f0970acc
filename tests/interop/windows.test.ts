import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/processes.ts';
import { makeStubTeams } from '../support/stub-nebula.ts';
import { HAS_WINE, WineDaemon, windowsPath } from '../support/wine-daemon.ts';

const PROCESS_IDENTITY = fileURLToPath(new URL('../../packages/host/dist/process-identity.js', import.meta.url));
const title = 'the teams daemon on Windows (Node.js 20 under Wine)';

// Wine has one user: that nobody but administrators can write to the pipe cannot be shown here.
describe.skipIf(!HAS_WINE)(HAS_WINE ? title : `${title}: skipped, tests/interop/install.sh found no wine64`, () => {
  let folder: string;
  let daemon: WineDaemon;

  const upAgain = (team: string, oldPid: unknown) =>
    until(`${team} up again`, 20_000, async () => {
      const status = await daemon.askOne({ action: 'status', team });
      return status['state'] === 'up' && status['pid'] !== oldPid ? status : undefined;
    });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-windows-'));
    const configRoot = join(folder, 'config');
    mkdirSync(configRoot);
    makeStubTeams(folder, configRoot, ['acme', 'beta']);
    daemon = new WineDaemon(folder, basename(folder));
    await daemon.start();
  });
  afterAll(async () => {
    await daemon?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('answers the nine actions at its pipe', async () => {
    const up = { ok: true, state: 'up', pid: expect.any(Number) };
    const answers = await daemon.ask(
      { action: 'provision' },
      { action: 'teams' },
      { action: 'start', team: 'acme', reason: 'a test', request_ts: 1_732_190_000 },
      { action: 'status', team: 'acme' },
      { action: 'switch', team: 'beta' },
      { action: 'restart', team: 'beta' },
      { action: 'list' },
      { action: 'stop', team: 'beta' },
      { action: 'delete', team: 'beta' },
      { action: 'status', team: 'beta' },
    );
    expect(answers).toMatchObject([
      { ok: true, message: '2 teams provisioned' },
      { ok: true, teams: ['acme', 'beta'] },
      { ...up, team: 'acme' },
      { ...up, team: 'acme' },
      { ...up, team: 'beta', active: true },
      { ...up, team: 'beta' },
      { message: '2 teams, 1 up', teams: [{ name: 'acme', state: 'stopped' }, { name: 'beta' }] },
      { ok: true, state: 'stopped' },
      { ok: true },
      { ok: false, code: 'team/unknown' },
    ]);
    expect(answers[5]?.['pid']).not.toBe(answers[4]?.['pid']);
    expect(daemon.stubCount()).toBe(0);
  });

  it('is used by the command line', async () => {
    expect(await daemon.heddle('up', 'acme', '--socket-path', daemon.pipe)).toEqual({
      code: 0,
      text: 'Team acme is up\n',
    });
    const { text } = await daemon.heddle('list', '--socket-path', daemon.pipe);
    expect(text).toMatch(/^acme +nebula +up /m);
  });

  it('restarts a team that is to be reloaded: nobody can tell Nebula there', async () => {
    const [before, after] = await daemon.ask({ action: 'status', team: 'acme' }, { action: 'reload', team: 'acme' });
    expect(after).toMatchObject({ ok: true, state: 'up', pid: expect.any(Number) });
    expect(after?.['pid']).not.toBe(before?.['pid']);
  });

  it('brings a killed team back', async () => {
    const { pid } = await daemon.askOne({ action: 'status', team: 'acme' });
    await daemon.endProcess(pid);
    expect(await upAgain('acme', pid)).toMatchObject({ restarts: 1 });
    expect(daemon.stubCount()).toBe(1);
  });

  it('is refused beside another one, at the same pipe and at the same state', async () => {
    const { pid } = await daemon.askOne({ action: 'version' });
    const atPipe = await daemon.second('--state-db-path', windowsPath(join(folder, 'other', 'state.db')));
    expect(atPipe).toMatchObject({ code: 9, text: expect.stringContaining('[ipc/already-running]') });
    expect(atPipe.text).toContain(`process ${pid}`);
    const atState = await daemon.second('--pipe-name', `${basename(folder)}-other`);
    expect(atState).toMatchObject({ code: 9, text: expect.stringContaining('[state/locked]') });
    expect(atState.text).toContain(`process ${pid}`);
  });

  it('takes its teams with it when it is killed, and brings back what was up', async () => {
    const { pid } = await daemon.askOne({ action: 'version' });
    await daemon.endProcess(pid);
    // Our own end of it waits for ctrl-C.
    await daemon.stop();
    await until('the end of the team', 5000, async () => daemon.stubCount() === 0);
    await daemon.start('--autostart');
    await upAgain('acme', undefined);
  });

  it('tells a process from a later one with its number, so a dead owner holds no lock', async () => {
    const module = `file:///Z:${PROCESS_IDENTITY}`;
    const script = `
      const { describeOwnProcess, isProcessAlive } = await import('${module}');
      const own = describeOwnProcess();
      console.log(own.startMark !== '', isProcessAlive(own), isProcessAlive({ ...own, startMark: 'other' }));`;
    expect(await daemon.evaluate(script)).toBe('true true false\n');
  });

  it('ends all teams and itself on ctrl-C, with 0', async () => {
    expect(daemon.stubCount()).toBe(1);
    expect(await daemon.stop()).toBe(0);
    expect(daemon.stubCount()).toBe(0);
  });
});
