import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SERVICE_OPTIONS } from '../../test/fake-service-system.ts';
import { describeService, type ServiceOptions } from './description.ts';
import { listMissingFolders, renderSystemdUnits } from './systemd-unit.ts';
import { isOurUnit } from './unit-names.ts';

type Directives = ReadonlyMap<string, readonly string[]>;

// A program that is on every machine, for `systemd-analyze verify` looks for it.
const describeWith = (options: Partial<ServiceOptions>) =>
  describeService({ ...SERVICE_OPTIONS, daemon: 'tun', nodePath: '/bin/sh', ...options });

function render(options: Partial<ServiceOptions> = {}): { readonly name: string; readonly text: string } {
  const [unit, ...others] = renderSystemdUnits(describeWith(options));
  expect(others).toEqual([]);
  return unit as { name: string; text: string };
}

function read(options: Partial<ServiceOptions> = {}): Directives {
  const directives = new Map<string, string[]>();
  for (const line of render(options).text.split('\n')) {
    const [, key, value] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? [];
    if (key !== undefined) directives.set(key, [...(directives.get(key) ?? []), value as string]);
  }
  return directives;
}

const DAEMONS = ['tun', 'subnet'] as const;

describe('the unit of a REST daemon', () => {
  it('has the name, the port and the files that existing installations know', () => {
    expect(DAEMONS.map((daemon) => render({ daemon }).name)).toEqual(['tun_daemon.service', 'subnet_daemon.service']);
    expect(read({ daemon: 'tun' }).get('ExecStart')).toEqual([
      '/bin/sh /usr/local/lib/heddle/bin/tun-daemon.js --port 3030 --state-db-path /var/lib/tech.deltaops.cvpn/tun.db ' +
        '--log-file /var/log/tun_daemon.log --err-file /var/log/tun_daemon.err',
    ]);
    expect(read({ daemon: 'subnet' }).get('ExecStart')).toEqual([
      '/bin/sh /usr/local/lib/heddle/bin/subnet-daemon.js --port 3031 --state-db-path /var/lib/tech.deltaops.cvpn/subnet.db ' +
        '--log-file /var/log/subnet_daemon.log --err-file /var/log/subnet_daemon.err',
    ]);
  });

  it.each(DAEMONS)('is notified, watched, reloaded by SIGHUP and started again after a failure: %s', (daemon) => {
    const unit = read({ daemon });
    const one = (key: string) => unit.get(key)?.[0];
    expect([one('Type'), one('NotifyAccess'), one('WatchdogSec')]).toEqual(['notify', 'main', '30']);
    expect([one('Restart'), one('RestartForceExitStatus')]).toEqual(['on-failure', 'SIGHUP']);
    expect(unit.get('ExecReload')).toEqual(['/bin/kill -HUP $MAINPID']);
    expect(isOurUnit(render({ daemon }).text)).toBe(true);
  });

  it('starts after what removes strange links, and before the teams', () => {
    expect(read().get('After')).toEqual(['network.target', 'modprobe@tun.service']);
    expect(read({ daemon: 'subnet' }).get('Wants')).toEqual(['modprobe@dummy.service modprobe@tun.service']);
    expect(read().get('Before')).toEqual(['heddle.service']);
  });

  it.each(DAEMONS)('may change the network and nothing else, and gets the TUN device back: %s', (daemon) => {
    const unit = read({ daemon });
    expect(unit.get('CapabilityBoundingSet')).toEqual(['CAP_NET_ADMIN']);
    expect(unit.get('DevicePolicy')).toEqual(['closed']);
    expect(unit.get('DeviceAllow')).toEqual(['/dev/net/tun rw']);
    expect(unit.get('RestrictAddressFamilies')).toEqual(['AF_UNIX AF_INET AF_INET6 AF_NETLINK']);
    expect(unit.get('IPAddressDeny')).toEqual(['any']);
    expect(unit.get('IPAddressAllow')).toEqual(['localhost']);
    expect(unit.get('SystemCallErrorNumber')).toEqual(['EPERM']);
    for (const key of ['MemoryDenyWriteExecute', 'PrivateDevices', 'PrivateNetwork']) expect(unit.has(key)).toBe(false);
    for (const key of ['NoNewPrivileges', 'ProtectHome', 'PrivateTmp', 'RestrictNamespaces', 'ProtectClock']) {
      expect(unit.get(key)).toEqual(['yes']);
    }
    expect(unit.get('ProtectSystem')).toEqual(['strict']);
  });

  it('may rename its files in /var/log, without seeing the journal', () => {
    const unit = read();
    expect([unit.get('StateDirectory'), unit.get('StateDirectoryMode')]).toEqual([['tech.deltaops.cvpn'], ['0700']]);
    expect(unit.get('ReadWritePaths')).toEqual(['/var/log']);
    expect(unit.get('InaccessiblePaths')).toEqual(['-/var/log/journal -/var/log/audit -/var/log/private']);
    expect(unit.has('LogsDirectory')).toBe(false);
    expect(listMissingFolders(describeWith({}))).toEqual([]);
  });

  it('needs no more than its own folder when the files are in one', () => {
    const unit = read({ logFile: '/var/log/heddle/tun.log', errFile: '/var/log/heddle/tun.err' });
    expect(unit.get('LogsDirectory')).toEqual(['heddle']);
    expect(unit.has('ReadWritePaths')).toBe(false);
    const far = { logFile: '/srv/logs/tun.log', errFile: '/srv/logs/tun.err', stateDbPath: '/srv/state/tun.db' };
    expect(read(far).get('ReadWritePaths')).toEqual(['-/srv/state', '-/srv/logs']);
    expect(listMissingFolders(describeWith(far))).toEqual([
      { path: '/srv/state', mode: '0700' },
      { path: '/srv/logs', mode: '0750' },
    ]);
  });

  it('may give a new log the group of the old one where there is such a group', () => {
    expect(read().has('SupplementaryGroups')).toBe(false);
    expect(read().get('SystemCallFilter')?.at(-1)).toBe('~@privileged @resources @obsolete');
    const unit = read({ logGroup: 'adm' });
    expect(unit.get('SupplementaryGroups')).toEqual(['adm']);
    expect(unit.get('SystemCallFilter')?.at(-1)).toBe('fchown');
  });

  it.each([
    ['logFile', '/etc/tun.log'],
    ['errFile', '/tmp/tun.err'],
    ['stateDbPath', '/var/lib/tun.db'],
    ['packageFolder', '/home/me/heddle'],
    ['nodePath', '/root/.nvm/bin/node'],
  ] as const)('refuses a path that cannot work: %s %s', (name, path) => {
    expect(() => render({ [name]: path })).toThrow(expect.objectContaining({ code: 'service/bad-path' }));
  });
});

