import { beforeEach, describe, expect, it } from 'vitest';
import { FakeServiceSystem, SERVICE_OPTIONS as OPTIONS } from '../../test/fake-service-system.ts';
import { describeService, type ServiceOptions } from './description.ts';
import { installService, uninstallService } from './installer.ts';
import { runServiceCommand, type ServiceCommandOptions, type ServiceVerb } from './service-commands.ts';
import { planService } from './service-plan.ts';
import type { CommandResult } from './service-system.ts';
import { isOurUnit, listUnits, type ServiceManager } from './unit-names.ts';

const UNIT = '/etc/systemd/system/heddle.service';
const PLIST = '/Library/LaunchDaemons/tech.deltaops.cvpn.plist';
let system = new FakeServiceSystem();
beforeEach(() => {
  system = new FakeServiceSystem();
});

function fails(command: string, code: number, stderr: string, count = 1): void {
  system.answers.set(command, Array<CommandResult>(count).fill({ code, stdout: '', stderr }));
}

function onMac(): void {
  system.platform = 'darwin';
  system.present.delete('/run/systemd/system');
}

const install = (options: Partial<ServiceOptions> = {}, manager: ServiceManager = 'systemd') =>
  installService(planService(describeService({ ...OPTIONS, ...options }), manager), system);

const uninstall = (team?: string, purgedPaths: readonly string[] = [], manager: ServiceManager = 'systemd') => {
  const identity = team === undefined ? ({ mode: 'desktop' } as const) : ({ mode: 'server', team } as const);
  return uninstallService({ manager, units: listUnits(identity, manager), clean: undefined, purgedPaths }, system);
};

const SERVER = { team: 'acme', nebulaBinary: '/usr/bin/nebula' };

