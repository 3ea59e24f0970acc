import type { CommandResult } from '@heddle/host/macos/command-runner';
import { MacosError } from '@heddle/host/macos/macos-error';
import { MacosInterfaces } from '@heddle/host/macos/macos-interfaces';
import { beforeEach, describe, expect, it } from 'vitest';
import type { FakeMac } from '../../test/fake-mac.ts';
import { FakeMacSetup, listOwn, MAC_SUBNET, MAC_SUBNET6, MAC_TUN } from '../../test/fake-mac-setup.ts';
import type { SubnetRecord, TunRecord } from '../store/interface-records.ts';
import { readMacosFacts } from './host-facts.ts';
import type { MacosKernel } from './macos-kernel.ts';

const DENIED: CommandResult = { status: 1, stdout: '', stderr: 'ifconfig: ioctl (SIOCAIFADDR): permission denied\n' };
const BROKEN: CommandResult = { status: 1, stdout: '', stderr: 'ifconfig: what\n' };

const refusal = (code: string, about = '') =>
  expect.objectContaining({ name: 'TailnetError', code, message: expect.stringContaining(about) });

let setup: FakeMacSetup;
let mac: FakeMac;
beforeEach(() => {
  setup = new FakeMacSetup();
  ({ mac } = setup);
});

describe('a TUN device', () => {
  it('is held open with its addresses, its route and its mark', async () => {
    const kernel = setup.createKernel();
    await kernel.makeTun(MAC_TUN, Promise.resolve());
    expect(mac.links.get('utun7')).toEqual({
      mtu: 1400,
      isUp: true,
      cidrs: ['10.0.0.1/24', 'fd00:1::1/64'],
      routes: ['10.0.0.0/24'],
    });
    const addresses = ['10.0.0.1/24', 'fd00:1::1/64'];
    const link = { name: 'utun7', mark: 1001, mtu: 1400, hasCarrier: true, isUp: true, addresses };
    expect(await kernel.links([])).toContainEqual(link);
    expect(await kernel.isInUse()).toBe(false);
  });

  it('that this process does not hold is nobody of ours, whatever its name', async () => {
    mac.addLink('utun7', ['10.0.0.1/24']);
    const kernel = setup.createKernel();
    expect(await listOwn(kernel, [MAC_TUN])).toEqual([]);
    await kernel.remove(MAC_TUN);
    expect(mac.links.has('utun7')).toBe(true);
    await expect(kernel.makeTun(MAC_TUN, Promise.resolve())).rejects.toEqual(refusal('tun/name-taken', '"utun7"'));
    await kernel.remove(MAC_TUN);
    expect(mac.changes).toEqual([]);
  });

  it('is not removed for a record of the same name', async () => {
    const kernel = setup.createKernel();
    await kernel.makeTun(MAC_TUN, Promise.resolve());
    await kernel.remove({ ...MAC_TUN, mark: 9 });
    expect(mac.links.has('utun7')).toBe(true);
  });

  it('has gone when its removal is over', async () => {
    const kernel = setup.createKernel();
    await kernel.makeTun(MAC_TUN, Promise.resolve());
    mac.lingerCount = 3;
    await kernel.remove(MAC_TUN);
    expect(setup.pauseCount).toBe(2);
    expect(mac.links.has('utun7')).toBe(false);
    expect(await listOwn(kernel, [MAC_TUN])).toEqual([]);
  });

  it('whose name another program takes at once is waited for only so long', async () => {
    const kernel = setup.createKernel();
    await kernel.makeTun(MAC_TUN, Promise.resolve());
    mac.lingerCount = 1000;
    await kernel.remove(MAC_TUN);
    expect(setup.pauseCount).toBe(50);
  });

  it('is removed also when nothing can be seen of it', async () => {
    const kernel = setup.createKernel();
    await kernel.makeTun(MAC_TUN, Promise.resolve());
    mac.failures.push({ part: 'ifconfig -a', result: BROKEN });
    await kernel.remove(MAC_TUN);
    expect(mac.links.has('utun7')).toBe(false);
  });

  it.each<[string, (link: { mtu: number; isUp: boolean; cidrs: string[]; routes: string[] }) => void]>([
    ['its address', ({ cidrs }) => void cidrs.shift()],
    ['its address of IPv6', ({ cidrs }) => void cidrs.pop()],
    ['its route', ({ routes }) => void routes.pop()],
    ['its MTU', (link) => void Object.assign(link, { mtu: 9000 })],
    ['being up', (link) => void Object.assign(link, { isUp: false })],
  ])('is made anew when somebody took %s', async (_, take) => {
    const kernel = setup.createKernel();
    await kernel.makeTun(MAC_TUN, Promise.resolve());
    const before = structuredClone(mac.links.get('utun7'));
    const count = mac.changes.length;
    await kernel.repair(MAC_TUN);
    expect(mac.changes).toHaveLength(count);
    take(mac.links.get('utun7') as NonNullable<typeof before>);
    await kernel.repair(MAC_TUN);
    expect(mac.links.get('utun7')).toEqual(before);
    expect(await listOwn(kernel, [MAC_TUN])).toHaveLength(1);
  });

  it('is let go at the end, and subnets stay', async () => {
    const kernel = setup.createKernel();
    await kernel.makeTun(MAC_TUN, Promise.resolve());
    await kernel.makeSubnet(MAC_SUBNET, Promise.resolve());
    kernel.close();
    kernel.close();
    expect(await listOwn(kernel, [MAC_TUN])).toEqual([]);
    expect(mac.links.has('utun7')).toBe(false);
    expect(mac.aliases()).toEqual(['10.1.0.1/24']);
  });

  it.each<[string, Partial<TunRecord>, string]>([
    ['that persists', { isPersistent: true }, 'tun/not-supported'],
    ['for another user', { ownerUid: 501 }, 'tun/not-supported'],
    ['with a name of Linux', { name: 'tun0' }, 'interface/unsupported'],
  ])('%s is refused before anything is asked', async (_, change, code) => {
    await expect(setup.createKernel().makeTun({ ...MAC_TUN, ...change }, Promise.resolve())).rejects.toEqual(
      refusal(code),
    );
    expect(mac.changes).toEqual([]);
  });
});

