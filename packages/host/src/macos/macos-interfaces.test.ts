import { describe, expect, it } from 'vitest';
import type { CommandResult } from './command-runner.ts';
import type { Command } from './interface-commands.ts';
import { MacosError } from './macos-error.ts';
import { MacosInterfaces, type TunPlan } from './macos-interfaces.ts';
import type { Utun, UtunOptions } from './utun.ts';

const OK: CommandResult = { status: 0, stdout: '', stderr: '' };
const REFUSED: CommandResult = { status: 1, stdout: '', stderr: 'ifconfig: ioctl (SIOCAIFADDR): permission denied\n' };
const KILLED: CommandResult = { status: undefined, stdout: '', stderr: '\nIt took more than 5000 ms' };
/** As Apple's route ends when the kernel has the route already, and ifconfig when the MTU does not fit. */
const ROUTE_EXISTS: CommandResult = {
  status: 0,
  stdout: 'add net 10.0.0.0: gateway utun3: File exists\n',
  stderr: 'route: writing to routing socket: File exists\n',
};
const BAD_MTU: CommandResult = { status: 0, stdout: '', stderr: 'ifconfig: ioctl (set mtu): Invalid argument\n' };
const NOT_THERE: CommandResult = {
  status: 1,
  stdout: '',
  stderr: "ifconfig: ioctl (SIOCDIFADDR): Can't assign requested address\n",
};

const IFCONFIG_LIST = '/sbin/ifconfig -a';
const NETSTAT_4 = '/usr/sbin/netstat -rn -f inet';
const NETSTAT_6 = '/usr/sbin/netstat -rn -f inet6';

const LINKS = [
  'lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384',
  '\tinet 127.0.0.1 netmask 0xff000000',
  '\tinet6 ::1 prefixlen 128',
  '\tinet 10.1.0.1 netmask 0xffffff00',
  'en0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500',
  '\tinet 192.168.7.5 netmask 0xffffff00 broadcast 192.168.7.255',
].join('\n');
const ROUTES_4 = [
  'Routing tables\n\nInternet:\nDestination Gateway Flags Netif Expire',
  'default 192.168.7.1 UGScg en0',
  '10.9/16 utun4 USc utun4',
  '192.168.7 link#4 UCS en0 !',
].join('\n');
const ROUTES_6 = 'Routing tables\n';

/** A Mac that answers every command with success, but for those given; what it was asked is in the log. */
class FakeMac {
  readonly log: string[] = [];
  readonly answers: ReadonlyMap<string, CommandResult>;
  openFailure: Error | undefined;
  closeCount = 0;

  constructor(answers: Readonly<Record<string, CommandResult>> = {}) {
    const lists = { [IFCONFIG_LIST]: LINKS, [NETSTAT_4]: ROUTES_4, [NETSTAT_6]: ROUTES_6 };
    const ok = Object.entries(lists).map(([text, stdout]) => [text, { ...OK, stdout }] as const);
    this.answers = new Map([...ok, ...Object.entries(answers)]);
  }

  readonly run = async (command: Command): Promise<CommandResult> => {
    const text = command.join(' ');
    this.log.push(text);
    return this.answers.get(text) ?? OK;
  };

  readonly openUtun = ({ name }: UtunOptions): Utun => {
    this.log.push(`open ${name}`);
    if (this.openFailure) throw this.openFailure;
    return { name: name ?? 'utun3', fd: 11, close: () => void this.closeCount++ };
  };
}

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

const PLAN: TunPlan = {
  name: undefined,
  address: '10.0.0.1',
  prefixBits: 24,
  address6: 'fd00::1',
  prefixBits6: 64,
  mtu: 1300,
};
const SET_4 = '/sbin/ifconfig utun3 inet 10.0.0.1 10.0.0.1 netmask 255.255.255.0 mtu 1300 up';
const SET_6 = '/sbin/ifconfig utun3 inet6 fd00::1 prefixlen 64 alias';
const ADD_ROUTE = '/sbin/route -n add -net 10.0.0.0/24 -interface utun3';

