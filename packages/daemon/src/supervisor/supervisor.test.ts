import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CRASH, type FakeChild, FakeDriver } from '../../test/fake-driver.ts';
import type { FoundTeam } from '../config/config-scan.ts';
import type { HostFacts } from '../plan/host-facts.ts';
import type { TeamEvent } from '../schema/team-info.ts';
import { StateStore } from '../store/state-store.ts';
import { Supervisor } from './supervisor.ts';

const NOTHING_USED: HostFacts = {
  links: [],
  addresses: [],
  routes: [],
  usedUdpPorts: [],
  usedTcpPorts: [],
  reservedSubnets: [],
};

let dir: string;
let store: StateStore;
let supervisor: Supervisor;
let drivers: Map<string, FakeDriver>;
let found: FoundTeam[];
let host: HostFacts;

const config = (name: string): FoundTeam => ({ name, kind: 'nebula', configPath: `/etc/x/${name}/config.yml` });
const openStore = (): Promise<StateStore> =>
  StateStore.open(join(dir, 'state.db'), { unixMs: () => 1_000, randomId: () => 'an-id' });

function createSupervisor(): Supervisor {
  return new Supervisor({
    store,
    createDriver: ({ name }) => {
      const known = drivers.get(name);
      if (known !== undefined) return known;
      const driver = new FakeDriver(name);
      driver.claims = { networks: [`10.${drivers.size + 1}.0.2/24`] };
      drivers.set(name, driver);
      return driver;
    },
    scan: () => found,
    readHost: async () => host,
    log: () => {},
    bootId: 'boot',
    nowMs: () => performance.now(),
    unixMs: () => 1_000,
    random: () => 0,
  });
}

const driverOf = (name: string): FakeDriver => drivers.get(name) as FakeDriver;
const codeOf = (action: Promise<unknown>): Promise<unknown> =>
  action.then(
    () => 'ok',
    (error: TailnetError) => error.code,
  );
const states = (): Record<string, string> =>
  Object.fromEntries(supervisor.list().map(({ name, state }) => [name, state]));

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'heddle-supervisor-'));
  drivers = new Map();
  found = [config('acme'), config('beta')];
  host = NOTHING_USED;
  store = await openStore();
  supervisor = createSupervisor();
  await supervisor.provision(undefined);
});
afterEach(async () => {
  await supervisor.close();
  await store.close();
  rmSync(dir, { recursive: true });
});

describe('provisioning', () => {
  it('takes over every team that has a configuration', () => {
    expect(supervisor.list()).toMatchObject([
      { name: 'acme', state: 'stopped', desired: 'down', networks: ['10.1.0.2/24'] },
      { name: 'beta', state: 'stopped', desired: 'down', networks: ['10.2.0.2/24'] },
    ]);
  });
  it('says of each team why not, and takes the others', async () => {
    driverOf('acme').inspectError = new TailnetError('team/bad-config', 'acme/config.yml line 3: no');
    expect(await supervisor.provision(undefined)).toMatchObject([
      { name: 'acme', ok: false, code: 'team/bad-config', message: 'acme/config.yml line 3: no' },
      { name: 'beta', ok: true, message: 'updated' },
    ]);
  });
  it('lets the program judge too', async () => {
    driverOf('acme').verifyError = new TailnetError('nebula/config-invalid', 'Nebula does not know the cipher');
    expect(await supervisor.provision('acme')).toMatchObject([{ ok: false, code: 'nebula/config-invalid' }]);
  });
  it('of a team without configuration is refused', async () => {
    expect(await codeOf(supervisor.provision('nobody'))).toBe('team/no-config');
  });
  it('again keeps what is wanted of a team that runs', async () => {
    await supervisor.start('acme');
    await supervisor.provision('acme');
    expect(supervisor.status('acme')).toMatchObject({ state: 'up', desired: 'up', pid: 1000 });
  });
});

describe('commands that meet', () => {
  it('provision a new team once', async () => {
    found.push(config('new'));
    const results = await Promise.all([supervisor.provision('new'), supervisor.provision('new')]);
    expect(results.flat().map(({ message }) => message)).toEqual(['added', 'updated']);
    await supervisor.start('new');
    expect(driverOf('new').children).toHaveLength(1);
  });
  it('never start a team that is being deleted', async () => {
    await supervisor.start('acme');
    const deleting = supervisor.delete('acme');
    const code = codeOf(supervisor.start('acme'));
    await deleting;
    expect(['team/gone', 'team/unknown']).toContain(await code);
    expect(driverOf('acme').children).toHaveLength(1);
    expect(supervisor.list().map(({ name }) => name)).toEqual(['beta']);
  });
  it('never start a team while the daemon ends', async () => {
    const [closing, code] = [supervisor.close(), codeOf(supervisor.start('acme'))];
    await closing;
    expect(await code).toBe('team/gone');
    expect(driverOf('acme').children).toEqual([]);
  });
});

