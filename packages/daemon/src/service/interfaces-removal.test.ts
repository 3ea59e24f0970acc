import { beforeEach, describe, expect, it } from 'vitest';
import { FakeServiceSystem, SERVICE_OPTIONS } from '../../test/fake-service-system.ts';
import { runServiceCommand, type ServiceCommandOptions, type ServiceVerb } from './service-commands.ts';
import { UNIT_MARKER } from './unit-names.ts';

const UNIT = '/etc/systemd/system/tun_daemon.service';
const PROGRAM = '/usr/local/bin/tun-daemon';
const SCRIPT = '/usr/local/lib/heddle/bin/tun-daemon.js';
const DB = '/var/lib/tech.deltaops.cvpn/tun.db';
const FOLDER = '/var/lib/tech.deltaops.cvpn';
const LOGS = ['/var/log/tun_daemon.log', '/var/log/tun_daemon.log.5', '/var/log/tun_daemon.err'];
const REMOVE_ALL = `/usr/bin/node ${SCRIPT} --remove-all --state-db-path ${DB}`;

let system = new FakeServiceSystem();
beforeEach(() => {
  system = new FakeServiceSystem();
  system.present.add(SCRIPT);
});

async function run(verb: ServiceVerb, options: Partial<ServiceCommandOptions> = {}): Promise<string> {
  let text = '';
  const all = { ...SERVICE_OPTIONS, daemon: 'tun', isDryRun: false, isJson: false, isPurge: false, ...options };
  await runServiceCommand(verb, all, { out: (part) => (text += part), system });
  return text;
}

/** As after `make install_tun` and some use. */
async function install(verb: ServiceVerb = 'install-systemd'): Promise<void> {
  await run(verb);
  system.files.set(PROGRAM, `#!/bin/sh\n# ${UNIT_MARKER}\nexec /usr/bin/node ${SCRIPT} "$@"\n`);
  for (const path of [...LOGS, FOLDER, DB, `${DB}.lock.2`, `${FOLDER}/addresses.lock`]) system.present.add(path);
  system.commands.length = 0;
}

function fails(command: string, code: number, stderr: string): void {
  system.answers.set(command, [{ code, stdout: '', stderr }]);
}

describe('an installation of a REST daemon', () => {
  it('writes its unit and starts it', async () => {
    expect(await run('install-systemd')).toContain(`Wrote ${UNIT}\n`);
    expect(system.commands.slice(1)).toEqual(['systemctl daemon-reload', 'systemctl enable --now tun_daemon.service']);
  });

  it('lets the group of those who read logs keep the files, where there is one', async () => {
    await run('install-systemd');
    expect(system.files.get(UNIT)).toContain('\nSupplementaryGroups=adm\n');
    fails('getent', 2, '');
    await run('install-systemd');
    expect(system.files.get(UNIT)).not.toContain('SupplementaryGroups');
  });

  it('tells a machine without a service manager how to start the daemon', async () => {
    system.present.delete('/run/systemd/system');
    const command = [
      ...['/usr/bin/node', SCRIPT, '--port', '3030', '--state-db-path', DB],
      ...['--log-file', '/var/log/tun_daemon.log', '--err-file', '/var/log/tun_daemon.err'],
    ];
    expect(await run('install-systemd', { isDryRun: true })).toMatch(
      new RegExp(`\\n==> without a service manager\\n${command.join(' ')}\\n$`),
    );
    expect(JSON.parse(await run('install-systemd', { isDryRun: true, isJson: true })).start).toEqual(command);
    await expect(run('install-systemd')).rejects.toMatchObject({ code: 'service/no-systemd' });
  });

  it('has the daemon read the configuration that is given', async () => {
    await run('install-systemd', { configRoot: '/srv/my teams' });
    expect(system.files.get(UNIT)).toContain(' --config-root "/srv/my teams"\n');
    await expect(run('install-systemd', { configRoot: '/home/me' })).rejects.toMatchObject({
      code: 'service/bad-path',
    });
  });

  it('does not overwrite the unit of another program of that name', async () => {
    system.files.set(UNIT, '[Service]\nExecStart=/usr/local/bin/tun-daemon\n');
    await expect(run('install-systemd')).rejects.toMatchObject({ code: 'service/foreign-unit' });
  });
});

