import { MacosError } from '@heddle/host/macos/macos-error';
import { beforeEach, describe, expect, it } from 'vitest';
import type { FakeInterfaceStore } from '../../test/fake-interface-store.ts';
import type { FakeMac } from '../../test/fake-mac.ts';
import { FakeMacSetup, listOwn, MAC_SUBNET, MAC_TUN } from '../../test/fake-mac-setup.ts';
import type { InterfaceRecord } from '../store/interface-records.ts';

const ROOT = { uid: 0 };
const refusal = (code: string, about = '') =>
  expect.objectContaining({ name: 'TailnetError', code, message: expect.stringContaining(about) });

let setup: FakeMacSetup;
let mac: FakeMac;
let store: FakeInterfaceStore;
beforeEach(() => {
  setup = new FakeMacSetup();
  ({ mac, store } = setup);
});

describe('the services on macOS', () => {
  it('make, list and delete a device', async () => {
    mac.addLink('utun0', ['100.100.1.2/32']);
    const { tun } = setup.startDaemon();
    const made = await tun.create({}, ROOT);
    expect(made).toMatchObject({
      name: 'utun1',
      kind: 'utun',
      cidr: '10.0.0.0/24',
      persistent: false,
      attached: true,
      state: 'active',
    });
    expect(await tun.list()).toEqual([made]);
    await tun.delete('utun1');
    expect([...mac.links.keys()]).toEqual(['lo0', 'en0', 'utun0']);
    expect(store.journal()).toEqual([]);
  });

  it('step over a name that somebody takes meanwhile', async () => {
    mac.openFailure = new MacosError('utun/busy', 'busy');
    expect(await setup.startDaemon().tun.create({}, ROOT)).toMatchObject({ name: 'utun1' });
    expect(store.journal()).toEqual([]);
  });

  it.each([{ owner: 501 }, { persistent: true }])('refuse %j, and leave nothing', async (request) => {
    await expect(setup.startDaemon().tun.create(request, ROOT)).rejects.toEqual(refusal('tun/not-supported'));
    expect([store.interfaces(), store.journal(), mac.changes]).toEqual([[], [], []]);
  });

  it('make, list and delete subnets, with numbers of their own', async () => {
    const { subnet } = setup.startDaemon();
    const first = await subnet.create({ cidr: '10.1.0.0/24' }, ROOT);
    expect(first).toMatchObject({ interface: 'lo0:0', kind: 'alias', ip_addr: '10.1.0.1', state: 'active' });
    const second = await subnet.create({ family: 6 }, ROOT);
    expect(second).toMatchObject({ interface: 'lo0:1', ip_addr: 'fd12:3456:789a::1', state: 'active' });
    expect(await subnet.list()).toEqual([first, second]);
    await subnet.delete('10.1.0.0/24');
    expect(mac.aliases()).toEqual(['fd12:3456:789a::1/64']);
    expect(await subnet.create({}, ROOT)).toMatchObject({ interface: 'lo0:0', network: '10.0.0.0/24' });
  });

  it('tell a subnet whose address somebody removed', async () => {
    const { subnet } = setup.startDaemon();
    await subnet.create({ cidr: '10.1.0.0/24' }, ROOT);
    mac.reboot();
    expect(await subnet.find('10.1.0.0/24')).toMatchObject({ state: 'missing' });
    await subnet.delete('10.1.0.0/24');
    expect(await subnet.list()).toEqual([]);
  });

  it.each(['10.1.0.1/24', '10.1.0.1/32', '10.1.0.200/32', '10.0.0.1/8'])(
    'refuse a subnet around an address %s of lo0 that is there, and never remove it',
    async (cidr) => {
      mac.addForeignAlias(cidr);
      const { subnet, book } = setup.startDaemon();
      await expect(subnet.create({ cidr: '10.1.0.0/24' }, ROOT)).rejects.toEqual(
        refusal('allocation/overlap', '"lo0"'),
      );
      await book.removeAll();
      await setup.startDaemon().book.reconcile();
      expect(mac.aliases()).toEqual([cidr]);
      expect(mac.changes).toEqual([]);
    },
  );

  it('never remove an address that came between the look and the making', async () => {
    const { subnet } = setup.startDaemon();
    let commitCount = 0;
    store.beforeCommit = async () => {
      if (++commitCount === 1) mac.addForeignAlias('10.1.0.1/24');
    };
    await expect(subnet.create({ cidr: '10.1.0.0/24' }, ROOT)).rejects.toEqual(refusal('allocation/overlap'));
    expect(mac.aliases()).toEqual(['10.1.0.1/24']);
    expect([store.interfaces(), store.journal()]).toEqual([[], []]);
  });
});