describe('a subnet', () => {
  it.each([
    ['IPv4', MAC_SUBNET, '10.1.0.1/24'],
    ['IPv6', MAC_SUBNET6, 'fd00:2::1/64'],
  ] as const)('of %s is an address of lo0, of any process', async (_, record, cidr) => {
    await setup.createKernel().makeSubnet(record, Promise.resolve());
    expect(mac.aliases()).toEqual([cidr]);
    const later = setup.createKernel();
    expect(await later.links([record])).toContainEqual({
      name: record.link,
      mark: record.mark,
      mtu: 16_384,
      hasCarrier: true,
      isUp: true,
      addresses: expect.arrayContaining([cidr]),
    });
    expect(await listOwn(later, [])).toEqual([]);
    await later.remove(record);
    expect(mac.aliases()).toEqual([]);
    expect(await listOwn(later, [record])).toEqual([]);
  });

  it('that somebody removed may be removed, and is made again by a repair', async () => {
    const kernel = setup.createKernel();
    await kernel.remove(MAC_SUBNET);
    await kernel.repair(MAC_SUBNET);
    await kernel.repair(MAC_SUBNET);
    expect(mac.aliases()).toEqual(['10.1.0.1/24']);
    expect(mac.changes).toHaveLength(1);
  });

  it.each<[string, () => void]>([
    ['is on another link', () => mac.addLink('en1', ['10.1.0.1/24'])],
    ['has other bits', () => mac.addForeignAlias('10.1.0.1/32')],
  ])('is not taken for an address that %s', async (_, add) => {
    add();
    const before = structuredClone([...mac.links]);
    const kernel = setup.createKernel();
    expect(await listOwn(kernel, [MAC_SUBNET])).toEqual([]);
    await expect(kernel.makeSubnet(MAC_SUBNET, Promise.resolve())).rejects.toEqual(
      refusal('allocation/overlap', '10.1.0.1'),
    );
    await kernel.remove(MAC_SUBNET);
    expect([...mac.links]).toEqual(before);
    expect(mac.changes).toEqual([]);
  });

  it('that came too late leaves the very same address of somebody else alone', async () => {
    mac.addForeignAlias('10.1.0.1/24');
    const kernel = setup.createKernel();
    await expect(kernel.makeSubnet(MAC_SUBNET, Promise.resolve())).rejects.toEqual(
      refusal('allocation/overlap', '"lo0"'),
    );
    expect(await listOwn(kernel, [MAC_SUBNET])).toEqual([]);
    await kernel.remove(MAC_SUBNET);
    await kernel.remove(MAC_SUBNET);
    expect(mac.aliases()).toEqual(['10.1.0.1/24']);
  });

  it('that came too late is made when the address has gone', async () => {
    mac.addLink('en1', ['10.1.0.1/24']);
    const kernel = setup.createKernel();
    await expect(kernel.makeSubnet(MAC_SUBNET, Promise.resolve())).rejects.toEqual(
      refusal('allocation/overlap', '"en1"'),
    );
    mac.links.delete('en1');
    await kernel.makeSubnet(MAC_SUBNET, Promise.resolve());
    expect(await listOwn(kernel, [MAC_SUBNET])).toEqual([['lo0:0', 1002]]);
  });

  it('is taken back when it would be of a single host, beside another address of the network', async () => {
    mac.addForeignAlias('10.1.0.9/24');
    const kernel = setup.createKernel();
    await expect(kernel.makeSubnet(MAC_SUBNET, Promise.resolve())).rejects.toEqual(
      refusal('allocation/overlap', '10.1.0.0/24'),
    );
    expect(mac.aliases()).toEqual(['10.1.0.9/24']);
  });

  it('that cannot be looked at afterwards is taken back', async () => {
    const kernel = setup.createKernel();
    let listCount = 0;
    mac.beforeCommand = (text) => {
      if (text === '/sbin/ifconfig -a' && ++listCount === 2) mac.failures.push({ part: text, result: BROKEN });
    };
    await expect(kernel.makeSubnet(MAC_SUBNET, Promise.resolve())).rejects.toEqual(refusal('interface/kernel-refused'));
    expect(mac.aliases()).toEqual([]);
  });

  it('of a store of Linux is not made, not seen and not removed', async () => {
    mac.addForeignAlias('10.1.0.1/24');
    const record: SubnetRecord = { ...MAC_SUBNET, link: 'dummy0', linkKind: 'dummy' };
    const kernel = setup.createKernel();
    await expect(kernel.makeSubnet(record, Promise.resolve())).rejects.toEqual(
      refusal('interface/unsupported', '"dummy"'),
    );
    expect(await listOwn(kernel, [record])).toEqual([]);
    await kernel.remove(record);
    expect(mac.aliases()).toEqual(['10.1.0.1/24']);
  });
});

