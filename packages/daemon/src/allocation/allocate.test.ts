import { formatPrefix, type IpPrefix, parsePrefix } from '@heddle/proto/ip/prefix';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_HOST, nebula } from '../../test/plan-facts.ts';
import { hasOverlap } from '../plan/claimed-prefix.ts';
import type { HostRoute } from '../plan/host-facts.ts';
import { type Allocation, allocatePrefix, listFree } from './allocate.ts';
import { type BusyPrefix, type BusyPrefixes, type BusySources, readBusyPrefixes } from './busy-prefixes.ts';
import { judgeRequest } from './judge-request.ts';
import { KNOWN_POOLS } from './known-pools.ts';

const prefix = (text: string): IpPrefix => parsePrefix(text)!;
const POOL = [prefix('10.0.0.0/8')];
const NOTHING: BusySources = { host: EMPTY_HOST, teams: [], own: [] };

function busyOf(sources: Partial<BusySources>): BusyPrefixes {
  return readBusyPrefixes({ ...NOTHING, ...sources });
}

function withRoutes(...routes: readonly string[]): BusyPrefixes {
  const toRoute = (text: string): HostRoute => ({ prefix: text, link: 'eth0', table: 254, gateway: '192.0.2.1' });
  return busyOf({ host: { ...EMPTY_HOST, routes: routes.map(toRoute) } });
}

function textOf(allocation: Allocation): string {
  return allocation.kind === 'free' ? formatPrefix(allocation.prefix) : allocation.kind;
}

/** Without default networks of other programs. */
function plain(given: readonly BusyPrefix[]): BusyPrefixes {
  return {
    hard: given.filter(({ kind }) => kind === 'network'),
    soft: given.filter(({ kind }) => kind !== 'network'),
    unreadable: [],
  };
}

describe('an allocation', () => {
  it('on an empty machine is the first network of the pool', () => {
    expect(allocatePrefix({ pools: POOL, bits: 24, busy: busyOf({}) })).toEqual({
      kind: 'free',
      prefix: prefix('10.0.0.0/24'),
      warnings: [],
    });
  });

  it('goes around links, teams and what is given away', () => {
    const busy = busyOf({
      host: { ...EMPTY_HOST, addresses: [{ link: 'eth0', cidr: '10.0.0.7/24' }] },
      teams: [nebula('a', { networks: ['10.0.1.1/24'] })],
      own: [{ name: 'tun0', cidr: '10.0.4.0/24' }],
    });
    const free = listFree({ pools: POOL, bits: 24, busy, countMax: 3 });
    // 10.0.2.0 and 10.0.3.0 are those of QEMU and LXC.
    expect(free.map((one) => formatPrefix(one.prefix))).toEqual(['10.0.5.0/24', '10.0.6.0/24', '10.0.7.0/24']);
    expect(free.flatMap(({ warnings }) => warnings)).toEqual([]);
  });

  it('keeps away from what a narrow route leads to', () => {
    const busy = withRoutes('10.0.0.0/15', '0.0.0.0/0', '0.0.0.0/1');
    expect(textOf(allocatePrefix({ pools: POOL, bits: 24, busy }))).toBe('10.2.0.0/24');
  });

  it('takes the next pool rather than something doubtful', () => {
    const pools = [...POOL, prefix('192.168.200.0/22')];
    expect(textOf(allocatePrefix({ pools, bits: 24, busy: withRoutes('10.0.0.0/8') }))).toBe('192.168.200.0/24');
  });

  it('goes into a route that covers every pool, says so, and still keeps away from the rest', () => {
    const busy = withRoutes('10.0.0.0/8', '10.0.0.0/22');
    expect(allocatePrefix({ pools: POOL, bits: 24, busy })).toEqual({
      kind: 'free',
      prefix: prefix('10.0.4.0/24'),
      warnings: ['10.0.4.0/24 lies inside route 10.0.0.0/8 of link "eth0" through "192.0.2.1"'],
    });
  });

  it('takes the default network of another program in the end, and says so', () => {
    const pools = [prefix('10.0.0.0/22')];
    const free = listFree({ pools, bits: 24, busy: busyOf({}), countMax: 9 });
    expect(free.map((one) => [formatPrefix(one.prefix), one.warnings.length])).toEqual([
      ['10.0.0.0/24', 0],
      ['10.0.1.0/24', 0],
      ['10.0.2.0/24', 1],
      ['10.0.3.0/24', 1],
    ]);
    expect(free[2]?.warnings).toEqual([
      '10.0.2.0/24 is the same as default network 10.0.2.0/24 of QEMU and VirtualBox NAT',
    ]);
  });

  it('never takes a route of the same size or narrower, even as the last', () => {
    const pools = [prefix('10.64.0.0/23')];
    expect(textOf(allocatePrefix({ pools, bits: 24, busy: withRoutes('10.64.0.0/24') }))).toBe('10.64.1.0/24');
    const busy = withRoutes('10.64.0.0/24', '10.64.1.128/25');
    expect(allocatePrefix({ pools, bits: 24, busy })).toEqual({ kind: 'exhausted' });
    expect(textOf(allocatePrefix({ pools, bits: 25, busy }))).toBe('10.64.1.0/25');
  });

  it('is exhausted in a full pool, in a pool that is too small and without pools', () => {
    const own = [{ name: 'tun0', cidr: '10.0.0.0/8' }];
    expect(allocatePrefix({ pools: POOL, bits: 24, busy: busyOf({ own }) })).toEqual({ kind: 'exhausted' });
    expect(allocatePrefix({ pools: [prefix('10.1.0.0/24')], bits: 23, busy: busyOf({}) })).toEqual({
      kind: 'exhausted',
    });
    expect(allocatePrefix({ pools: [], bits: 24, busy: busyOf({}) })).toEqual({ kind: 'exhausted' });
  });

  it('works in IPv6, up to the narrowest size', () => {
    const pools = [prefix('fd12:3456:789a::/48')];
    const busy = busyOf({ own: [{ name: 'tun0', cidr: 'fd12:3456:789a::1/64' }] });
    expect(textOf(allocatePrefix({ pools, bits: 64, busy }))).toBe('fd12:3456:789a:1::/64');
    expect(textOf(allocatePrefix({ pools, bits: 126, busy }))).toBe('fd12:3456:789a:1::/126');
    expect(textOf(allocatePrefix({ pools, bits: 48, busy: busyOf({}) }))).toBe('fd12:3456:789a::/48');
  });

  it('does not give a network twice out of pools that overlap', () => {
    const pools = [prefix('10.64.0.0/23'), prefix('10.64.0.0/22'), prefix('10.64.0.0/23')];
    const free = listFree({ pools, bits: 24, busy: busyOf({}), countMax: 9 });
    expect(free.map((one) => formatPrefix(one.prefix))).toEqual([0, 1, 2, 3].map((i) => `10.64.${i}.0/24`));
  });

  it('fails for a size that the family of a pool does not have', () => {
    expect(() => allocatePrefix({ pools: POOL, bits: 64, busy: busyOf({}) })).toThrow(RangeError);
  });
});

