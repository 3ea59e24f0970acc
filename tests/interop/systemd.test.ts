import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BootedSystemd } from '../support/booted-systemd.ts';
import { run, until } from '../support/processes.ts';
import { makeStubTeams } from '../support/stub-nebula.ts';

const GUIDE = readFileSync(new URL('../../docs/guide/interfaces.md', import.meta.url), 'utf8');
const DAEMONS = ['tun', 'subnet'] as const;
/** The tree is built, and the machine cannot write to it: `true` instead of the user who would build. */
const MAKE = 'make --no-print-directory AS_USER=true';
const POST = `curl --fail-with-body -sS -H 'content-type: application/json' -X POST`;
/** What an installation on this machine itself may have left; not there when the machine boots. */
const OF_HEDDLE = [
  '/etc/catalyst-networks',
  '/usr/local/bin/{heddle,tun-daemon,subnet-daemon,nebula}',
  '/usr/local/lib/heddle',
  '/var/{lib,log}/tech.deltaops.cvpn',
  '/var/log/{tun,subnet}_daemon.*',
];
const RESTART_TIMEOUT_MS = 10_000;
/** Of `systemd-analyze security`: from 0, shut in, to 10. */
const EXPOSURE_MAX = 2.5;

let machine: BootedSystemd;
let whyNot = 'it was not tried';
let before: readonly string[];

beforeAll(async () => {
  try {
    machine = await BootedSystemd.boot();
  } catch (error) {
    whyNot = `systemd cannot be booted here: ${(error as Error).message}`;
    process.stderr.write(`${whyNot}\n`);
    return;
  }
  await machine.must(`bash -c 'rm -rf ${OF_HEDDLE.join(' ')}'`);
  before = machine.changes();
});

beforeEach(({ skip }) => skip(machine === undefined, whyNot));

afterAll(() => machine?.stop());

describe('the REST daemons as services of systemd', () => {
  it('run after make install_tun and make install', async () => {
    await machine.must(`${MAKE} install_tun`);
    await machine.must(`${MAKE} install`);
    for (const daemon of DAEMONS) {
      expect(await machine.must(`systemctl is-active ${daemon}_daemon`)).toBe('active');
      expect(await machine.must(`systemctl is-enabled ${daemon}_daemon`)).toBe('enabled');
    }
    // Again over itself: the files are the same, the daemons new ones.
    await machine.must(`${MAKE} install_tun`);
    for (const daemon of DAEMONS) expect(await machine.must(`systemctl is-active ${daemon}_daemon`)).toBe('active');
  });

  it('answer the session of the guide as it is written', async () => {
    const session = [...GUIDE.matchAll(/```bash\n(curl [^\n]+)\n```(?:\n```json\n([\s\S]*?)```)?/g)];
    expect(session.length).toBeGreaterThan(7);
    for (const [, line = '', answer] of session) {
      const said = await machine.must(line.replace('curl ', 'curl --fail-with-body -sS '));
      if (answer === undefined) expect(said).toBe('');
      else expect(JSON.parse(said), line).toMatchObject(JSON.parse(answer) as object);
    }
    for (const { network } of await rest<{ network: string }[]>('3031/subnet'))
      await machine.must(`heddle subnet delete ${network}`);
    expect(await links()).toEqual([]);
  });

  it.each(DAEMONS)('have one capability and no way to another: %s', async (daemon) => {
    expect(await readStatus(`${daemon}_daemon`)).toEqual(SHUT_IN);
    expect(await readExposure(`${daemon}_daemon`)).toBeLessThanOrEqual(EXPOSURE_MAX);
  });

  it('come back after a kill, with the devices as they were, and warn of what they could not make', async () => {
    await post('3030/tun', { name: 'lab0' });
    await post('3030/tun', { name: 'held0', persistent: false });
    await post('3031/subnet', { cidr: '10.1.0.0/24' });
    const made = await links();
    expect(made.map((link) => link['ifname'])).toEqual(['dummy0', 'held0', 'lab0']);
    for (const daemon of DAEMONS) await kill(`${daemon}_daemon`);
    expect(await links()).toEqual(made);
    // Somebody takes the name meanwhile.
    await machine.must('systemctl stop tun_daemon && ip link del lab0 && ip link add lab0 type bridge');
    await start('tun_daemon');
    expect(await rest('3030/tun/lab0')).toMatchObject({ state: 'missing' });
    await machine.must('ip link del lab0');
    await restart('tun_daemon');
    expect(await links()).toEqual(made);
  });

  it('log what matters apart from the rest', () => {
    const levels = (suffix: string) => new Set(logged(`/var/log/tun_daemon.${suffix}`).map(({ level }) => level));
    expect(levels('log')).toEqual(new Set(['info']));
    expect(levels('err')).toEqual(new Set(['warn']));
    expect(logged('/var/log/tun_daemon.err')).toMatchObject([{ message: expect.stringContaining('lab0') }]);
    expect(new Set(logged('/var/log/subnet_daemon.log').map(({ level }) => level))).toEqual(new Set(['info']));
    expect(machine.read('/var/log/subnet_daemon.err')).toBe('');
  });

  it.each(DAEMONS)('open renamed logs again at systemctl reload: %s', async (daemon) => {
    const pid = await machine.property(`${daemon}_daemon`, 'MainPID');
    for (const suffix of ['log', 'err']) {
      const path = `/var/log/${daemon}_daemon.${suffix}`;
      const { mode, uid, gid } = statSync(machine.pathOf(path));
      await machine.must(`mv ${path} ${path}.old && systemctl reload ${daemon}_daemon`);
      await until(`${path} is there again`, RESTART_TIMEOUT_MS, () => existsSync(machine.pathOf(path)));
      expect(statSync(machine.pathOf(path))).toMatchObject({ mode, uid, gid });
    }
    const old = machine.read(`/var/log/${daemon}_daemon.log.old`);
    if (daemon === 'tun') await post('3030/tun', { name: 'late0' });
    else await post('3031/subnet', { cidr: '10.1.1.0/24' });
    expect(machine.read(`/var/log/${daemon}_daemon.log`)).toContain(daemon === 'tun' ? 'late0' : '10.1.1.0/24');
    expect(machine.read(`/var/log/${daemon}_daemon.log.old`)).toBe(old);
    expect(await machine.property(`${daemon}_daemon`, 'MainPID')).toBe(pid);
    await machine.must(`rm /var/log/${daemon}_daemon.*.old`);
  });

  it.each(DAEMONS)('are killed and started again when they hang: %s', async (daemon) => {
    await hang(`${daemon}_daemon`);
  });

  it('leave nothing after make uninstall_tun and make uninstall', async () => {
    expect((await links()).length).toBeGreaterThan(4);
    expect(machine.changes()).not.toEqual(before);
    await machine.must(`${MAKE} uninstall_tun`);
    expect(await machine.must('systemctl is-active subnet_daemon')).toBe('active');
    await machine.must(`${MAKE} uninstall`);
    expect(machine.changes()).toEqual(before);
    expect(await links()).toEqual([]);
    expect(await machine.must(`systemctl list-units --all --plain --no-legend '*_daemon*'`)).toBe('');
  });
});

