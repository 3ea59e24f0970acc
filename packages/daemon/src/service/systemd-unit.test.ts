import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SERVICE_OPTIONS } from '../../test/fake-service-system.ts';
import { describeService, type ServiceOptions } from './description.ts';
import { listMissingFolders, renderSystemdUnits } from './systemd-unit.ts';
import { isOurUnit } from './unit-names.ts';

// Programs that are on every machine, for `systemd-analyze verify` looks for them.
const OPTIONS: ServiceOptions = { ...SERVICE_OPTIONS, nodePath: '/bin/sh', nebulaBinary: '/bin/sh' };

type Directives = ReadonlyMap<string, readonly string[]>;

function render(options: Partial<ServiceOptions>): ReadonlyMap<string, string> {
  const units = renderSystemdUnits(describeService({ ...OPTIONS, ...options }));
  return new Map(units.map(({ name, text }) => [name, text]));
}

function read(text: string | undefined): Directives {
  const directives = new Map<string, string[]>();
  for (const line of (text ?? '').split('\n')) {
    const [, key, value] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? [];
    if (key !== undefined) directives.set(key, [...(directives.get(key) ?? []), value as string]);
  }
  return directives;
}

const supervisor = (options: Partial<ServiceOptions> = {}) => read(render(options).get('heddle.service'));
const server = render({ team: 'acme', apiBase: 'https://x.example/api' });
const team = read(server.get('heddle-team@acme.service'));
const check = read(server.get('heddle-auth@acme.service'));
const timer = read(server.get('heddle-auth@acme.timer'));
const services = { supervisor: supervisor(), team, check };

describe('the unit of the supervisor', () => {
  it('runs heddle with the flags of the daemon', () => {
    expect([...render({}).keys()]).toEqual(['heddle.service']);
    expect(supervisor({ nebulaBinary: undefined }).get('ExecStart')).toEqual([
      '/bin/sh /usr/local/bin/heddle --ipc-mode socket --socket-path /var/run/tech.deltaops.cvpn/cmd.sock ' +
        '--config-root /etc/catalyst-networks --state-db-path /var/lib/tech.deltaops.cvpn/state.db --autostart',
    ]);
    expect(supervisor({ logFile: '/var/log/heddle/x.log' }).get('ExecStart')?.[0]).toMatch(
      / --autostart --nebula-binary \/bin\/sh --log-file \/var\/log\/heddle\/x\.log$/,
    );
  });

  it('is notified and watched, by its main process alone, so that no child can answer for it', () => {
    const unit = supervisor();
    expect(unit.get('Type')).toEqual(['notify']);
    expect(unit.get('NotifyAccess')).toEqual(['main']);
    expect(unit.get('WatchdogSec')).toEqual(['30']);
    expect(unit.get('WatchdogSignal')).toEqual(['SIGKILL']);
    expect(unit.get('KillMode')).toEqual(['mixed']);
  });

  it('lets V8 write machine code, which the unit that runs only Nebula forbids', () => {
    expect(supervisor().has('MemoryDenyWriteExecute')).toBe(false);
    expect(check.has('MemoryDenyWriteExecute')).toBe(false);
    expect(team.get('MemoryDenyWriteExecute')).toEqual(['yes']);
  });

  it('lets systemd make the folders in the standard places', () => {
    const unit = supervisor({ logFile: '/var/log/heddle/x.log', socketPath: '/run/a/b/cmd.sock' });
    expect(unit.get('RuntimeDirectory')).toEqual(['a/b']);
    expect(unit.get('StateDirectory')).toEqual(['tech.deltaops.cvpn']);
    expect(unit.get('LogsDirectory')).toEqual(['tech.deltaops.cvpn heddle']);
    expect(unit.get('ConfigurationDirectory')).toEqual(['catalyst-networks']);
    expect([unit.get('RuntimeDirectoryMode'), unit.get('StateDirectoryMode')]).toEqual([['0755'], ['0700']]);
    expect(unit.has('ReadWritePaths')).toBe(false);
    expect(listMissingFolders(describeService(OPTIONS))).toEqual([]);
  });

  it('opens other folders, which the installation makes, and may miss them', () => {
    const options = { ...OPTIONS, configRoot: '/srv/my teams/100%h$X', stateDbPath: '/var/lib/a b/state.db' };
    expect(supervisor(options).get('ReadWritePaths')).toEqual(['"-/var/lib/a b"', '"-/srv/my teams/100%%h$X"']);
    expect(listMissingFolders(describeService(options))).toEqual([
      { path: '/var/lib/a b', mode: '0700' },
      { path: '/srv/my teams/100%h$X', mode: '0750' },
    ]);
  });

  it('keeps nasty paths in one word', () => {
    expect(supervisor({ configRoot: '/srv/my teams/100%h/$HOME' }).get('ExecStart')?.[0]).toContain(
      ' --config-root "/srv/my teams/100%%h/$$HOME" --state-db-path ',
    );
  });

  it.each([
    ['configRoot', '/home/me/teams', /cannot see/],
    ['configRoot', '/etc', /belongs to the system/],
    ['configRoot', '/usr/share/teams', /belongs to the system/],
    ['stateDbPath', '/var/lib/state.db', /belongs to the system/],
    ['stateDbPath', '/state.db', /belongs to the system/],
    ['socketPath', '/tmp/x/cmd.sock', /cannot see/],
    ['socketPath', '/var/run/cmd.sock', /belongs to the system/],
    ['socketPath', '/run/a b/cmd.sock', /emptied at every start/],
    ['logFile', '/var/log/heddle.log', /belongs to the system/],
    ['nodePath', '/root/.nvm/bin/node', /install it for the whole system/],
    ['command', '/home/me/heddle', /install it for the whole system/],
    ['nebulaBinary', '/var/tmp/nebula', /install it for the whole system/],
  ] as const)('refuses a path that cannot work: %s %s', (name, path, message) => {
    const attempt = () => supervisor({ [name]: path });
    expect(attempt).toThrow(expect.objectContaining({ code: 'service/bad-path' }));
    expect(attempt).toThrow(message);
  });
});

