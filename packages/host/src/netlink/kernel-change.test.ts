/** What iproute2 shows after the changes of this folder, in a namespace of the test. */

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { withNetworkNamespace } from '../../test/network-namespace.ts';
import type { Link } from './link.ts';
import { Netlink } from './netlink.ts';
import { NetlinkError } from './netlink-error.ts';

const GROUP = 4711;
const BROADCAST = '10.1.0.255';

let refusal: string | undefined;
beforeAll(() => {
  refusal = withNetworkNamespace(() => void ip('link', 'add', 'name', 'br0', 'type', 'bridge'));
});

function inNamespace(name: string, test: (netlink: Netlink) => void): void {
  it(name, ({ skip }) => {
    if (refusal !== undefined) skip(refusal);
    const reason = withNetworkNamespace(() => {
      const netlink = Netlink.open();
      try {
        test(netlink);
      } finally {
        netlink.close();
      }
    });
    expect(reason).toBeUndefined();
  });
}

function ip(...args: readonly string[]): Record<string, unknown>[] {
  const text = execFileSync('ip', ['-N', '-j', '-d', ...args], { encoding: 'utf8', stdio: 'pipe' });
  return (text.trim() === '' ? [] : JSON.parse(text)) as Record<string, unknown>[];
}

function errnoOf(call: () => void): string | undefined {
  try {
    call();
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    expect(error.code).toBe('netlink/refused');
    return error.errno;
  }
  return undefined;
}

function findLink(netlink: Netlink, name: string): Link {
  const link = netlink.links().find((candidate) => candidate.name === name);
  if (link === undefined) throw new Error(`No link "${name}"`);
  return link;
}

function addBridge(netlink: Netlink, name: string): number {
  netlink.addLink({ name, kind: 'bridge', group: GROUP });
  const { index } = findLink(netlink, name);
  netlink.changeLink(index, { isUp: true });
  return index;
}

describe('a link', () => {
  inNamespace('of each kind that this kernel has is made with its group, and is deleted', (netlink) => {
    for (const kind of ['bridge', 'ifb', 'dummy']) {
      const errno = errnoOf(() => netlink.addLink({ name: `${kind}9`, kind, group: GROUP }));
      if (kind !== 'bridge' && errno === 'EOPNOTSUPP') continue; // A kernel without the module.
      expect(errno).toBeUndefined();
      expect(ip('link', 'show', `${kind}9`)).toMatchObject([
        { ifname: `${kind}9`, group: `${GROUP}`, linkinfo: { info_kind: kind } },
      ]);
      const link = findLink(netlink, `${kind}9`);
      expect(link).toMatchObject({ kind, group: GROUP, isUp: false, alias: undefined, masterIndex: undefined });
      netlink.deleteLink(link.index);
      expect(netlink.links().map(({ name }) => name)).toEqual(['lo']);
    }
  });

  inNamespace('is refused by name, by kind, and when it is gone', (netlink) => {
    netlink.addLink({ name: 'br0', kind: 'bridge', group: GROUP });
    expect(errnoOf(() => netlink.addLink({ name: 'br0', kind: 'bridge', group: 0 }))).toBe('EEXIST');
    expect(errnoOf(() => netlink.addLink({ name: 'br1', kind: 'nonsense', group: 0 }))).toBe('EOPNOTSUPP');
    expect(errnoOf(() => netlink.deleteLink(999))).toBe('ENODEV');
    expect(errnoOf(() => netlink.deleteLink(1))).toBe('EOPNOTSUPP');
    expect(errnoOf(() => netlink.changeLink(999, { isUp: true }))).toBe('ENODEV');
    expect(netlink.links().map(({ name, group }) => [name, group])).toEqual([
      ['lo', 0],
      ['br0', GROUP],
    ]);
  });

  inNamespace('changes in what is given and in nothing else', (netlink) => {
    netlink.addLink({ name: 'br0', kind: 'bridge', group: GROUP });
    const made = findLink(netlink, 'br0');
    const now = (): Link => findLink(netlink, 'br0');
    netlink.changeLink(made.index, {});
    expect(now()).toEqual(made);
    netlink.changeLink(made.index, { alias: 'heddle:ö 1', mtu: 1400 });
    expect(now()).toEqual({ ...made, alias: 'heddle:ö 1', mtu: 1400 });
    expect(ip('link', 'show', 'br0')).toMatchObject([{ ifalias: 'heddle:ö 1', mtu: 1400, group: `${GROUP}` }]);
    netlink.changeLink(made.index, { isUp: true, group: 12 });
    expect(now()).toMatchObject({ isUp: true, isRunning: true, group: 12, alias: 'heddle:ö 1', mtu: 1400 });
    netlink.changeLink(made.index, { isUp: false, alias: 'x'.repeat(255) });
    expect(now()).toMatchObject({ isUp: false, alias: 'x'.repeat(255) });
    netlink.changeLink(made.index, { alias: '' });
    expect(now()).toEqual({ ...made, mtu: 1400, group: 12 });
    expect(errnoOf(() => netlink.changeLink(made.index, { mtu: 1 }))).toBe('EINVAL');
    expect(now().mtu).toBe(1400);
    expect(findLink(netlink, 'lo')).toMatchObject({ isUp: false, group: 0 });
  });
});