const hasAnalyzer = spawnSync('systemd-analyze', ['--version']).status === 0;
const NEEDS_ANALYZER = hasAnalyzer ? '' : ' (skipped: systemd-analyze is not installed)';
const VARIANTS = [
  { daemon: 'tun' },
  { daemon: 'subnet', logGroup: 'adm' },
  { daemon: 'tun', logGroup: 'adm', stateDbPath: '/srv/my state/100%h$X/tun.db', logFile: '/var/log/a b/tun.log' },
] as const;

describe('systemd itself', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-units-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const analyze = (...args: string[]) => spawnSync('systemd-analyze', args, { encoding: 'utf8', timeout: 60_000 });

  it.skipIf(!hasAnalyzer).each(VARIANTS)(`has nothing to say about the unit: %o${NEEDS_ANALYZER}`, (options) => {
    const { name, text } = render(options);
    writeFileSync(join(folder, name), text);
    const { stdout, stderr } = analyze('verify', '--man=no', join(folder, name));
    expect(`${stdout}${stderr}`.split('\n').filter((line) => line.includes(name))).toEqual([]);
    writeFileSync(join(folder, name), text.replace('ProtectClock', 'ProtectClok'));
    const wrong = analyze('verify', '--man=no', join(folder, name));
    expect(`${wrong.stdout}${wrong.stderr}`).toContain('ProtectClok');
  });

  it.skipIf(!hasAnalyzer).each(VARIANTS)(`measures an exposure of at most 2.5: %o${NEEDS_ANALYZER}`, (options) => {
    const { name, text } = render(options);
    writeFileSync(join(folder, name), text);
    const { stdout, stderr } = analyze('security', '--offline=true', '--threshold=25', join(folder, name));
    // Versions before 250 measure running units only.
    if (/unrecognized option/.test(stderr)) return;
    const [, exposure] = /Overall exposure level for \S+: ([0-9.]+)/.exec(stdout) ?? [];
    expect(Number(exposure)).toBeLessThanOrEqual(2.5);
  });
});