describe('the units of a team on a server', () => {
  it('are Nebula, the check and its timer', () => {
    expect([...server.keys()]).toEqual([
      'heddle-team@acme.service',
      'heddle-auth@acme.service',
      'heddle-auth@acme.timer',
    ]);
    expect(team.get('ExecStart')).toEqual(['/bin/sh -config /etc/catalyst-networks/acme/config.yml']);
    expect(check.get('ExecStart')).toEqual([
      '/bin/sh /usr/local/bin/heddle check-auth --team acme --config-root /etc/catalyst-networks ' +
        '--api-base https://x.example/api',
    ]);
  });

  it('ask every minute, exactly, and half a minute after the machine has started', () => {
    expect(timer.get('OnBootSec')).toEqual(['30s']);
    expect(timer.get('OnUnitActiveSec')).toEqual(['60s']);
    expect(timer.get('AccuracySec')).toEqual(['1s']);
    expect(timer.get('WantedBy')).toEqual(['timers.target']);
    expect(check.get('Type')).toEqual(['oneshot']);
    expect(Number(check.get('TimeoutStartSec')?.[0])).toBeLessThan(60);
    expect(check.has('WantedBy')).toBe(false);
  });

  it('do not start a team that was revoked', () => {
    expect(team.get('ConditionPathExists')).toEqual(['!/etc/catalyst-networks/acme/auth-revoked.json']);
    const nasty = render({ team: 'acme', configRoot: '/srv/a b%h$X' }).get('heddle-team@acme.service');
    expect(read(nasty).get('ConditionPathExists')).toEqual(['!/srv/a b%%h$X/acme/auth-revoked.json']);
  });

  it('give the team no notification socket, which Nebula before 1.8 would not answer', () => {
    expect(team.get('Type')).toEqual(['exec']);
    expect(team.has('NotifyAccess')).toBe(false);
  });

  it('let a team write nowhere and the check only into the folder of the team', () => {
    expect([...team.keys()].filter((key) => /Directory|ReadWritePaths/.test(key))).toEqual([]);
    expect(check.get('ReadWritePaths')).toEqual(['-/etc/catalyst-networks/acme']);
    expect(check.get('CapabilityBoundingSet')).toEqual(['']);
  });

  it('never give up on a team', () => {
    expect(team.get('StartLimitIntervalSec')).toEqual(['0']);
  });
});