describe('an address', () => {
  inNamespace('of IPv4 comes with its broadcast and its route, and goes', (netlink) => {
    const linkIndex = addBridge(netlink, 'br0');
    const address = { linkIndex, address: '10.1.0.1', prefixBits: 24, broadcast: BROADCAST };
    netlink.addAddress(address);
    netlink.addAddress({ ...address, address: '10.2.0.1', broadcast: undefined });
    const shown = ip('-4', 'addr', 'show', 'br0')[0]?.['addr_info'] as object[];
    expect(shown).toMatchObject([
      { local: '10.1.0.1', prefixlen: 24, broadcast: BROADCAST, scope: '0' },
      { local: '10.2.0.1', prefixlen: 24 },
    ]);
    expect(shown[1]).not.toHaveProperty('broadcast');
    expect(ip('route').map(({ dst }) => dst)).toEqual(['10.1.0.0/24', '10.2.0.0/24']);
    expect(errnoOf(() => netlink.addAddress(address))).toBe('EEXIST');
    netlink.deleteAddress(address);
    expect(errnoOf(() => netlink.deleteAddress(address))).toBe('EADDRNOTAVAIL');
    expect(netlink.addresses().map((entry) => entry.address)).not.toContain('10.1.0.1');
    expect(errnoOf(() => netlink.addAddress({ ...address, linkIndex: 999 }))).toBe('ENODEV');
  });

  inNamespace('of IPv6 is usable at once, and goes as it was read', (netlink) => {
    const linkIndex = addBridge(netlink, 'br0');
    netlink.addAddress({ linkIndex, address: 'FD00:1::01', prefixBits: 64, broadcast: undefined });
    const shown = ip('-6', 'addr', 'show', 'br0')[0]?.['addr_info'] as { local: string }[];
    expect(shown.find(({ local }) => local === 'fd00:1::1')).toMatchObject({ prefixlen: 64, nodad: true });
    const read = netlink.addresses().find((entry) => entry.address === 'fd00:1::1');
    expect(read).toMatchObject({ linkIndex, prefixBits: 64, scope: 'global', isTentative: false });
    netlink.deleteAddress(read!);
    expect(errnoOf(() => netlink.deleteAddress(read!))).toBe('EADDRNOTAVAIL');
    netlink.changeLink(linkIndex, { mtu: 1279 });
    expect(errnoOf(() => netlink.addAddress({ ...read!, broadcast: undefined }))).toBe('EINVAL');
  });

  inNamespace('and the routes of it go with their link', (netlink) => {
    const linkIndex = addBridge(netlink, 'br0');
    netlink.addAddress({ linkIndex, address: '10.1.0.1', prefixBits: 24, broadcast: BROADCAST });
    netlink.deleteLink(linkIndex);
    expect(netlink.addresses()).toEqual([]);
    expect(netlink.routes().filter(({ family }) => family === 4)).toEqual([]);
  });
});