describe('the teams daemon as a service of systemd', () => {
  it('takes the place of a REST daemon, whose removal keeps the program for it', async () => {
    await machine.must(`${MAKE} install_tun`);
    await machine.must('heddle install-systemd');
    const said = await machine.must(`${MAKE} uninstall_tun`);
    expect(said).toContain('Kept /usr/local/lib/heddle, which is in use by /etc/systemd/system/heddle.service');
    await machine.must('heddle install-systemd --rest');
    expect(await machine.must('systemctl is-active heddle')).toBe('active');
    expect(await machine.must('systemctl is-enabled heddle')).toBe('enabled');
    expect(await post('3030/tun', {})).toMatchObject({ name: 'tun0' });
    expect(await post('3031/subnet', {})).toMatchObject({ interface: 'dummy0' });
  });

  it('has one capability and no way to another', async () => {
    expect(await readStatus('heddle')).toEqual(SHUT_IN);
    expect(await readExposure('heddle')).toBeLessThanOrEqual(EXPOSURE_MAX);
  });

  it('runs teams, also after a reload and after a kill', async () => {
    makeTeam('office');
    await machine.must('heddle provision && heddle up office');
    const isUp = async () => /^office +nebula +up /m.test(await machine.must('heddle list'));
    await until('the team runs', RESTART_TIMEOUT_MS, isUp);
    const pid = await machine.property('heddle', 'MainPID');
    await machine.must('systemctl reload heddle');
    await until('it has read everything again', RESTART_TIMEOUT_MS, async () =>
      (await machine.must('journalctl -o cat -u heddle')).includes('"Reloaded"'),
    );
    expect(await machine.property('heddle', 'MainPID')).toBe(pid);
    await until('the team runs still, or again', RESTART_TIMEOUT_MS, isUp);
    await kill('heddle');
    await until('the team runs again', RESTART_TIMEOUT_MS, isUp);
    // Of the one before nothing goes on.
    expect(await machine.must(`pgrep -cf '^/bin/sh /usr/local/bin/nebula'`)).toBe('1');
  });

  it('is killed and started again when it hangs', async () => {
    await hang('heddle');
  });

  it('leaves nothing after heddle uninstall --purge and make uninstall', async () => {
    expect((await links()).length).toBe(2);
    await machine.must('heddle uninstall --purge');
    expect(await links()).toEqual([]);
    await machine.must(`${MAKE} uninstall`);
    // Logs are neither configuration nor state. The folder is systemd's, and empty.
    await machine.must('rmdir /var/log/tech.deltaops.cvpn');
    await machine.must('rm -r /usr/local/lib/stub /usr/local/bin/nebula');
    expect(machine.changes()).toEqual(before);
    expect(await machine.must(`systemctl list-units --all --plain --no-legend 'heddle*'`)).toBe('');
    expect((await machine.run(`pgrep -f '^/bin/sh /usr/local/bin/nebula'`)).stdout).toBe('');
  });
});