describe('a failure', () => {
  it.each<[MacosError['code'], string]>([
    ['utun/busy', 'tun/name-taken'],
    ['utun/no-privilege', 'interface/no-privilege'],
    ['utun/unsupported', 'interface/unsupported'],
    ['utun/failed', 'interface/kernel-refused'],
    ['macos/no-privilege', 'interface/no-privilege'],
    ['macos/address-taken', 'allocation/overlap'],
    ['macos/command-failed', 'interface/kernel-refused'],
    ['macos/unknown-output', 'interface/kernel-refused'],
  ])('%s is told as %s', async (code, told) => {
    mac.openFailure = new MacosError(code, 'it says "no"');
    const failure = await setup
      .createKernel()
      .makeTun(MAC_TUN, Promise.resolve())
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: told, cause: { code } });
  });

  it.each<[string, string, (kernel: MacosKernel) => Promise<unknown>]>([
    ['the addresses of a device', 'utun7 inet', (kernel) => kernel.makeTun(MAC_TUN, Promise.resolve())],
    ['the address of a subnet', 'lo0 inet', (kernel) => kernel.makeSubnet(MAC_SUBNET, Promise.resolve())],
  ])('of %s leaves nothing', async (_, part, make) => {
    mac.failures.push({ part, result: DENIED });
    const kernel = setup.createKernel();
    await expect(make(kernel)).rejects.toEqual(refusal('interface/no-privilege', part));
    expect(mac.aliases()).toEqual([]);
    expect([...mac.links.keys()]).toEqual(['lo0', 'en0']);
    expect(await listOwn(kernel, [MAC_TUN])).toEqual([]);
  });

  it('of a removal is told', async () => {
    const kernel = setup.createKernel();
    await kernel.makeSubnet(MAC_SUBNET, Promise.resolve());
    mac.failures.push({ part: '-alias', result: BROKEN });
    await expect(kernel.remove(MAC_SUBNET)).rejects.toEqual(refusal('interface/kernel-refused', 'what'));
    mac.failures.push({ part: 'ifconfig -a', result: BROKEN });
    await expect(kernel.remove(MAC_SUBNET)).rejects.toEqual(refusal('interface/kernel-refused'));
    await kernel.remove(MAC_SUBNET);
    expect(mac.aliases()).toEqual([]);
  });
});

describe('what the machine uses', () => {
  it('is told in the shape of plans', async () => {
    const kernel = setup.createKernel();
    await kernel.makeTun(MAC_TUN, Promise.resolve());
    const host = await kernel.readHost();
    expect(host).toEqual({
      links: [
        { name: 'lo0', kind: undefined, isUp: true },
        { name: 'en0', kind: undefined, isUp: true },
        { name: 'utun7', kind: 'utun', isUp: true },
      ],
      addresses: [
        { link: 'lo0', cidr: '127.0.0.1/8' },
        { link: 'lo0', cidr: '::1/128' },
        { link: 'en0', cidr: '192.168.7.5/24' },
        { link: 'utun7', cidr: '10.0.0.1/24' },
        { link: 'utun7', cidr: 'fd00:1::1/64' },
      ],
      routes: [{ prefix: '10.0.0.0/24', link: 'utun7', table: 254, gateway: undefined, protocol: 2 }],
      usedUdpPorts: [],
      usedTcpPorts: [],
      reservedSubnets: [],
    });
    expect(await readMacosFacts(new MacosInterfaces(mac))).toEqual(host);
  });

  it('is not known when a command fails', async () => {
    const failure = { part: 'netstat', result: BROKEN };
    mac.failures.push(failure);
    await expect(setup.createKernel().readHost()).rejects.toEqual(refusal('interface/kernel-refused'));
    mac.failures.push(failure);
    await expect(readMacosFacts(new MacosInterfaces(mac))).rejects.toEqual(refusal('plan/host-unknown', 'netstat'));
  });

  it('and could not be read is reported when there is more of it than before', async () => {
    const kernel = setup.createKernel();
    await kernel.readHost();
    mac.noise = '\tinet what\n';
    await kernel.readHost();
    await kernel.readHost();
    mac.noise = '\tinet what\n\tinet6 what\n';
    await kernel.readHost();
    expect(setup.warnings.map((text) => text.split(' ')[0])).toEqual(['1', '2']);
  });
});