describe('a route', () => {
  inNamespace('is in the table it was given, and goes', (netlink) => {
    const linkIndex = addBridge(netlink, 'br0');
    netlink.addAddress({ linkIndex, address: '10.1.0.1', prefixBits: 24, broadcast: undefined });
    netlink.addAddress({ linkIndex, address: 'fd00:1::1', prefixBits: 64, broadcast: undefined });
    const ROUTES = [
      { prefix: '10.9.0.0/16', linkIndex, gateway: '10.1.0.2', table: 1052, protocol: 200, metric: 100 },
      { prefix: '10.8.0.0/16', linkIndex, gateway: undefined, table: 254, protocol: 4, metric: 0 },
      { prefix: '0.0.0.0/0', linkIndex, gateway: '10.1.0.3', table: 52, protocol: 3, metric: 5 },
      { prefix: 'fd00:9::/48', linkIndex, gateway: 'fd00:1::2', table: 1052, protocol: 200, metric: 7 },
      { prefix: '::/0', linkIndex, gateway: undefined, table: 254, protocol: 4, metric: 9 },
    ];
    for (const route of ROUTES) {
      netlink.addRoute(route);
      expect(netlink.routes()).toContainEqual(expect.objectContaining({ ...route, type: 'unicast' }));
      expect(errnoOf(() => netlink.addRoute(route))).toBe('EEXIST');
    }
    expect(ip('route', 'show', 'table', '1052')).toMatchObject([
      { dst: '10.9.0.0/16', gateway: '10.1.0.2', dev: 'br0', protocol: '200', metric: 100 },
    ]);
    for (const route of ROUTES) {
      netlink.deleteRoute(route);
      expect(errnoOf(() => netlink.deleteRoute(route))).toBe('ESRCH');
    }
    // The kernel makes routes of its own for IPv6 when it comes to it.
    const left = netlink
      .routes()
      .filter(({ table, prefix }) => ROUTES.some((r) => r.table === table && r.prefix === prefix));
    expect(left).toEqual([]);
  });

  inNamespace('of somebody else is not deleted, and one to nowhere is refused', (netlink) => {
    const linkIndex = addBridge(netlink, 'br0');
    netlink.addAddress({ linkIndex, address: '10.1.0.1', prefixBits: 24, broadcast: undefined });
    const route = { prefix: '10.9.0.0/16', linkIndex, table: 254, protocol: 200, metric: 0 };
    netlink.addRoute(route);
    expect(errnoOf(() => netlink.deleteRoute({ ...route, protocol: 4 }))).toBe('ESRCH');
    expect(errnoOf(() => netlink.deleteRoute({ ...route, linkIndex: 999 }))).toBe('ESRCH');
    expect(errnoOf(() => netlink.addRoute({ ...route, linkIndex: 999 }))).toBe('ENODEV');
    expect(errnoOf(() => netlink.addRoute({ ...route, metric: 1, gateway: '10.77.0.1' }))).toBe('ENETUNREACH');
    netlink.changeLink(linkIndex, { isUp: false });
    expect(errnoOf(() => netlink.addRoute({ ...route, metric: 2 }))).toBe('ENETDOWN');
  });
});

describe('a Netlink that changes things', () => {
  inNamespace('keeps one descriptor', (netlink) => {
    netlink.links();
    const before = readdirSync('/proc/self/fd').length;
    for (let count = 0; count < 50; count++) {
      const linkIndex = addBridge(netlink, 'br0');
      netlink.addAddress({ linkIndex, address: '10.1.0.1', prefixBits: 24, broadcast: undefined });
      expect(errnoOf(() => netlink.addLink({ name: 'br0', kind: 'bridge', group: 0 }))).toBe('EEXIST');
      netlink.deleteLink(linkIndex);
    }
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});