describe('a removal of a REST daemon', () => {
  it('stops it, has it remove its devices, and then removes every file', async () => {
    await install();
    expect(await run('uninstall')).toBe(
      [
        'No device of the tun daemon is left',
        ...[UNIT, PROGRAM, ...LOGS, DB, `${DB}.lock.2`, FOLDER].map((path) => `Removed ${path}`),
        '',
      ].join('\n'),
    );
    expect(system.commands).toEqual([
      'systemctl disable --now tun_daemon.service',
      REMOVE_ALL,
      'systemctl daemon-reload',
      'systemctl reset-failed tun_daemon.service',
    ]);
    expect(system.files.size).toBe(0);
  });

  it('keeps every file while there are devices that it could not remove', async () => {
    await install();
    fails('/usr/bin/node', 1, 'tun-daemon: Cannot remove "tun0" (EBUSY) [interface/kernel-refused]\n  next: …\n');
    await expect(run('uninstall')).rejects.toMatchObject({
      code: 'service/devices-left',
      message: `Command "${REMOVE_ALL}" ended with 1: tun-daemon: Cannot remove "tun0" (EBUSY) [interface/kernel-refused]`,
    });
    expect([system.files.has(UNIT), system.purged]).toEqual([true, []]);
    expect(await run('uninstall')).toContain(`Removed ${UNIT}\n`);
  });

  it('of what is not there removes the devices all the same, and may be repeated', async () => {
    expect(await run('uninstall')).toBe('No device of the tun daemon is left\n');
    expect(system.commands).toEqual([REMOVE_ALL]);
  });

  it('says that devices may be left when the program is gone', async () => {
    await install();
    system.present.delete(SCRIPT);
    expect(await run('uninstall')).toMatch(
      /\nProgram ".*tun-daemon.js" is not there: devices that it made may be left\n$/,
    );
    expect(system.commands).not.toContain(REMOVE_ALL);
    expect(system.files.size).toBe(0);
  });

  it('leaves the state of the other daemons, and the lock that they share', async () => {
    await install();
    const others = ['state.db', 'subnet.db', 'subnet.db.lock.3', 'tun.db-of-mine'].map((name) => `${FOLDER}/${name}`);
    for (const path of others) system.present.add(path);
    await run('uninstall');
    const left = [...system.present].filter((path) => path.startsWith(FOLDER));
    expect(left.sort()).toEqual([FOLDER, `${FOLDER}/addresses.lock`, ...others].sort());
  });

  it('leaves a folder that is not heddle’s alone, but nothing in it', async () => {
    for (const name of ['', '/tun.db', '/addresses.lock']) system.present.add(`/srv/state${name}`);
    expect(await run('uninstall', { stateDbPath: '/srv/state/tun.db' })).toContain(
      'Removed /srv/state/addresses.lock\n',
    );
    expect([...system.present].filter((path) => path.startsWith('/srv'))).toEqual(['/srv/state']);
  });

  it('removes what the removal of the devices made', async () => {
    await install();
    system.present.delete(DB);
    const [run_, lock] = [system.run, `${DB}.lock.7`];
    Object.assign(system, {
      run: (command: string, args: readonly string[]) => {
        if (command === '/usr/bin/node') system.present.add(lock);
        return run_(command, args);
      },
    });
    expect(await run('uninstall')).toContain(`Removed ${lock}\n`);
  });

  it('leaves the program of somebody else, npm’s for example', async () => {
    await install();
    system.files.set(PROGRAM, '');
    expect(await run('uninstall')).not.toContain(PROGRAM);
    expect(system.purged).not.toContain(PROGRAM);
  });

  it('removes devices and files where no service manager runs', async () => {
    await install();
    system.present.delete('/run/systemd/system');
    expect(await run('uninstall')).toContain(`Removed ${DB}\n`);
    expect(system.commands).toEqual([REMOVE_ALL]);
  });

  it('shows everything in a dry run, and does none of it', async () => {
    await install();
    system.uid = 1000;
    const before = system.files.size;
    expect(await run('uninstall', { isDryRun: true })).toBe(
      [
        ...[UNIT, PROGRAM, ...LOGS, DB, `${DB}.lock.2`].map((path) => `Would remove ${path}`),
        '==> commands',
        'systemctl disable --now tun_daemon.service',
        REMOVE_ALL,
        'systemctl daemon-reload',
        'systemctl reset-failed tun_daemon.service',
        '',
      ].join('\n'),
    );
    expect([system.files.size, system.commands, system.purged]).toEqual([before, [], []]);
    await expect(run('uninstall')).rejects.toMatchObject({ code: 'service/not-root' });
  });

  it('removes no folder of the system', async () => {
    for (const stateDbPath of ['/etc/passwd', '/usr/bin', '/var/lib/dpkg', '/home/me/x.db']) {
      await expect(run('uninstall', { stateDbPath })).rejects.toMatchObject({ code: 'service/bad-path' });
    }
    expect([system.commands, system.purged]).toEqual([[], []]);
  });

  it('unloads a job of launchd, and removes what it printed', async () => {
    system.platform = 'darwin';
    await install('install-launchd');
    system.present.add('/var/log/com.tun.daemon.launchd.log');
    expect(await run('uninstall')).toContain('Removed /var/log/com.tun.daemon.launchd.log\n');
    expect(system.commands.slice(0, 2)).toEqual(['launchctl bootout system/com.tun.daemon', REMOVE_ALL]);
    expect(system.files.has('/Library/LaunchDaemons/com.tun.daemon.plist')).toBe(false);
  });
});

describe('the options of a REST daemon', () => {
  it.each([
    [{ daemon: 'team' }],
    [{ daemon: '../x' }],
    [{ mode: 'server' }],
    [{ team: 'acme' }],
    [{ nebulaBinary: '/usr/bin/nebula' }],
    [{ apiBase: 'https://x.example' }],
    [{ port: '0' }],
    [{ port: '65536' }],
    [{ port: '3030 ' }],
    [{ daemon: undefined, port: '3030' }],
    [{ daemon: undefined, errFile: '/var/log/x.err' }],
  ])('are refused when they do not fit: %o', async (options) => {
    await expect(run('install-systemd', { ...options, isDryRun: true })).rejects.toMatchObject({
      code: 'service/bad-option',
    });
  });
});