describe('a team of a server as services of systemd', () => {
  const [team, check] = ['heddle-team@office', 'heddle-auth@office'];

  it('runs by itself, with one capability', async () => {
    await machine.must(`${MAKE} install`);
    makeTeam('office');
    await machine.must('heddle install-systemd --mode server --team office');
    for (const unit of [team, `${check}.timer`]) {
      expect(await machine.must(`systemctl is-active ${unit}`)).toBe('active');
      expect(await machine.must(`systemctl is-enabled ${unit}`)).toBe('enabled');
    }
    expect(await readStatus(team)).toEqual(SHUT_IN);
    for (const unit of [team, check]) expect(await readExposure(unit)).toBeLessThanOrEqual(EXPOSURE_MAX);
    await kill(team);
  });

  it('ends when its server says that it is not allowed any more, and does not start again', async () => {
    await machine.must(`systemd-run --unit refusal node -e '${REFUSAL}'`);
    const folder = machine.pathOf('/etc/catalyst-networks/office');
    writeFileSync(join(folder, 'credentials.json'), JSON.stringify(CREDENTIALS), { mode: 0o600 });
    await until('it listens', RESTART_TIMEOUT_MS, async () => (await machine.run('curl -s localhost:8080')).code === 0);
    await machine.run(`systemctl start ${check}`);
    expect(await machine.must(`journalctl -o cat -u ${check}`)).toMatch(/^office: revoked.*, stopped;/m);
    expect(await machine.property(team, 'ActiveState')).toBe('inactive');
    expect(JSON.parse(readFileSync(join(folder, 'auth-revoked.json'), 'utf8'))).toMatchObject({ node_id: 1 });
    await machine.must(`systemctl start ${team}`);
    expect(await machine.property(team, 'ActiveState')).toBe('inactive');
    expect(await machine.property(team, 'ConditionResult')).toBe('no');
  });

  it('leaves nothing after heddle uninstall --purge and make uninstall', async () => {
    await machine.must('systemctl stop refusal');
    await machine.must('heddle uninstall --mode server --team office --purge');
    await machine.must(`${MAKE} uninstall`);
    await machine.must('rmdir /etc/catalyst-networks && rm -r /usr/local/lib/stub /usr/local/bin/nebula');
    expect(machine.changes()).toEqual(before);
    expect(await machine.must(`systemctl list-units --all --plain --no-legend 'heddle*'`)).toBe('');
  });
});

describe('the machine of this test', () => {
  it('goes without a trace', async () => {
    expect(await machine.must('systemctl list-units --failed --plain --no-legend')).toBe('');
    const { pid, groupName } = machine;
    await machine.stop();
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect((await run('find', ['/sys/fs/cgroup', '-name', groupName])).stdout).toBe('');
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(' - overlay heddle ');
  });
});

const CREDENTIALS = {
  ...{ api_base: 'http://localhost:8080', org_slug: 'office', node_id: 1, node_name: 'here', mode: 'server' },
  ...{ token_storage: 'file', api_token: 'x'.repeat(40) },
};

const REFUSAL = `require("http").createServer((_, answer) => answer.writeHead(401, { "content-type":
  "application/json" }).end(JSON.stringify({ error: "Unauthorized", detail: "no", status_code: 401 }))).listen(8080)`;

/** CAP_NET_ADMIN is bit 12; 2 is a filter of system calls. */
const SHUT_IN = {
  CapEff: '0000000000001000',
  CapPrm: '0000000000001000',
  CapBnd: '0000000000001000',
  CapInh: '0000000000000000',
  CapAmb: '0000000000000000',
  NoNewPrivs: '1',
  Seccomp: '2',
};

async function readStatus(unit: string): Promise<Record<string, string>> {
  const status = machine.read(`/proc/${await machine.property(unit, 'MainPID')}/status`);
  return Object.fromEntries(Object.keys(SHUT_IN).map((name) => [name, fieldOf(status, name)]));
}