describe('every service', () => {
  it.each(Object.entries(services))('answers EPERM to refused calls, or Go dies of a signal: %s', (_, unit) => {
    expect(unit.get('SystemCallFilter')).toEqual(['@system-service', '~@privileged @resources @obsolete']);
    expect(unit.get('SystemCallErrorNumber')).toEqual(['EPERM']);
  });

  it.each([
    ['supervisor', services.supervisor],
    ['team', team],
  ])('that makes tunnels gets the TUN device back from ProtectClock: %s', (_, unit) => {
    expect(unit.get('ProtectClock')).toEqual(['yes']);
    expect(unit.get('DeviceAllow')).toEqual(['/dev/net/tun rw']);
    expect(unit.has('PrivateDevices')).toBe(false);
    expect(unit.get('CapabilityBoundingSet')).toEqual(['CAP_NET_ADMIN']);
  });

  it.each([
    ['supervisor', services.supervisor],
    ['team', team],
  ])('is reloaded by SIGHUP, and comes back when that comes too soon: %s', (_, unit) => {
    expect(unit.get('ExecReload')).toEqual(['/bin/kill -HUP $MAINPID']);
    expect(unit.get('RestartForceExitStatus')).toEqual(['SIGHUP']);
  });

  it('sends no SIGUSR1, which opens the inspector, and no flag that Node.js 20 refuses', () => {
    for (const text of [...render({}).values(), ...server.values()]) {
      expect(text).not.toMatch(/USR1|sigusr1|--inspect|NODE_OPTIONS/);
    }
  });

  it('carries our mark', () => {
    for (const text of [...render({}).values(), ...server.values()]) expect(isOurUnit(text)).toBe(true);
    expect(isOurUnit('[Unit]\nDescription=Written by somebody\n')).toBe(false);
  });
});

const hasAnalyzer = spawnSync('systemd-analyze', ['--version']).status === 0;
const NEEDS_ANALYZER = hasAnalyzer ? '' : ' (skipped: systemd-analyze is not installed)';

describe('systemd itself', () => {
  let folder = '';
  const units = new Map([...render({ configRoot: '/srv/my teams/100%h$X' }), ...server]);
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-units-'));
    for (const [name, text] of units) writeFileSync(join(folder, name), text);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const analyze = (...args: string[]) => spawnSync('systemd-analyze', args, { encoding: 'utf8', timeout: 60_000 });

  it.skipIf(!hasAnalyzer)(`has nothing to say about the units${NEEDS_ANALYZER}`, () => {
    const { stdout, stderr } = analyze('verify', '--man=no', ...[...units.keys()].map((name) => join(folder, name)));
    expect(`${stdout}${stderr}`.split('\n').filter((line) => line.includes('heddle'))).toEqual([]);
  });

  it.skipIf(!hasAnalyzer)(`would say something about a wrong one${NEEDS_ANALYZER}`, () => {
    const wrong = join(folder, 'heddle-wrong.service');
    writeFileSync(wrong, `${units.get('heddle.service')}\n[Service]\nProtectClok=yes\n`);
    const { stdout, stderr } = analyze('verify', '--man=no', wrong);
    expect(`${stdout}${stderr}`).toContain('ProtectClok');
  });

  it.skipIf(!hasAnalyzer).each([...units.keys()].filter((name) => name.endsWith('.service')))(
    `measures an exposure of at most 2.5: %s${NEEDS_ANALYZER}`,
    (name) => {
      const { stdout, stderr } = analyze('security', '--offline=true', '--threshold=25', join(folder, name));
      // Versions before 250 measure running units only.
      if (/unrecognized option/.test(stderr)) return;
      const [, exposure] = /Overall exposure level for \S+: ([0-9.]+)/.exec(stdout) ?? [];
      expect(Number(exposure)).toBeLessThanOrEqual(2.5);
    },
  );
});