describe('what the machine uses', () => {
  it('is asked of three commands', async () => {
    const mac = new FakeMac();
    const host = await new MacosInterfaces(mac).readHost();
    expect(mac.log).toEqual([IFCONFIG_LIST, NETSTAT_4, NETSTAT_6]);
    expect(host.links.map(({ name, isUp, mtu }) => [name, isUp, mtu])).toEqual([
      ['lo0', true, 16384],
      ['en0', true, 1500],
    ]);
    expect(host.addresses.map(({ link, cidr }) => [link, cidr])).toEqual([
      ['lo0', '127.0.0.1/8'],
      ['lo0', '::1/128'],
      ['lo0', '10.1.0.1/24'],
      ['en0', '192.168.7.5/24'],
    ]);
    expect(host.unreadCount).toBe(0);
  });

  it('tells the network of a link from routes that somebody made', async () => {
    const { routes } = await new MacosInterfaces(new FakeMac()).readHost();
    expect(routes).toEqual([
      { prefix: '0.0.0.0/0', link: 'en0', table: 254, gateway: '192.168.7.1', protocol: 4 },
      { prefix: '10.9.0.0/16', link: 'utun4', table: 254, gateway: undefined, protocol: 4 },
      { prefix: '192.168.7.0/24', link: 'en0', table: 254, gateway: undefined, protocol: 2 },
    ]);
  });

  it('counts what could not be read of all three', async () => {
    const mac = new FakeMac({
      [IFCONFIG_LIST]: { ...OK, stdout: `${LINKS}\n\tinet what` },
      [NETSTAT_4]: { ...OK, stdout: `${ROUTES_4}\nwhat link#4 UC en0` },
      [NETSTAT_6]: { ...OK, stdout: `${ROUTES_6}\nwhat` },
    });
    expect(await new MacosInterfaces(mac).readHost()).toMatchObject({ unreadCount: 3 });
  });

  it('is told although a link went away meanwhile', async () => {
    const stderr = 'ifconfig: ioctl(SIOCGIFAFLAG_IN6): Device not configured\n';
    const mac = new FakeMac({ [IFCONFIG_LIST]: { status: 0, stdout: LINKS, stderr } });
    expect((await new MacosInterfaces(mac).readHost()).links).toHaveLength(2);
  });

  it.each<readonly [string, string, CommandResult, string]>([
    ['ifconfig fails', IFCONFIG_LIST, REFUSED, 'macos/no-privilege'],
    ['ifconfig hangs', IFCONFIG_LIST, KILLED, 'macos/command-failed'],
    ['ifconfig writes nothing', IFCONFIG_LIST, OK, 'macos/unknown-output'],
    ['netstat fails', NETSTAT_4, { ...OK, status: 1 }, 'macos/command-failed'],
    ['netstat writes nothing', NETSTAT_4, OK, 'macos/unknown-output'],
    ['netstat writes something else', NETSTAT_6, { ...OK, stdout: 'what' }, 'macos/unknown-output'],
  ])('is not known when %s', async (_, command, answer, code) => {
    const failure = await failureOf(new MacosInterfaces(new FakeMac({ [command]: answer })).readHost());
    expect(failure).toBeInstanceOf(MacosError);
    expect(failure).toMatchObject({ code });
  });

  it.skipIf(process.platform !== 'darwin')('is told by a Mac (macOS)', async () => {
    const host = await new MacosInterfaces().readHost();
    expect(host.addresses).toContainEqual(expect.objectContaining({ link: 'lo0', cidr: '127.0.0.1/8' }));
    expect(host.routes).toContainEqual(expect.objectContaining({ link: 'lo0', prefix: '127.0.0.0/8' }));
    expect(host.unreadCount).toBe(0);
  });
});

describe('a device', () => {
  it('gets its addresses and the route of its network', async () => {
    const mac = new FakeMac();
    const tun = await new MacosInterfaces(mac).makeTun(PLAN);
    expect(tun).toMatchObject({ name: 'utun3', fd: 11 });
    expect(mac.log).toEqual(['open undefined', SET_4, SET_6, ADD_ROUTE]);
    expect(mac.closeCount).toBe(0);
    new MacosInterfaces(mac).removeTun(tun);
    expect(mac.closeCount).toBe(1);
  });

  it('has the name that was asked for, and no IPv6 unless it was', async () => {
    const mac = new FakeMac();
    await new MacosInterfaces(mac).makeTun({
      ...PLAN,
      name: 'utun7',
      address: '10.0.0.9',
      prefixBits: 30,
      address6: undefined,
    });
    expect(mac.log).toEqual([
      'open utun7',
      '/sbin/ifconfig utun7 inet 10.0.0.9 10.0.0.9 netmask 255.255.255.252 mtu 1300 up',
      '/sbin/route -n add -net 10.0.0.8/30 -interface utun7',
    ]);
  });

  it.each<readonly [string, string, CommandResult, string]>([
    ['its address is refused', SET_4, REFUSED, 'macos/no-privilege'],
    ['its MTU is refused', SET_4, BAD_MTU, 'macos/command-failed'],
    ['ifconfig hangs', SET_4, KILLED, 'macos/command-failed'],
    ['its IPv6 address is refused', SET_6, { ...REFUSED, stderr: '' }, 'macos/command-failed'],
    ['its route is there already', ADD_ROUTE, ROUTE_EXISTS, 'macos/command-failed'],
    [
      'routes need root',
      ADD_ROUTE,
      { ...OK, status: 77, stderr: 'route: must be root to alter\n' },
      'macos/no-privilege',
    ],
  ])('is removed, and nothing else is, when %s', async (_, command, answer, code) => {
    const mac = new FakeMac({ [command]: answer });
    const failure = await failureOf(new MacosInterfaces(mac).makeTun(PLAN));
    expect(failure).toMatchObject({ code, message: expect.stringContaining(`"${command}"`) });
    expect(mac.closeCount).toBe(1);
    expect(mac.log.at(-1)).toBe(command);
  });

  it('is not set up when it cannot be made', async () => {
    const mac = new FakeMac();
    mac.openFailure = new MacosError('utun/busy', 'Another program has the device');
    expect(await failureOf(new MacosInterfaces(mac).makeTun(PLAN))).toBe(mac.openFailure);
    expect(mac.log).toEqual(['open undefined']);
  });

  it.each<readonly [string, Partial<TunPlan>]>([
    ['an address of IPv6', { address: 'fd00::1' }],
    ['an address that is none', { address: '10.0.0.1 up' }],
    ['too many bits', { prefixBits: 33 }],
    ['a bad IPv6 address', { address6: '-alias' }],
    ['a bad MTU', { mtu: 1.5 }],
    ['the name of an option', { name: '-a' }],
  ])('is not even opened for %s', async (_, part) => {
    const mac = new FakeMac();
    expect(await failureOf(new MacosInterfaces(mac).makeTun({ ...PLAN, ...part }))).toBeInstanceOf(RangeError);
    expect(mac.log).toEqual([]);
  });
});