describe('a start on macOS', () => {
  it('makes devices again under their names and adopts subnets', async () => {
    const before = setup.startDaemon();
    const device = await before.tun.create({ name: 'utun7', ip6_addr: 'auto' }, ROOT);
    const network = await before.subnet.create({}, ROOT);
    mac.die();
    mac.changes.length = 0;
    const after = setup.startDaemon();
    await after.book.reconcile();
    expect(await after.tun.list()).toEqual([device]);
    expect(await after.subnet.list()).toEqual([network]);
    expect(mac.changes.filter((text) => text.includes('lo0'))).toEqual([]);
    expect(setup.warnings).toEqual([]);
  });

  it('makes everything again after a restart of the machine', async () => {
    const before = setup.startDaemon();
    await before.tun.create({}, ROOT);
    await before.subnet.create({ cidr: '10.1.0.0/24' }, ROOT);
    mac.reboot();
    const after = setup.startDaemon();
    await after.book.reconcile();
    expect(await after.tun.list()).toMatchObject([{ name: 'utun0', state: 'active' }]);
    expect(mac.aliases()).toEqual(['10.1.0.1/24']);
    await after.book.removeAll();
    expect(mac.aliases()).toEqual([]);
    expect([...mac.links.keys()]).toEqual(['lo0', 'en0']);
  });

  it('leaves alone who has the name of a device now, or other addresses of a subnet', async () => {
    const before = setup.startDaemon();
    await before.tun.create({ name: 'utun7' }, ROOT);
    await before.subnet.create({ cidr: '10.1.0.0/24' }, ROOT);
    mac.reboot();
    mac.addLink('utun7');
    mac.addForeignAlias('10.1.0.1/32');
    const after = setup.startDaemon();
    await after.book.reconcile();
    expect(setup.warnings).toHaveLength(2);
    expect(await after.tun.list()).toMatchObject([{ state: 'missing' }]);
    expect(await after.subnet.list()).toMatchObject([{ state: 'missing' }]);
    await after.book.removeAll();
    expect(mac.aliases()).toEqual(['10.1.0.1/32']);
    expect(mac.links.has('utun7')).toBe(true);
    expect(store.interfaces()).toEqual([]);
  });

  it.each([
    ['a device', MAC_TUN],
    ['a subnet', MAC_SUBNET],
  ] as const)(
    'after a kill at any moment of making and removing %s finds the Mac and the store agreeing',
    async (_, record) => {
      let touch = 1;
      for (let wasKilled = true; wasKilled; touch++) {
        setup = new FakeMacSetup();
        ({ mac, store } = setup);
        mac.addForeignAlias('10.77.0.1/32');
        wasKilled = await runKilledAt(touch, record);
        const { kernel, book } = setup.startDaemon();
        await book.reconcile();
        const records = store.interfaces();
        expect(store.journal()).toEqual([]);
        expect(await listOwn(kernel, records)).toEqual(records.map(({ mark }) => [expect.any(String), mark]));
        const wanted = records.map((one) => (one.kind === 'tun' ? one.name : '10.1.0.1/24'));
        const there = [...mac.links.keys(), ...mac.aliases()];
        expect(there.sort()).toEqual(['lo0', 'en0', '10.77.0.1/32', ...wanted].sort());
      }
      expect(touch).toBeGreaterThan(8);
    },
  );

  /** Runs with the process killed before its n-th commit or command; false when it ended before that. */
  async function runKilledAt(touch: number, record: InterfaceRecord): Promise<boolean> {
    const never = new Promise<never>(() => {});
    let count = 0;
    let killed = (): void => {};
    const death = new Promise<'killed'>((resolve) => {
      killed = () => resolve('killed');
    });
    const step = async (): Promise<void> => {
      if (++count !== touch) return;
      killed();
      await never;
    };
    const { book } = setup.startDaemon();
    store.beforeCommit = step;
    mac.beforeCommand = step;
    const work = async (): Promise<'ended'> => {
      await book.change(() => book.make(record));
      await book.change(() => book.remove(record));
      return 'ended';
    };
    const end = await Promise.race([work(), death]);
    store.beforeCommit = async () => {};
    mac.beforeCommand = () => {};
    mac.die();
    return end === 'killed';
  }
});