function fieldOf(status: string, name: string): string {
  return new RegExp(`^${name}:\\s*(\\S+)$`, 'm').exec(status)?.[1] ?? '';
}

async function readExposure(unit: string): Promise<number> {
  const table = await machine.must(`systemd-analyze security --no-pager ${unit}.service`);
  return Number(/Overall exposure level for \S+: ([\d.]+)/.exec(table)?.[1]);
}

/** SIGKILL; resolves when systemd has started it again. */
async function kill(unit: string): Promise<void> {
  await expectRestart(unit, () =>
    machine.must(`systemctl reset-failed ${unit}; systemctl kill -s KILL --kill-whom=main ${unit}`),
  );
}

/** Stops the process without ending it, under a watchdog that looks every second. */
async function hang(unit: string): Promise<void> {
  expect(await machine.property(unit, 'NotifyAccess')).toBe('main');
  expect(await machine.property(unit, 'WatchdogUSec')).toBe('30s');
  const folder = `/run/systemd/system/${unit}.service.d`;
  await machine.must(
    `mkdir -p ${folder} && printf '[Service]\\nWatchdogSec=1s\\nRestartSec=0\\n' >${folder}/test.conf`,
  );
  await machine.must('systemctl daemon-reload');
  await restart(unit);
  const lastWord = () => machine.property(unit, 'WatchdogTimestampMonotonic');
  const first = await lastWord();
  await until('it says that it lives', RESTART_TIMEOUT_MS, async () => (await lastWord()) !== first);
  await expectRestart(unit, () => machine.must(`systemctl kill -s STOP --kill-whom=main ${unit}`));
  expect(await machine.must(`journalctl -o cat -u ${unit}`)).toContain('Watchdog timeout (limit 1s)');
  await machine.must(`rm -r ${folder} && systemctl daemon-reload`);
  await restart(unit);
}

async function expectRestart(unit: string, act: () => Promise<unknown>): Promise<void> {
  const pid = await machine.property(unit, 'MainPID');
  await act();
  await until(`${unit} runs again`, RESTART_TIMEOUT_MS, async () => {
    const now = (await machine.must(`systemctl show -p ActiveState -p MainPID ${unit}`)).split('\n');
    return now.includes('ActiveState=active') && !now.includes(`MainPID=${pid}`);
  });
}

// The limit of starts in a time is not what is tested.
async function restart(unit: string): Promise<void> {
  await machine.must(`systemctl reset-failed ${unit}; systemctl restart ${unit}`);
}

async function start(unit: string): Promise<void> {
  await machine.must(`systemctl reset-failed ${unit}; systemctl start ${unit}`);
}

interface IpLink {
  readonly ifname: string;
  readonly ifalias?: string;
  readonly group: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly linkinfo: { readonly info_kind: string; readonly info_data?: { readonly persist?: boolean } };
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
}

/** What iproute2 says of every link but `lo`, as far as heddle decides it; sorted by name. */
async function links(): Promise<readonly Record<string, unknown>[]> {
  const all = JSON.parse(await machine.must('ip -j -d addr')) as IpLink[];
  return all
    .filter(({ ifname }) => ifname !== 'lo')
    .map(({ ifname, ifalias, group, mtu, flags, linkinfo, addr_info }) => ({
      ...{ ifname, ifalias, group, mtu, kind: linkinfo.info_kind, isPersistent: linkinfo.info_data?.persist },
      isUp: flags.includes('UP'),
      addresses: addr_info
        .filter(({ scope }) => scope === 'global')
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    }))
    .sort((a, b) => (a.ifname < b.ifname ? -1 : 1));
}

async function rest<T>(path: string): Promise<T> {
  return JSON.parse(await machine.must(`curl --fail-with-body -sS localhost:${path}`)) as T;
}

async function post(path: string, body: object): Promise<unknown> {
  return JSON.parse(await machine.must(`${POST} -d '${JSON.stringify(body)}' localhost:${path}`));
}

function logged(path: string): { level: string; message: string }[] {
  const lines = machine.read(path).split('\n');
  return lines.slice(0, -1).map((line) => JSON.parse(line) as { level: string; message: string });
}

/** A team whose Nebula is a stub, at the place where a daemon looks for it. */
function makeTeam(name: string): void {
  const [root, folder] = [machine.pathOf('/'), machine.pathOf('/usr/local/lib/stub')];
  mkdirSync(folder);
  const nebula = makeStubTeams(folder, machine.pathOf('/etc/catalyst-networks'), [name]);
  const config = machine.pathOf(`/etc/catalyst-networks/${name}/config.yml`);
  writeFileSync(config, readFileSync(config, 'utf8').replaceAll(root, '/'));
  renameSync(nebula, machine.pathOf('/usr/local/bin/nebula'));
}