const anyKind = fc.constantFrom<BusyPrefix['kind']>('network', 'route', 'hint');
const anyBusy = fc
  .tuple(fc.nat(31), fc.constantFrom(8, 16, 18, 19, 20, 21, 22, 23, 24, 25, 32), anyKind)
  .map(([third, bits, kind]): BusyPrefix => {
    const value = ((10 << 24) | (third << 8)) & (0xff_ff_ff_ff << (32 - bits));
    const one = prefix(`10.0.${(value >> 8) & 255}.0/${bits}`);
    return { prefix: one, kind: bits <= 16 ? 'route' : kind, source: 'route', whose: `${kind} ${formatPrefix(one)}` };
  });
const anyPools = fc.subarray(['10.0.0.0/20', '10.0.8.0/21', '10.0.16.0/20', '10.0.30.0/23'].map(prefix), {
  minLength: 1,
});

describe('allocations one after the other', () => {
  it('are those that the list foretells, inside the pools, refused by nobody and apart from each other', () => {
    fc.assert(
      fc.property(
        anyPools,
        fc.integer({ min: 20, max: 26 }),
        fc.array(anyBusy, { maxLength: 12 }),
        (pools, bits, all) => {
          const foretold = listFree({ pools, bits, busy: plain(all), countMax: 12 });
          const given: IpPrefix[] = [];
          const now = [...all];
          for (let i = 0; i < 12; i++) {
            const allocation = allocatePrefix({ pools, bits, busy: plain(now) });
            if (allocation.kind === 'exhausted') break;
            expect(allocation).toEqual({ kind: 'free', ...foretold[i] });
            const { prefix: one } = allocation;
            expect(judgeRequest(one, plain(now)).refusals).toEqual([]);
            expect(pools.some((pool) => pool.bits <= one.bits && hasOverlap(pool, one))).toBe(true);
            expect(given.filter((other) => hasOverlap(other, one))).toEqual([]);
            given.push(one);
            now.push({ prefix: one, kind: 'network', source: 'reserved', whose: 'new' });
          }
          expect(given).toHaveLength(foretold.length);
        },
      ),
    );
  });

  it('warn of all that the judge warns of, also those that are not judged', () => {
    fc.assert(
      fc.property(fc.integer({ min: 20, max: 26 }), fc.array(anyBusy, { maxLength: 12 }), (bits, all) => {
        const free = listFree({ pools: [prefix('10.0.0.0/20')], bits, busy: plain(all), countMax: 64 });
        for (const one of free)
          expect(judgeRequest(one.prefix, plain(all))).toEqual({ refusals: [], warnings: one.warnings });
      }),
    );
  });

  it('leave nothing out: what is not given would be refused', () => {
    fc.assert(
      fc.property(fc.integer({ min: 20, max: 25 }), fc.array(anyBusy, { maxLength: 12 }), (bits, all) => {
        const places = listFree({ pools: [prefix('10.0.0.0/20')], bits, busy: plain([]), countMax: 64 });
        const free = listFree({ pools: [prefix('10.0.0.0/20')], bits, busy: plain(all), countMax: 64 });
        const allowed = places.filter((place) => judgeRequest(place.prefix, plain(all)).refusals.length === 0);
        const texts = (list: typeof places): string[] => list.map((one) => formatPrefix(one.prefix)).toSorted();
        expect(texts(free)).toEqual(texts(allowed));
      }),
    );
  });
});

describe('the known pools', () => {
  it('are all read, each with host bits clear, and leave room for the first networks', () => {
    const read = busyOf({}).soft;
    expect(read.map((one) => formatPrefix(one.prefix))).toEqual(KNOWN_POOLS.map(({ cidr }) => cidr));
    const free = listFree({ pools: POOL, bits: 16, busy: busyOf({}), countMax: 300 });
    expect(free.filter(({ warnings }) => warnings.length === 0).length).toBeGreaterThan(200);
  });
});