describe('start and stop', () => {
  it('bring a team up and down, and remember it', async () => {
    expect(await supervisor.start('acme')).toMatchObject({ state: 'up', desired: 'up', pid: 1000, interface: 'cvpn1' });
    expect(store.team('acme')).toMatchObject({ desired: 'up' });
    expect(await supervisor.stop('acme')).toMatchObject({ state: 'stopped', desired: 'down' });
    expect(store.team('acme')).toMatchObject({ desired: 'down' });
  });
  it('of an unknown team are refused', async () => {
    expect(await codeOf(supervisor.start('nobody'))).toBe('team/unknown');
    expect(await codeOf(supervisor.stop('nobody'))).toBe('team/unknown');
  });
  it('give each team a device of its own, the same one every time', async () => {
    await Promise.all([supervisor.start('acme'), supervisor.start('beta')]);
    const [first, second] = [driverOf('acme').assignments[0]?.device, driverOf('beta').assignments[0]?.device];
    expect(first).not.toBe(second);
    await supervisor.restart('acme');
    expect(driverOf('acme').assignments[1]?.device).toBe(first);
    expect(store.team('acme')?.device).toBe(first);
  });
  it('refuse a team whose addresses overlap with one that is up, and change nothing', async () => {
    driverOf('beta').claims = { networks: ['10.1.0.9/16'] };
    await supervisor.start('acme');
    expect(await codeOf(supervisor.start('beta'))).toBe('plan/overlapping-team');
    expect(supervisor.status('beta')).toMatchObject({
      desired: 'down',
      state: 'stopped',
      last_error: { code: 'plan/overlapping-team' },
    });
    expect(driverOf('beta').children).toEqual([]);
    await supervisor.stop('acme');
    expect(await codeOf(supervisor.start('beta'))).toBe('ok');
  });
  it('let only one of two overlapping teams that are started at once come up', async () => {
    driverOf('beta').claims = { networks: ['10.1.0.9/16'] };
    const codes = await Promise.all([codeOf(supervisor.start('acme')), codeOf(supervisor.start('beta'))]);
    expect(codes).toEqual(['ok', 'plan/overlapping-team']);
  });
  it('refuse addresses the machine has already', async () => {
    host = { ...NOTHING_USED, links: [{ name: 'lan', isUp: true }], addresses: [{ link: 'lan', cidr: '10.1.0.7/24' }] };
    expect(await codeOf(supervisor.start('acme'))).toMatch(/^plan\/overlapping-/);
  });
});

describe('a plan', () => {
  it('compares teams that are down too, and says what is broken', async () => {
    driverOf('beta').claims = { networks: ['10.1.0.9/16'] };
    expect(await supervisor.plan(undefined)).toMatchObject([
      { team: 'acme', plan: { kind: 'clear' } },
      { team: 'beta', plan: { kind: 'refused', findings: [{ code: 'plan/overlapping-team' }] } },
    ]);
    driverOf('beta').inspectError = new TailnetError('team/bad-config', 'beta/config.yml line 3: no');
    expect(await supervisor.plan('beta')).toMatchObject([
      { team: 'beta', plan: { kind: 'refused', findings: [{ message: 'beta/config.yml line 3: no' }] } },
    ]);
  });
  it('finds a running team in nobody’s way, least of all its own', async () => {
    driverOf('acme').claims = { networks: ['10.1.0.2/24'], listenPort: 4242, isListenPortFixed: true };
    await supervisor.start('acme');
    host = { ...NOTHING_USED, usedUdpPorts: [4242] };
    expect(await supervisor.plan('acme')).toMatchObject([{ team: 'acme', plan: { kind: 'clear', listenPort: 4242 } }]);
  });
  it('takes a device that macOS named for that of the running team whose address it has', async () => {
    const links = [{ name: 'utun4', kind: 'utun', isUp: true }];
    host = { ...NOTHING_USED, links, addresses: [{ link: 'utun4', cidr: '10.1.0.2/24' }] };
    expect(await supervisor.plan('acme')).toMatchObject([{ plan: { kind: 'refused' } }]);
    host = NOTHING_USED;
    await supervisor.start('acme');
    host = { ...NOTHING_USED, links, addresses: [{ link: 'utun4', cidr: '10.1.0.2/24' }] };
    expect(await supervisor.plan('acme')).toMatchObject([{ plan: { kind: 'clear' } }]);
  });
});

