import { execFileSync } from 'node:child_process';
import type { NetlinkEvent } from '@heddle/host/netlink/event';
import type { Link } from '@heddle/host/netlink/link';
import { Netlink } from '@heddle/host/netlink/netlink';
import { type NetlinkChanges, NetlinkEvents } from '@heddle/host/netlink/netlink-events';
import type { Route } from '@heddle/host/netlink/route';
import { beforeEach, describe, expect, it } from 'vitest';
import { withNetworkNamespace } from '../../../host/test/network-namespace.ts';
import { seededRng } from '../../../proto/test/seeded-rng.ts';
import { LinuxTables } from './linux-tables.ts';

const LINK: Link = {
  index: 7,
  name: 'tun0',
  kind: 'tun',
  isUp: true,
  isRunning: true,
  hasCarrier: true,
  mtu: 1500,
  alias: undefined,
  group: 77,
  masterIndex: undefined,
};
const ROUTE: Route = {
  family: 4,
  table: 254,
  prefix: '10.0.0.0/24',
  linkIndex: 7,
  gateway: undefined,
  source: '10.0.0.1',
  protocol: 2,
  metric: 0,
  type: 'unicast',
};

let changes: NetlinkChanges[];
let reads: string[];
let tables: LinuxTables;

beforeEach(() => {
  changes = [];
  reads = [];
  const read = <T>(name: string, entries: T[]): T[] => {
    reads.push(name);
    return entries;
  };
  tables = new LinuxTables(
    {
      links: () => read('links', [LINK]),
      addresses: () => read('addresses', []),
      routes: () => read('routes', [ROUTE]),
    },
    { drain: () => changes.shift() ?? { events: [], isOverrun: false } },
  );
});

/** What is read of the kernel when everything is asked for. */
function look(...events: NetlinkEvent[]): string[] {
  reads.length = 0;
  if (events.length > 0) changes.push({ events, isOverrun: false });
  tables.refresh();
  for (const list of [tables.links(), tables.addresses(), tables.routes()]) for (const _ of list);
  return reads;
}

describe('the tables', () => {
  beforeEach(() => void look());

  it('are read once, and not again while nothing happens', () => {
    const { version } = tables;
    expect(look()).toEqual([]);
    expect(tables.version).toBe(version);
  });

  it('take new entries from events', () => {
    const link = { ...LINK, index: 8, name: 'tun1', isUp: false };
    const { version } = tables;
    expect(look({ kind: 'link', isGone: false, isPartial: false, link })).toEqual([]);
    expect(tables.findLink(8)).toEqual(link);
    expect(tables.version).not.toBe(version);
    expect(look({ kind: 'route', isGone: false, route: { ...ROUTE, prefix: '10.1.0.0/24' } })).toEqual([]);
    expect([...tables.routes()].map(({ prefix }) => prefix)).toEqual(['10.0.0.0/24', '10.1.0.0/24']);
  });

  it('lose everything of a link that goes', () => {
    expect(look({ kind: 'link', isGone: true, isPartial: false, link: LINK })).toEqual([]);
    expect([[...tables.links()], [...tables.routes()]]).toEqual([[], []]);
  });

  it('are read again after an overrun, the routes once more at the next look', () => {
    changes.push({ events: [], isOverrun: true });
    expect(look()).toEqual(['links', 'addresses', 'routes']);
    expect(look()).toEqual(['routes']);
    expect(look()).toEqual([]);
  });

  it('read links again when only a bridge speaks of one', () => {
    expect(look({ kind: 'link', isGone: false, isPartial: true, link: LINK })).toEqual(['links']);
  });

  it.each<[string, NetlinkEvent]>([
    ['a link is switched off', { kind: 'link', isGone: false, isPartial: false, link: { ...LINK, isUp: false } }],
    ['somebody changes a route', { kind: 'route', isGone: false, route: { ...ROUTE, protocol: 3 } }],
  ])('read the routes again, twice, when %s', (_, event) => {
    expect(look(event)).toEqual(['routes']);
    expect(look()).toEqual(['routes']);
    expect(look()).toEqual([]);
  });
});

describe('the tables of a kernel', () => {
  const LINKS = ['a0', 'a1', 'a2', 'a3'];

  it('are those that are read anew, after every one of 300 changes', ({ skip }) => {
    const refusal = withNetworkNamespace(() => {
      // What the kernel does by itself for IPv6 comes at any time.
      execFileSync('sysctl', ['-qw', 'net.ipv6.conf.all.disable_ipv6=1'], { stdio: 'pipe' });
      const netlink = Netlink.open();
      const events = NetlinkEvents.open();
      const kept = new LinuxTables(netlink, events);
      try {
        for (const line of randomChanges(300)) {
          change(line);
          kept.refresh();
          expect(sorted(kept.links()), line).toEqual(sorted(netlink.links()));
          expect(sorted(kept.addresses()), line).toEqual(sorted(netlink.addresses()));
          expect(sorted(kept.routes()), line).toEqual(sorted(netlink.routes()));
        }
      } finally {
        netlink.close();
        events.close();
      }
    });
    if (refusal !== undefined) skip(refusal);
  }, 60_000);

  function* randomChanges(count: number): Generator<string> {
    const rng = seededRng(5);
    const bytes = new Uint8Array(1);
    const pick = <T>(choices: readonly T[]): T => {
      rng.fill(bytes);
      return choices[(bytes[0] ?? 0) % choices.length] as T;
    };
    for (let i = 0; i < count; i++) {
      const link = pick(LINKS);
      const net = pick(['10.1', '10.2', '10.3']);
      yield pick([
        `link add ${link} type bridge`,
        `link add ${link} type bridge`,
        `tuntap add dev ${link} mode tun`,
        `link set ${link} up`,
        `link set ${link} up`,
        `link set ${link} down`,
        `link set ${link} mtu ${pick([1400, 1500])} alias ${pick(['x', 'y'])}`,
        `link set ${link} name ${pick(LINKS)}`,
        `link set ${link} master ${pick(LINKS)}`,
        `link set ${link} nomaster`,
        `link del ${link}`,
        `addr add ${net}.0.1/16 dev ${link}`,
        `addr add ${net}.0.2/16 dev ${link}`,
        `addr del ${net}.0.1/16 dev ${link}`,
        `route add ${net}.128.0/24 dev ${link}`,
        `route replace ${net}.128.0/24 dev ${pick(LINKS)}`,
        `route add 10.9.0.0/16 via ${net}.0.7`,
        `route del 10.9.0.0/16`,
        `route flush dev ${link}`,
      ]);
    }
  }

  // Most of the changes are possible only now and then; those that are refused change nothing.
  function change(line: string): void {
    try {
      execFileSync('ip', line.split(' '), { stdio: 'pipe' });
    } catch {}
  }

  /** What comes up to a second later, or of a link that is off not at all. */
  function untold(entry: object): object {
    const isOff = 'isUp' in entry && entry.isUp === false;
    return { isRunning: undefined, hasCarrier: undefined, ...(isOff ? { alias: undefined } : {}) };
  }

  function sorted(entries: Iterable<object>): string[] {
    return Array.from(entries, (entry) => JSON.stringify({ ...entry, ...untold(entry) })).sort();
  }
});