describe('an installation under systemd', () => {
  it('writes the unit, then reloads, enables and starts it', async () => {
    expect(await install()).toEqual({ written: [UNIT], unchanged: [] });
    expect(isOurUnit(system.files.get(UNIT) ?? '')).toBe(true);
    expect(system.commands).toEqual(['systemctl daemon-reload', 'systemctl enable --now heddle.service']);
  });

  it('may be repeated, and then restarts nothing', async () => {
    await install();
    system.commands.length = 0;
    expect(await install()).toEqual({ written: [], unchanged: [UNIT] });
    expect(system.commands).toEqual(['systemctl daemon-reload', 'systemctl enable --now heddle.service']);
  });

  it('restarts what runs with older options', async () => {
    await install();
    system.commands.length = 0;
    expect(await install({ logFile: '/var/log/heddle/x.log' })).toEqual({ written: [UNIT], unchanged: [] });
    expect(system.commands).toEqual([
      'systemctl daemon-reload',
      'systemctl enable heddle.service',
      'systemctl restart heddle.service',
    ]);
  });

  it('of a team enables the team and the timer, not the check', async () => {
    expect((await install(SERVER)).written).toHaveLength(3);
    expect(system.commands.at(-1)).toBe('systemctl enable --now heddle-team@acme.service heddle-auth@acme.timer');
  });

  it('makes the folders that systemd does not', async () => {
    await install({ configRoot: '/srv/my teams' });
    expect(system.commands[0]).toBe('mkdir -p -m 0750 -- /srv/my teams');
  });

  it('takes everything back when the service does not start', async () => {
    fails('systemctl enable --now', 1, 'Job for heddle.service failed.\nSee "journalctl -xeu heddle.service".\n');
    await expect(install()).rejects.toMatchObject({
      code: 'service/command-failed',
      message: 'Command "systemctl enable --now heddle.service" ended with 1: See "journalctl -xeu heddle.service".',
    });
    expect(system.files.size).toBe(0);
    expect(system.commands.slice(2)).toEqual([
      'systemctl disable --now heddle.service',
      'systemctl daemon-reload',
      'systemctl reset-failed heddle.service',
    ]);
  });

  it('puts the older unit back when the new one does not start', async () => {
    await install();
    const before = system.files.get(UNIT);
    system.commands.length = 0;
    fails('systemctl restart', 1, 'Job failed\n');
    await expect(install({ logFile: '/var/log/heddle/x.log' })).rejects.toMatchObject({
      code: 'service/command-failed',
    });
    expect(system.files.get(UNIT)).toBe(before);
    expect(system.commands.slice(3)).toEqual([
      'systemctl daemon-reload',
      'systemctl enable heddle.service',
      'systemctl restart heddle.service',
    ]);
  });

  it('takes back only what it has written when the disk is full', async () => {
    system.unwritable.add('/etc/systemd/system/heddle-auth@acme.service');
    await expect(install(SERVER)).rejects.toMatchObject({
      code: 'service/file-failed',
      message: 'Cannot write "/etc/systemd/system/heddle-auth@acme.service" (ENOSPC)',
    });
    expect(system.files.size).toBe(0);
    expect(system.commands[0]).toBe('systemctl disable --now heddle-team@acme.service');
  });

  it('touches nothing when one of its files is somebody else’s', async () => {
    system.files.set('/etc/systemd/system/heddle-auth@acme.timer', '[Timer]\nOnBootSec=1\n');
    await expect(install(SERVER)).rejects.toMatchObject({ code: 'service/foreign-unit' });
    expect([system.files.size, system.commands]).toEqual([1, []]);
  });

  it('needs root, systemd and the programs', async () => {
    system.present.delete('/usr/local/bin/heddle');
    await expect(install()).rejects.toMatchObject({ code: 'service/bad-path' });
    system.uid = 1000;
    await expect(install()).rejects.toMatchObject({ code: 'service/not-root' });
    system.present.delete('/run/systemd/system');
    await expect(install()).rejects.toMatchObject({ code: 'service/no-systemd' });
    await expect(install({}, 'launchd')).rejects.toMatchObject({ code: 'service/no-launchd' });
    system.platform = 'win32';
    await expect(install()).rejects.toMatchObject({ code: 'service/no-systemd' });
    expect([system.files.size, system.commands]).toEqual([0, []]);
  });

  it('says which command failed, on one line without control characters', async () => {
    fails('systemctl daemon-reload', 1, `first\n\u001b[31mlast ${'x'.repeat(1000)}\n\n`);
    const error = await install().catch((reason: unknown) => reason as Error);
    expect((error as Error).message).toMatch(/^Command "systemctl daemon-reload" ended with 1: \[31mlast x+$/);
    expect((error as Error).message.length).toBeLessThan(400);
  });
});

describe('a removal under systemd', () => {
  it('stops, removes and forgets the units, the timer first', async () => {
    await install(SERVER);
    system.commands.length = 0;
    expect((await uninstall('acme')).removed).toHaveLength(3);
    expect(system.files.size).toBe(0);
    expect(system.commands).toEqual([
      'systemctl disable --now heddle-auth@acme.timer heddle-team@acme.service',
      'systemctl stop heddle-auth@acme.service',
      'systemctl daemon-reload',
      'systemctl reset-failed heddle-team@acme.service heddle-auth@acme.service',
    ]);
  });

  it('of what is not there does nothing, so that a package’s unit of that name stays enabled', async () => {
    expect(await uninstall()).toEqual({ removed: [], purged: [] });
    expect(system.commands).toEqual([]);
  });

  it('goes on when parts are missing', async () => {
    await install(SERVER);
    system.files.delete('/etc/systemd/system/heddle-auth@acme.timer');
    fails('systemctl disable', 1, 'Removed "/etc/x".\nFailed to stop x: Unit heddle-team@acme.service not loaded.\n');
    fails('systemctl reset-failed', 1, 'Failed to reset failed state of unit x: Unit x not loaded.\n');
    expect((await uninstall('acme')).removed).toHaveLength(2);
    expect(system.files.size).toBe(0);
  });

  it('keeps the file of a service that cannot be stopped', async () => {
    await install();
    for (const words of ['Failed to connect to bus: Connection refused\n', '']) {
      fails('systemctl disable', 1, words);
      await expect(uninstall()).rejects.toMatchObject({ code: 'service/command-failed' });
    }
    expect(system.files.has(UNIT)).toBe(true);
  });

  it('never removes what somebody else wrote', async () => {
    system.files.set(UNIT, '[Service]\nExecStart=/bin/true\n');
    await expect(uninstall(undefined, ['/srv/x'])).rejects.toMatchObject({ code: 'service/foreign-unit' });
    expect([system.files.size, system.commands, system.purged]).toEqual([1, [], []]);
  });
});

describe('launchd', () => {
  beforeEach(onMac);

  it('loads a job after it has unloaded what was there', async () => {
    fails('launchctl bootout', 3, 'Boot-out failed: 3: No such process\n');
    expect(await install({}, 'launchd')).toEqual({ written: [PLIST], unchanged: [] });
    expect(system.commands).toEqual([
      'launchctl bootout system/tech.deltaops.cvpn',
      'launchctl enable system/tech.deltaops.cvpn',
      `launchctl bootstrap system ${PLIST}`,
    ]);
  });

  it('waits, but not for ever, for a job that is still ending', async () => {
    fails('launchctl bootstrap', 5, 'Bootstrap failed: 5: Input/output error\n', 3);
    await install({}, 'launchd');
    expect(system.pausedMs).toBe(6000);
    fails('launchctl bootstrap', 5, 'Bootstrap failed: 5: Input/output error\n', 99);
    await expect(install({}, 'launchd')).rejects.toMatchObject({ code: 'service/command-failed' });
    expect(system.pausedMs).toBeLessThan(60_000);
  });

  it('takes a job back that cannot be loaded', async () => {
    fails('launchctl bootstrap', 78, 'Bootstrap failed: 78: Function not implemented\n');
    await expect(install({}, 'launchd')).rejects.toMatchObject({ code: 'service/command-failed' });
    expect(system.files.size).toBe(0);
    expect(system.commands.at(-1)).toBe('launchctl bootout system/tech.deltaops.cvpn');
  });

  it('unloads and removes', async () => {
    await install(SERVER, 'launchd');
    system.commands.length = 0;
    fails('launchctl bootout', 113, 'Boot-out failed: 113: Could not find specified service\n');
    await uninstall('acme', [], 'launchd');
    expect(system.files.size).toBe(0);
    expect(system.commands).toEqual([
      'launchctl bootout system/tech.deltaops.cvpn.team.acme',
      'launchctl bootout system/tech.deltaops.cvpn.auth.acme',
    ]);
  });
});

describe('a command of the command line', () => {
  const run = async (verb: ServiceVerb, options: Partial<ServiceCommandOptions> = {}): Promise<string> => {
    let text = '';
    const all = { ...OPTIONS, isDryRun: false, isJson: false, isPurge: false, ...options };
    await runServiceCommand(verb, all, { out: (part) => (text += part), system });
    return text;
  };

  it('tells what it wrote and how to look at it', async () => {
    expect(await run('install-systemd')).toBe(
      `Wrote ${UNIT}\nThe service runs, now and at every start of the machine; see systemctl status heddle.service\n`,
    );
    expect(await run('install-systemd')).toContain(`${UNIT} is as it should be\n`);
    expect(JSON.parse(await run('install-systemd', { isJson: true }))).toEqual({
      ok: true,
      manager: 'systemd',
      written: [],
      unchanged: [UNIT],
    });
  });

  it('prints everything and changes nothing in a dry run, for anybody, on any machine', async () => {
    system.uid = 1000;
    system.present.clear();
    const text = await run('install-systemd', { isDryRun: true, configRoot: '/srv/my teams' });
    expect(text).toContain(`==> ${UNIT} (mode 0644)\n# Written by heddle.`);
    expect(text).toMatch(
      /==> commands\nmkdir -p -m 0750 -- '\/srv\/my teams'\nsystemctl daemon-reload\nsystemctl enable --now heddle.service\n$/,
    );
    const json = JSON.parse(await run('install-launchd', { isDryRun: true, isJson: true }));
    expect(json).toMatchObject({ ok: true, dryRun: true, manager: 'launchd', files: [{ path: PLIST, mode: '0644' }] });
    expect(json.files[0].text).toContain('<plist');
    expect([system.files.size, system.commands]).toEqual([0, []]);
  });

  it('finds Nebula for a team', async () => {
    await run('install-systemd', { team: 'acme' });
    expect(system.files.get('/etc/systemd/system/heddle-team@acme.service')).toContain(
      'ExecStart=/usr/bin/nebula -config ',
    );
  });

  it('keeps configuration and state unless they are to be purged', async () => {
    await run('install-systemd');
    expect(await run('uninstall')).toBe(
      `Removed ${UNIT}\nConfiguration and state are kept; --purge removes them as well\n`,
    );
    expect(system.purged).toEqual([]);
    expect(await run('uninstall', { isPurge: true })).toMatch(/^No service of heddle is installed here\nRemoved \/etc/);
    expect(system.purged).toEqual(['/etc/catalyst-networks', '/var/lib/tech.deltaops.cvpn']);
  });

  it('purges of a team only its folder, and of a foreign folder only the database', async () => {
    await run('uninstall', { isPurge: true, team: 'acme', stateDbPath: '/srv/other/state.db' });
    expect(system.purged).toEqual(['/etc/catalyst-networks/acme']);
    await run('uninstall', { isPurge: true, stateDbPath: '/srv/other/state.db' });
    expect(system.purged.at(-1)).toBe('/srv/other/state.db');
  });

  it('purges devices and subnets before the state that knows them, and not at all when they cannot be removed', async () => {
    const program = '/usr/local/lib/heddle/bin/tun-daemon.js';
    const clean = `/usr/bin/node ${program} --remove-all --state-db-path /var/lib/tech.deltaops.cvpn/state.db`;
    for (const path of [program, '/var/lib/tech.deltaops.cvpn/state.db']) system.present.add(path);
    await run('install-systemd', { isRest: true });
    expect(system.files.get(UNIT)).toMatch(/^ExecStart=.* --rest$/m);
    expect(await run('uninstall', { isDryRun: true, isPurge: true })).toContain(clean);
    system.answers.set(clean, [{ code: 1, stdout: '', stderr: 'the kernel refused' }]);
    await expect(run('uninstall', { isPurge: true })).rejects.toMatchObject({ code: 'service/devices-left' });
    expect([system.files.has(UNIT), system.purged]).toEqual([true, []]);
    system.answers.delete(clean);
    system.commands.length = 0;
    await run('uninstall', { isPurge: true });
    expect(system.commands.slice(0, 2)).toEqual(['systemctl disable --now heddle.service', clean]);
    expect(system.purged).toEqual(['/etc/catalyst-networks', '/var/lib/tech.deltaops.cvpn']);
  });

  it('leaves the state of a REST daemon in the folder of the states', async () => {
    system.present.add('/var/lib/tech.deltaops.cvpn/subnet.db');
    await run('uninstall', { isPurge: true });
    const folder = '/var/lib/tech.deltaops.cvpn';
    expect(system.purged).toEqual(['/etc/catalyst-networks', `${folder}/state.db`, `${folder}/teams`]);
  });

  it('serves the REST API only in the daemon of all teams', async () => {
    const failure = { code: 'service/bad-option', message: expect.stringContaining('--rest') };
    await expect(run('install-systemd', { isRest: true, team: 'acme' })).rejects.toMatchObject(failure);
    await expect(run('install-systemd', { isRest: true, daemon: 'tun' })).rejects.toMatchObject(failure);
  });

  it('purges no folder of the system or of a person', async () => {
    for (const configRoot of [
      '/etc',
      '/etc/',
      '/var/lib',
      '/usr/local/etc',
      '/home/me',
      '/root',
      '/Users/me',
      '/srv',
    ]) {
      await expect(run('uninstall', { isPurge: true, configRoot })).rejects.toMatchObject({ code: 'service/bad-path' });
    }
    expect(system.purged).toEqual([]);
  });

  it('shows what a removal would do, and does not do it', async () => {
    await run('install-systemd');
    system.commands.length = 0;
    expect(await run('uninstall', { isDryRun: true, isPurge: true })).toBe(
      [
        `Would remove ${UNIT}`,
        'Would remove /etc/catalyst-networks',
        'Would remove /var/lib/tech.deltaops.cvpn',
        '==> commands',
        'systemctl disable --now heddle.service',
        'systemctl daemon-reload',
        'systemctl reset-failed heddle.service',
        '',
      ].join('\n'),
    );
    expect([system.files.size, system.commands, system.purged]).toEqual([1, [], []]);
  });

  it('removes jobs of launchd on a Mac', async () => {
    onMac();
    await run('install-launchd');
    expect(JSON.parse(await run('uninstall', { isJson: true }))).toEqual({
      ok: true,
      manager: 'launchd',
      removed: [PLIST],
      purged: [],
    });
  });
});