describe('switch', () => {
  it('makes a team the only one that is up', async () => {
    await supervisor.start('acme');
    expect(await supervisor.switch('beta')).toMatchObject({ name: 'beta', state: 'up', active: true });
    expect(supervisor.status('acme')).toMatchObject({ state: 'stopped', desired: 'down', active: false });
  });
  it('stops the others first where they are in the way', async () => {
    driverOf('beta').claims = { networks: ['10.1.0.9/16'] };
    await supervisor.start('acme');
    await supervisor.switch('beta');
    expect(states()).toEqual({ acme: 'stopped', beta: 'up' });
  });
  it('goes back to what was when the team does not come up', async () => {
    await supervisor.start('acme');
    driverOf('beta').onChild = (child: FakeChild) => child.exit(CRASH);
    expect(await codeOf(supervisor.switch('beta'))).toBe('nebula/crashed');
    expect(states()).toEqual({ acme: 'up', beta: 'stopped' });
    expect(store.team('acme')?.desired).toBe('up');
  });
  it('goes back also after the others had to be stopped', async () => {
    driverOf('beta').claims = { networks: ['10.1.0.9/16'] };
    driverOf('beta').onChild = (child: FakeChild) => child.exit(CRASH);
    await supervisor.start('acme');
    expect(await codeOf(supervisor.switch('beta'))).toBe('nebula/crashed');
    expect(states()).toEqual({ acme: 'up', beta: 'stopped' });
  });
});

describe('a reload of everything', () => {
  it('takes over what is new and reloads what is up, whatever goes wrong with one', async () => {
    await supervisor.start('acme');
    await supervisor.start('beta');
    driverOf('acme').last.reloads = () => Promise.reject(new TailnetError('nebula/reload-failed', 'No'));
    driverOf('beta').last.reloads = async () => false;
    found.push(config('new'));
    await supervisor.reloadAll();
    expect(states()).toEqual({ acme: 'up', beta: 'up', new: 'stopped' });
    expect([driverOf('acme').children.length, driverOf('beta').children.length]).toEqual([1, 2]);
  });
});

describe('delete', () => {
  it('stops a team and forgets it, but keeps the files of the user', async () => {
    await supervisor.switch('acme');
    await supervisor.delete('acme');
    expect(supervisor.list().map(({ name }) => name)).toEqual(['beta']);
    expect(driverOf('acme').last.signals).toEqual(['SIGTERM']);
    expect(driverOf('acme').areFilesRemoved).toBe(true);
    expect(store.activeTeam).toBeUndefined();
    await supervisor.provision('acme');
    expect(supervisor.status('acme').state).toBe('stopped');
  });
});

describe('a later supervisor', () => {
  it('brings back what should be up, and one broken team holds up nobody', async () => {
    await supervisor.start('acme');
    await supervisor.start('beta');
    await supervisor.close();
    await store.close();
    store = await openStore();
    drivers = new Map();
    supervisor = createSupervisor();
    driverOf('acme').startError = new TailnetError('nebula/pki-missing', 'No');
    expect(states()).toEqual({ acme: 'stopped', beta: 'stopped' });
    await supervisor.autostart();
    expect(states()).toEqual({ acme: 'failed', beta: 'up' });
    expect(supervisor.status('acme').desired).toBe('up');
  });
  it('finds the processes of one that was killed in the store', async () => {
    await supervisor.start('acme');
    await supervisor.provision(undefined); // Waits for what was committed before.
    expect(store.runtime('acme')).toMatchObject({ pid: 1000, startMark: 'mark-1000', state: 'up' });
    await supervisor.stop('acme');
    await supervisor.provision(undefined);
    expect(store.runtime('acme')).toBeUndefined();
  });
});

describe('a subscriber', () => {
  it('sees everything at first and then each change once, with numbers that have no gaps', async () => {
    const events: TeamEvent[] = [];
    const end = supervisor.subscribe((event) => events.push(event));
    await supervisor.start('acme');
    await supervisor.delete('beta');
    end();
    await supervisor.stop('acme');
    const [snapshot, ...changes] = events;
    expect(snapshot).toMatchObject({ event: 'snapshot', teams: [{ name: 'acme' }, { name: 'beta' }] });
    expect(changes.map(({ seq }) => seq - (snapshot?.seq ?? 0))).toEqual(changes.map((_, i) => i + 1));
    const shown = changes.flatMap((event) => (event.event === 'team' ? [event.team.state] : []));
    expect(shown).toContain('starting');
    expect(shown).toContain('up');
    expect(events.at(-1)).toMatchObject({ event: 'removed', name: 'beta' });
  });
});