describe('an address of lo0', () => {
  it.each([
    ['with its network', '10.2.0.1', 24, '/sbin/ifconfig lo0 inet 10.2.0.1 netmask 255.255.255.0 alias'],
    [
      'as a host where the network is there',
      '10.1.0.2',
      24,
      '/sbin/ifconfig lo0 inet 10.1.0.2 netmask 255.255.255.255 alias',
    ],
    [
      'with its network within a wider one',
      '127.9.0.1',
      24,
      '/sbin/ifconfig lo0 inet 127.9.0.1 netmask 255.255.255.0 alias',
    ],
    [
      'with a network that another link has',
      '192.168.7.9',
      24,
      '/sbin/ifconfig lo0 inet 192.168.7.9 netmask 255.255.255.0 alias',
    ],
    ['of IPv6', 'FD00:1:0::1', 64, '/sbin/ifconfig lo0 inet6 fd00:1::1 prefixlen 64 alias'],
  ])('is added %s', async (_, address, prefixBits, command) => {
    const mac = new FakeMac();
    await new MacosInterfaces(mac).addAlias({ address, prefixBits });
    expect(mac.log).toEqual([IFCONFIG_LIST, command]);
  });

  it.each(['10.1.0.1', '192.168.7.5', '0:0::1'])('is left alone when the machine has %s', async (address) => {
    const mac = new FakeMac();
    const failure = await failureOf(new MacosInterfaces(mac).addAlias({ address, prefixBits: 24 }));
    expect(failure).toMatchObject({ code: 'macos/address-taken' });
    expect(mac.log).toEqual([IFCONFIG_LIST]);
  });

  it.each<readonly [string, CommandResult, string]>([
    ['refuses', REFUSED, 'macos/no-privilege'],
    ['hangs', KILLED, 'macos/command-failed'],
    ['complains', BAD_MTU, 'macos/command-failed'],
  ])('is taken back when ifconfig %s', async (_, answer, code) => {
    const add = '/sbin/ifconfig lo0 inet 10.2.0.1 netmask 255.255.255.0 alias';
    const mac = new FakeMac({ [add]: answer });
    expect(await failureOf(new MacosInterfaces(mac).addAlias({ address: '10.2.0.1', prefixBits: 24 }))).toMatchObject({
      code,
    });
    expect(mac.log.slice(1)).toEqual([add, '/sbin/ifconfig lo0 inet -alias 10.2.0.1']);
  });

  it('is not added when the addresses are not known', async () => {
    const mac = new FakeMac({ [IFCONFIG_LIST]: KILLED });
    const failure = await failureOf(new MacosInterfaces(mac).addAlias({ address: '10.2.0.1', prefixBits: 24 }));
    expect(failure).toMatchObject({ code: 'macos/command-failed' });
    expect(mac.log).toEqual([IFCONFIG_LIST]);
  });

  it.each([
    ['10.1.0.1', '/sbin/ifconfig lo0 inet -alias 10.1.0.1'],
    ['fd00:0::1', '/sbin/ifconfig lo0 inet6 -alias fd00::1'],
  ])('is removed: %s', async (address, command) => {
    const mac = new FakeMac();
    await new MacosInterfaces(mac).removeAlias(address);
    expect(mac.log).toEqual([command]);
  });

  it('may be gone before it is removed', async () => {
    const command = '/sbin/ifconfig lo0 inet -alias 10.1.0.1';
    await expect(
      new MacosInterfaces(new FakeMac({ [command]: NOT_THERE })).removeAlias('10.1.0.1'),
    ).resolves.toBeUndefined();
    const failure = await failureOf(new MacosInterfaces(new FakeMac({ [command]: REFUSED })).removeAlias('10.1.0.1'));
    expect(failure).toMatchObject({ code: 'macos/no-privilege' });
  });

  it.each(['', '-a', 'lo0', '10.1.0.1/24'])('is not "%s"', async (address) => {
    const mac = new FakeMac();
    expect(await failureOf(new MacosInterfaces(mac).addAlias({ address, prefixBits: 24 }))).toBeInstanceOf(RangeError);
    expect(await failureOf(new MacosInterfaces(mac).removeAlias(address))).toBeInstanceOf(RangeError);
    expect(mac.log).toEqual([]);
  });
});
