/** What iproute2 says about the same tables: of a recorded kernel, and of the one below in a namespace of the test. */

import { execFileSync } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { withNetworkNamespace } from '../../test/network-namespace.ts';
import type { Address } from './address.ts';
import type { Link } from './link.ts';
import { Netlink } from './netlink.ts';
import type { Route } from './route.ts';
import type { NetlinkSocket } from './route-socket.ts';
import recorded from './test-vectors/recorded.json' with { type: 'json' };

interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly ifalias?: string;
  readonly group: string;
  readonly master?: string;
  readonly linkinfo?: { readonly info_kind?: string };
}

interface IpAddressInfo {
  readonly family?: string;
  readonly local?: string;
  readonly prefixlen?: number;
  readonly scope?: string;
  readonly tentative?: boolean;
}

interface IpHop {
  readonly dev?: string;
  readonly gateway?: string;
  readonly via?: { readonly host: string };
}

interface IpRoute extends IpHop {
  readonly dst: string;
  readonly table?: string;
  readonly protocol?: string;
  readonly prefsrc?: string;
  readonly metric?: number;
  readonly type?: string;
  /** Only IPv6 has it. */
  readonly pref?: string;
  readonly nexthops?: readonly IpHop[];
}

interface IpTables {
  readonly link: readonly IpLink[];
  readonly address: readonly { readonly ifindex: number; readonly addr_info: readonly object[] }[];
  readonly route: readonly IpRoute[];
}

interface Tables {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  readonly routes: readonly Route[];
}

const SCOPES = new Map([
  ['0', 'global'],
  ['253', 'link'],
  ['254', 'host'],
] as const);
const TYPES = [
  '',
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
];

function fromIp(ip: IpTables): object {
  return {
    links: ip.link.map((link) => fromIpLink(link, ip.link)),
    addresses: ip.address.flatMap(({ ifindex, addr_info }) =>
      addr_info.map((info) => fromIpAddress(ifindex, info as IpAddressInfo)),
    ),
    routes: ip.route.flatMap((route) => (route.nexthops ?? [route]).map((hop) => fromIpRoute(route, hop, ip.link))),
  };
}

function fromIpLink(link: IpLink, links: readonly IpLink[]): object {
  const isUp = link.flags.includes('UP');
  return {
    index: link.ifindex,
    name: link.ifname,
    kind: link.linkinfo?.info_kind,
    isUp,
    isRunning: isUp && !link.flags.includes('NO-CARRIER'),
    // Of a link that is off iproute2 does not say it.
    hasCarrier: isUp ? link.flags.includes('LOWER_UP') : expect.any(Boolean),
    mtu: link.mtu,
    alias: link.ifalias,
    group: Number(link.group),
    masterIndex: links.find(({ ifname }) => ifname === link.master)?.ifindex,
  };
}

function fromIpAddress(linkIndex: number, info: IpAddressInfo): object {
  return {
    linkIndex,
    family: info.family === 'inet' ? 4 : 6,
    address: info.local,
    prefixBits: info.prefixlen,
    scope: SCOPES.get(info.scope as '0'),
    isTentative: info.tentative === true,
  };
}

// iproute2 leaves out the usual: table main, protocol boot, type unicast, the length of a host prefix.
function fromIpRoute(route: IpRoute, hop: IpHop, links: readonly IpLink[]): object {
  const family = route.pref === undefined ? 4 : 6;
  const dst = route.dst === 'default' ? (family === 4 ? '0.0.0.0/0' : '::/0') : route.dst;
  return {
    family,
    table: Number(route.table ?? 254),
    prefix: dst.includes('/') ? dst : `${dst}/${family === 4 ? 32 : 128}`,
    linkIndex: links.find((link) => link.ifname === hop.dev)?.ifindex,
    gateway: hop.gateway ?? hop.via?.host,
    source: route.prefsrc,
    protocol: Number(route.protocol ?? 3),
    metric: route.metric ?? 0,
    type: TYPES[Number(route.type ?? 1)],
  };
}

/** iproute2 groups addresses by link; the order of routes is the kernel's in both. */
function readTables(netlink: Netlink): Tables {
  const links = netlink.links();
  const addresses = netlink.addresses();
  const byLink = links.flatMap((link) => addresses.filter(({ linkIndex }) => linkIndex === link.index));
  expect(byLink.length).toBe(addresses.length);
  return { links, addresses: byLink, routes: netlink.routes() };
}

/** Answers each request with what the recorded kernel said, under the number of that request. */
function openRecorded(): NetlinkSocket {
  const answers = [recorded.link, recorded.address, recorded.route];
  const queue: Uint8Array[] = [];
  return {
    sendTo: (request) => {
      const answer = answers.find(({ request: known }) => known.slice(8, 12) === hexOf(request).slice(8, 12));
      for (const text of answer?.datagrams ?? [])
        queue.push(renumber(text, hexOf(request).slice(16, 24), answer?.request));
    },
    receive: (buffer) => {
      const datagram = queue.shift() ?? new Uint8Array(0);
      buffer.set(datagram);
      return { lengthBytes: datagram.length, sender: Uint8Array.of(16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) };
    },
    close: () => {},
  };
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function renumber(datagram: string, sequence: string, request = ''): Uint8Array {
  return Buffer.from(datagram.replaceAll(`0200${request.slice(16, 24)}`, `0200${sequence}`), 'hex');
}

describe('iproute2', () => {
  it('says the same about the recorded tables', () => {
    const tables = readTables(Netlink.open(openRecorded));
    expect(tables).toEqual(fromIp({ link: recorded.link.ip, address: recorded.address.ip, route: recorded.route.ip }));
    expect(tables.links.map(({ kind }) => kind)).toEqual([undefined, 'bridge', 'tun', 'veth', 'veth']);
    expect(tables.addresses.some(({ isTentative }) => isTentative)).toBe(true);
    expect(new Set(tables.routes.map(({ type }) => type)).size).toBeGreaterThanOrEqual(8);
  });

  it('says the same about the tables of this kernel', ({ skip }) => {
    const refusal = withNetworkNamespace(() => {
      for (const line of recorded.setup) execFileSync('/bin/sh', ['-ec', line], { stdio: 'pipe' });
      const netlink = Netlink.open();
      const [ours, theirs] = readAlike(netlink);
      netlink.close();
      expect(ours).toEqual(theirs);
      expect(ours.links.map(({ name }) => name).sort()).toEqual(['lan0', 'lo', 'neb0', 'v0', 'v1']);
    });
    if (refusal !== undefined) skip(refusal);
  });
});

const ATTEMPT_COUNT_MAX = 20;

/** Both views of the tables; read again while the kernel is changing them (duplicate address detection). */
function readAlike(netlink: Netlink): [Tables, object] {
  for (let attempt = 1; ; attempt++) {
    const ours = readTables(netlink);
    const theirs = fromIp({ link: ip('-d', 'link'), address: ip('addr'), route: ip('route', 'show', 'table', 'all') });
    if (isDeepStrictEqual(ours, readTables(netlink)) || attempt === ATTEMPT_COUNT_MAX) return [ours, theirs];
  }
}

function ip<Entry>(...args: readonly string[]): Entry[] {
  return JSON.parse(execFileSync('ip', ['-N', '-j', ...args], { encoding: 'utf8' })) as Entry[];
}
