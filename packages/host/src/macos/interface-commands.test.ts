import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addAlias,
  addRoute,
  addTunAddress6,
  type Command,
  deleteRoute,
  listLinks,
  listRoutes,
  removeAlias,
  setMtu,
  setTunAddress,
} from './interface-commands.ts';

describe('commands', () => {
  it.each<readonly [Command, string]>([
    [listLinks(), '/sbin/ifconfig -a'],
    [listRoutes(4), '/usr/sbin/netstat -rn -f inet'],
    [listRoutes(6), '/usr/sbin/netstat -rn -f inet6'],
    [
      setTunAddress({ link: 'utun3', address: '10.0.0.1', prefixBits: 24, mtu: 1300 }),
      '/sbin/ifconfig utun3 inet 10.0.0.1 10.0.0.1 netmask 255.255.255.0 mtu 1300 up',
    ],
    [
      addTunAddress6({ link: 'utun3', address: 'FD00:0::1', prefixBits: 64 }),
      '/sbin/ifconfig utun3 inet6 fd00::1 prefixlen 64 alias',
    ],
    [setMtu({ link: 'utun3', mtu: 1280 }), '/sbin/ifconfig utun3 mtu 1280'],
    [addRoute({ prefix: '10.0.0.0/24', link: 'utun3' }), '/sbin/route -n add -net 10.0.0.0/24 -interface utun3'],
    [addRoute({ prefix: 'fd00::/64', link: 'utun3' }), '/sbin/route -n add -inet6 -net fd00::/64 -interface utun3'],
    [deleteRoute({ prefix: '10.0.0.0/24', link: 'utun3' }), '/sbin/route -n delete -net 10.0.0.0/24 -interface utun3'],
    [addAlias({ address: '10.1.0.1', prefixBits: 20 }), '/sbin/ifconfig lo0 inet 10.1.0.1 netmask 255.255.240.0 alias'],
    [addAlias({ address: 'fd00::1', prefixBits: 64 }), '/sbin/ifconfig lo0 inet6 fd00::1 prefixlen 64 alias'],
    [removeAlias('10.1.0.1'), '/sbin/ifconfig lo0 inet -alias 10.1.0.1'],
    [removeAlias('fd00:0:0::1'), '/sbin/ifconfig lo0 inet6 -alias fd00::1'],
  ])('are lists of words: %#', (command, text) => {
    expect(command.join(' ')).toBe(text);
    expect(command).toEqual(text.split(' '));
  });
});

const tun = { link: 'utun3', address: '10.0.0.1', prefixBits: 24, mtu: 1300 };
const tun6 = { link: 'utun3', address: 'fd00::1', prefixBits: 64 };

describe('values that do not fit', () => {
  it.each<readonly [string, () => Command]>([
    ['a link that looks like an option', () => setTunAddress({ ...tun, link: '-a' })],
    ['a link with a blank', () => setMtu({ link: 'utun3 up', mtu: 1300 })],
    ['a link with a line break', () => setMtu({ link: 'utun3\n', mtu: 1300 })],
    ['a link without name', () => addRoute({ prefix: '10.0.0.0/24', link: '' })],
    ['a link with too long a name', () => deleteRoute({ prefix: '10.0.0.0/24', link: 'a123456789012345' })],
    ['an address that looks like an option', () => setTunAddress({ ...tun, address: '-alias' })],
    ['an address of the other family', () => setTunAddress({ ...tun, address: 'fd00::1' })],
    ['an IPv4 address for IPv6', () => addTunAddress6({ ...tun6, address: '10.0.0.1' })],
    ['an address with a zone', () => addTunAddress6({ ...tun6, address: 'fe80::1%utun3' })],
    ['too many bits', () => setTunAddress({ ...tun, prefixBits: 33 })],
    ['too many bits of IPv6', () => addTunAddress6({ ...tun6, prefixBits: 129 })],
    ['a fraction of bits', () => addAlias({ address: '10.1.0.1', prefixBits: 24.5 })],
    ['an MTU of nothing', () => setTunAddress({ ...tun, mtu: 0 })],
    ['an MTU that is no number', () => setMtu({ link: 'utun3', mtu: Number.NaN })],
    ['an MTU beyond IP', () => setMtu({ link: 'utun3', mtu: 65_536 })],
    ['a network with host bits', () => addRoute({ prefix: '10.0.0.1/24', link: 'utun3' })],
    ['a network without bits', () => addRoute({ prefix: '10.0.0.0', link: 'utun3' })],
    ['a network in other words', () => addRoute({ prefix: '10/8', link: 'utun3' })],
    ['a network with more behind it', () => addRoute({ prefix: '10.0.0.0/24/1', link: 'utun3' })],
    ['a network with a sign', () => addRoute({ prefix: '10.0.0.0/+24', link: 'utun3' })],
    ['the name of a host', () => addAlias({ address: 'localhost', prefixBits: 32 })],
    ['an option in place of an alias', () => removeAlias('-a')],
    ['an alias that is no address', () => removeAlias('fd00::1::')],
  ])('are refused: %s', (_, build) => {
    expect(build).toThrow(RangeError);
  });

  it('never get into a command', () => {
    const words = fc.oneof(
      fc.string(),
      fc.constantFrom('-a', '-interface', 'utun3', '10.0.0.0/8', '10.0.0.1', 'fd00::1'),
    );
    const options = new Set(['-n', '-net', '-inet6', '-interface', '-alias']);
    fc.assert(
      fc.property(words, words, fc.integer({ min: -1, max: 130 }), (link, address, prefixBits) => {
        const builders = [
          () => setTunAddress({ link, address, prefixBits, mtu: 1300 }),
          () => addTunAddress6({ link, address, prefixBits }),
          () => addRoute({ prefix: address, link }),
          () => deleteRoute({ prefix: address, link }),
          () => addAlias({ address, prefixBits }),
          () => removeAlias(address),
        ];
        for (const build of builders) {
          const strays = commandOrNothing(build).filter((word) => !/^[a-z0-9/][a-z0-9.:/]*$/i.test(word));
          const isLinkName = (word: string): boolean => word === link && /^[A-Za-z][A-Za-z0-9_]{0,14}$/.test(word);
          expect(strays.filter((word) => !options.has(word) && !/^::/.test(word) && !isLinkName(word))).toEqual([]);
        }
      }),
      // A link may be called so; once the test took it for a stray.
      { examples: [['A_', '10.0.0.0/8', 0]] },
    );
  });
});

function commandOrNothing(build: () => Command): readonly string[] {
  try {
    return build();
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError);
    return [];
  }
}
