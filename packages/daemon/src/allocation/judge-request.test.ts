import { formatPrefix, type IpPrefix, parsePrefix } from '@heddle/proto/ip/prefix';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_HOST, nebula, tailnet } from '../../test/plan-facts.ts';
import { hasOverlap, parseClaimedPrefix } from '../plan/claimed-prefix.ts';
import type { TeamClaims } from '../plan/claims.ts';
import type { HostFacts, HostRoute, ReservedSubnet } from '../plan/host-facts.ts';
import { type BusyPrefix, type BusyPrefixes, readBusyPrefixes } from './busy-prefixes.ts';
import { type Judgement, judgeRequest, SENTENCE_COUNT_MAX } from './judge-request.ts';

const prefix = (text: string): IpPrefix => parsePrefix(text)!;

interface Given {
  readonly host?: Partial<HostFacts>;
  readonly teams?: readonly TeamClaims[];
  readonly own?: readonly ReservedSubnet[];
}

function judge(text: string, { host = {}, teams = [], own = [] }: Given): Judgement {
  return judgeRequest(prefix(text), readBusyPrefixes({ host: { ...EMPTY_HOST, ...host }, teams, own }));
}

const route = (text: string, more: Partial<HostRoute> = {}): HostRoute => ({
  prefix: text,
  link: 'eth0',
  table: 254,
  protocol: 2,
  ...more,
});
const viaGateway = (text: string): HostRoute => route(text, { gateway: '192.0.2.1', protocol: 16 });

/** A link with an address, and what the kernel makes of it. */
const ETH0: Partial<HostFacts> = {
  links: [{ name: 'eth0', isUp: true }],
  addresses: [{ link: 'eth0', cidr: '10.1.2.3/16' }],
  routes: [
    route('10.1.2.3/32', { table: 255 }),
    route('10.1.255.255/32', { table: 255 }),
    route('10.1.0.0/16'),
    viaGateway('0.0.0.0/0'),
  ],
};

describe('a network that somebody asks for', () => {
  it('is fine on a machine that uses something else', () => {
    expect(judge('10.2.0.0/24', { host: ETH0 })).toEqual({ refusals: [], warnings: [] });
  });

  it.each([
    ['10.1.0.0/24', '10.1.0.0/24 lies inside network 10.1.0.0/16 of link "eth0"'],
    ['10.1.2.0/24', '10.1.2.0/24 lies inside network 10.1.0.0/16 of link "eth0"'],
    ['10.1.0.0/16', '10.1.0.0/16 is the same as network 10.1.0.0/16 of link "eth0"'],
    ['10.0.0.0/14', '10.0.0.0/14 contains network 10.1.0.0/16 of link "eth0"'],
  ])('as %s is refused beside the network of a link, and once', (text, message) => {
    expect(judge(text, { host: ETH0 }).refusals).toEqual([message]);
  });

  it('is refused when only an address of the local table is there', () => {
    const host = { routes: [route('10.1.0.1/32', { link: 'lo', table: 255 })] };
    expect(judge('10.1.0.0/24', { host }).refusals).toEqual(['10.1.0.0/24 contains route 10.1.0.1/32 of link "lo"']);
  });

  it.each([
    [
      'the network of a team',
      { teams: [nebula('a', { networks: ['10.1.0.9/16'] })] },
      'network 10.1.0.0/16 of team "a"',
    ],
    ['what heddle gave away', { own: [{ name: 'tun3', cidr: '10.1.0.1/16' }] }, 'subnet 10.1.0.0/16 of "tun3"'],
    [
      'what is reserved',
      { host: { reservedSubnets: [{ name: 'containers', cidr: '10.1.0.0/16' }] } },
      'subnet 10.1.0.0/16 of "containers"',
    ],
    ['a connected route', { host: { routes: [route('10.1.0.0/16')] } }, 'route 10.1.0.0/16 of link "eth0"'],
    [
      'a route of unknown origin',
      { host: { routes: [route('10.1.0.0/16', { protocol: undefined })] } },
      'route 10.1.0.0/16 of link "eth0"',
    ],
  ] as [string, Given, string][])('is refused inside, around and equal to %s', (_, given, whose) => {
    expect(judge('10.1.7.0/24', given).refusals).toEqual([`10.1.7.0/24 lies inside ${whose}`]);
    expect(judge('10.1.0.0/16', given).refusals).toEqual([`10.1.0.0/16 is the same as ${whose}`]);
    expect(judge('10.0.0.0/12', given).refusals).toEqual([`10.0.0.0/12 contains ${whose}`]);
    expect(judge('10.2.0.0/16', given)).toEqual({ refusals: [], warnings: [] });
  });

  it.each([
    [
      'a route through a gateway',
      { host: { routes: [viaGateway('10.16.0.0/14')] } },
      'route 10.16.0.0/14 of link "eth0" through "192.0.2.1"',
    ],
    [
      'a route made by hand',
      { host: { routes: [route('10.16.0.0/14', { link: 'wg0', protocol: 3 })] } },
      'route 10.16.0.0/14 of link "wg0"',
    ],
    ['a blackhole', { host: { routes: [route('10.16.0.0/14', { link: '', protocol: 4 })] } }, 'route 10.16.0.0/14'],
    [
      'an unsafe route of a team',
      { teams: [nebula('a', { unsafeRoutes: ['10.16.0.0/14'] })] },
      'route 10.16.0.0/14 of team "a"',
    ],
  ] as [string, Given, string][])(
    'is warned of inside %s, and refused when that would lead elsewhere then',
    (_, given, whose) => {
      expect(judge('10.16.7.0/24', given)).toEqual({ refusals: [], warnings: [`10.16.7.0/24 lies inside ${whose}`] });
      expect(judge('10.16.0.0/14', given).refusals).toEqual([`10.16.0.0/14 is the same as ${whose}`]);
      expect(judge('10.16.0.0/12', given).refusals).toEqual([`10.16.0.0/12 contains ${whose}`]);
    },
  );

  it.each(['0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1', '::/0', '2000::/3'])(
    'does not care about the way out, %s',
    (text) => {
      const given: Given = {
        host: { routes: [viaGateway(text), route(text), route(text, { link: 'tun0', protocol: 3 })] },
        teams: [nebula('a', { unsafeRoutes: [text] })],
      };
      for (const asked of ['10.64.0.0/16', '198.18.0.0/15', '2001:db8::/64']) {
        expect(judge(asked, given)).toEqual({ refusals: [], warnings: [] });
      }
    },
  );

  it.each([
    ['10.8.0.0/24', ['10.8.0.0/24 is the same as default network 10.8.0.0/24 of OpenVPN']],
    ['10.8.0.128/25', ['10.8.0.128/25 lies inside default network 10.8.0.0/24 of OpenVPN']],
    ['192.168.122.0/23', ['192.168.122.0/23 contains default network 192.168.122.0/24 of libvirt']],
    ['100.100.0.0/16', ['100.100.0.0/16 lies inside default network 100.64.0.0/10 of Tailscale and carriers']],
    ['fd7a:115c:a1e0:1::/64', ['fd7a:115c:a1e0:1::/64 lies inside default network fd7a:115c:a1e0::/48 of Tailscale']],
  ])('as %s is warned of as a default of another program', (text, warnings) => {
    expect(judge(text, {})).toEqual({ refusals: [], warnings });
  });

  it('is warned of when hosts of a team without device have its addresses', () => {
    const teams = [tailnet('t'), nebula('lighthouse', { networks: ['10.2.0.1/16'], wantsDevice: false })];
    expect(judge('10.2.1.0/24', { teams })).toEqual({
      refusals: [],
      warnings: ['10.2.1.0/24 lies inside network 10.2.0.0/16 of team "lighthouse"'],
    });
    expect(judge('100.64.1.0/24', { teams })).toEqual({
      refusals: [],
      warnings: ['100.64.1.0/24 lies inside network 100.64.0.0/10 of team "t"'],
    });
  });

  it('names a running team, not the link that it made', () => {
    const given: Given = {
      host: {
        addresses: [{ link: 'nebula1', cidr: '10.1.0.9/16' }],
        routes: [route('10.1.0.0/16', { link: 'nebula1' })],
      },
      teams: [nebula('a', { networks: ['10.1.0.9/16'], device: 'nebula1' })],
    };
    expect(judge('10.1.1.0/24', given).refusals).toEqual(['10.1.1.0/24 lies inside network 10.1.0.0/16 of team "a"']);
  });

  it('hears of a wide network also when a narrow one inside it is named before', () => {
    const given: Given = { host: ETH0, own: [{ name: 'dummy0', cidr: '10.1.7.0/24' }] };
    expect(judge('10.1.7.0/25', given).refusals).toEqual([
      '10.1.7.0/25 lies inside subnet 10.1.7.0/24 of "dummy0"',
      '10.1.7.0/25 lies inside network 10.1.0.0/16 of link "eth0"',
    ]);
  });

  it('hears of what it meets in the order of addresses', () => {
    const own = ['10.1.10.0/24', '10.1.9.0/24', '10.1.100.0/24'].map((cidr) => ({ name: 'tun0', cidr }));
    const met = judge('10.1.0.0/16', { own }).refusals.map((text) => text.split(' ')[3]);
    expect(met).toEqual(['10.1.9.0/24', '10.1.10.0/24', '10.1.100.0/24']);
  });

  it('hears of everything it meets, and of a few when that is much', () => {
    const own = Array.from({ length: 300 }, (_, i) => ({ name: `dummy${i}`, cidr: `10.${i >> 6}.${i & 63}.0/24` }));
    const few = judge('10.0.0.0/22', { own }).refusals;
    expect(few).toEqual([0, 1, 2, 3].map((i) => `10.0.0.0/22 contains subnet 10.0.${i}.0/24 of "dummy${i}"`));
    const many = judge('10.0.0.0/8', { own }).refusals;
    expect(many).toHaveLength(SENTENCE_COUNT_MAX);
    expect(many.at(-1)).toBe('10.0.0.0/8 overlaps still more');
    expect(many[0]).toMatch('"dummy0"');
  });

  it('is told of a long name cut', () => {
    const own = [{ name: 'x'.repeat(5000), cidr: '10.1.0.0/24' }];
    expect(judge('10.1.0.0/24', { own }).refusals[0]?.length).toBeLessThan(200);
  });
});

describe('what is busy', () => {
  it('is said to be unreadable when it is no prefix, and the rest counts', () => {
    const host = { ...EMPTY_HOST, addresses: [{ link: 'eth0', cidr: 'nonsense' }], routes: [route('10.1.0.0/16')] };
    const teams = [nebula('a', { networks: ['10.2.0.0/33', '10.3.0.0/16'] })];
    const busy = readBusyPrefixes({ host, teams, own: [{ name: 'tun0', cidr: '10.4.0.0/x' }] });
    expect(busy.unreadable.map(({ text }) => text).toSorted()).toEqual(['10.2.0.0/33', '10.4.0.0/x', 'nonsense']);
    expect(busy.hard.map((one) => formatPrefix(one.prefix)).toSorted()).toEqual(['10.1.0.0/16', '10.3.0.0/16']);
  });

  it('has the networks of links that are down', () => {
    const host = { links: [{ name: 'br0', isUp: false }], addresses: [{ link: 'br0', cidr: '10.1.0.1/24' }] };
    expect(judge('10.1.0.0/24', { host }).refusals).toHaveLength(1);
  });
});

// Few distinct places, so that meetings are frequent.
const anyPrefix = fc.tuple(fc.nat(7), fc.nat(7), fc.constantFrom(8, 12, 14, 15, 16, 20, 24)).map(([a, b, bits]) => {
  const mask = (0xff_ff_ff_ff << (32 - bits)) >>> 0;
  const value = (((10 << 24) | (a << 16) | (b << 8)) & mask) >>> 0;
  return prefix(`${value >>> 24}.${(value >> 16) & 255}.${(value >> 8) & 255}.0/${bits}`);
});

function only(one: IpPrefix, kind: BusyPrefix['kind']): BusyPrefixes {
  const busy: BusyPrefix = { prefix: one, kind, source: 'route', whose: 'it' };
  return { hard: kind === 'network' ? [busy] : [], soft: kind === 'network' ? [] : [busy], unreadable: [] };
}

describe('the judgement', () => {
  it('of two networks is the same whichever came first', () => {
    fc.assert(
      fc.property(anyPrefix, anyPrefix, (a, b) => {
        const isRefused = judgeRequest(a, only(b, 'network')).refusals.length > 0;
        expect(judgeRequest(b, only(a, 'network')).refusals.length > 0).toBe(isRefused);
      }),
    );
  });

  it('of a route is a warning in one order exactly when it is a refusal in the other, unless they are equal', () => {
    fc.assert(
      fc.property(anyPrefix, anyPrefix, (a, b) => {
        const [asked, other] = [judgeRequest(a, only(b, 'route')), judgeRequest(b, only(a, 'route'))];
        if (formatPrefix(a) === formatPrefix(b))
          expect([asked, other].map((one) => one.refusals.length)).toEqual([1, 1]);
        else expect(asked.warnings.length).toBe(other.refusals.length);
      }),
    );
  });

  it('does not depend on the order of the facts', () => {
    const facts = fc.array(
      fc.record({ one: anyPrefix, kind: fc.constantFrom<'network' | 'route' | 'hint'>('network', 'route', 'hint') }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(anyPrefix, facts, (asked, given) => {
        const all = given.map(
          ({ one, kind }, i): BusyPrefix => ({
            prefix: one,
            kind,
            source: i % 2 ? 'route' : 'team',
            whose: `${kind} ${formatPrefix(one)} of ${i}`,
          }),
        );
        const split = (list: readonly BusyPrefix[]): BusyPrefixes => ({
          hard: list.filter(({ kind }) => kind === 'network'),
          soft: list.filter(({ kind }) => kind !== 'network'),
          unreadable: [],
        });
        expect(judgeRequest(asked, split(all.toReversed()))).toEqual(judgeRequest(asked, split(all)));
      }),
    );
  });
});

const anyMet = fc
  .tuple(
    fc.nat(15),
    fc.constantFrom(12, 20, 22, 23, 24, 25, 32),
    fc.constantFrom<BusyPrefix['kind']>('network', 'route', 'hint'),
    fc.constantFrom<BusyPrefix['source']>('reserved', 'team', 'address', 'route', 'pool'),
    fc.constantFrom('a', 'b', 'c'),
  )
  .map(([third, bits, kind, source, whose]): BusyPrefix => {
    const { prefix: met } = parseClaimedPrefix(`10.0.${third}.0/${bits}`, false)!;
    return { prefix: met, kind, source, whose: `${kind} ${formatPrefix(met)} of ${source} ${whose}` };
  });

/** Sorts everything and then tells what nothing before it says. */
function tellSlowly(asked: IpPrefix, met: readonly BusyPrefix[]): readonly string[] {
  const rank = ['reserved', 'team', 'address', 'route', 'pool'];
  const keyOf = ({ source, prefix: { bits, address } }: BusyPrefix): string => {
    return [rank.indexOf(source), ...[bits, ...address.bytes].map((n) => String(n).padStart(3, '0'))].join(' ');
  };
  const sorted = met.toSorted((a, b) => (`${keyOf(a)} ${a.whose}` < `${keyOf(b)} ${b.whose}` ? -1 : 1));
  const told: BusyPrefix[] = [];
  for (const one of sorted) {
    const isSaid = told.some((other) => {
      const isInside = hasOverlap(one.prefix, other.prefix) && other.prefix.bits <= one.prefix.bits;
      return isInside && (other.kind === 'network' || other.prefix.bits === one.prefix.bits);
    });
    if (!isSaid) told.push(one);
  }
  const sentences = told.map(({ prefix: { bits }, whose }) => {
    const relation = bits === asked.bits ? 'is the same as' : bits < asked.bits ? 'lies inside' : 'contains';
    return `${formatPrefix(asked)} ${relation} ${whose}`;
  });
  if (sentences.length <= SENTENCE_COUNT_MAX) return sentences;
  return [...sentences.slice(0, SENTENCE_COUNT_MAX - 1), `${formatPrefix(asked)} overlaps still more`];
}

describe('the sentences', () => {
  it('are those of a judge that sorts all that is met', () => {
    fc.assert(
      fc.property(fc.constantFrom(16, 21, 24), fc.array(anyMet, { maxLength: 60 }), (bits, all) => {
        const asked = prefix(`10.0.0.0/${bits}`);
        const isRefused = (one: BusyPrefix): boolean => {
          if (one.kind === 'hint') return false;
          return one.kind === 'network' || one.prefix.bits >= asked.bits;
        };
        const met = all.filter((one) => hasOverlap(one.prefix, asked));
        expect(judgeRequest(asked, { hard: all, soft: [], unreadable: [] })).toEqual({
          refusals: tellSlowly(asked, met.filter(isRefused)),
          warnings: tellSlowly(
            asked,
            met.filter((one) => !isRefused(one)),
          ),
        });
      }),
      { numRuns: 500 },
    );
  });

  it('go on behind many that say nothing new', () => {
    const busy = (text: string, source: BusyPrefix['source']): BusyPrefix => {
      return { prefix: prefix(text), kind: 'network', source, whose: text };
    };
    const addresses = Array.from({ length: 30 }, (_, i) => busy(`10.0.${i}.0/24`, 'address'));
    const hard = [busy('10.1.0.0/24', 'route'), ...addresses, busy('10.0.0.0/16', 'team')];
    const { refusals } = judgeRequest(prefix('10.0.0.0/12'), { hard, soft: [], unreadable: [] });
    expect(refusals).toEqual(['10.0.0.0/12 contains 10.0.0.0/16', '10.0.0.0/12 contains 10.1.0.0/24']);
  });

  it('are made of what is told only, among tens of thousands that are met', () => {
    let madeCount = 0;
    const hard = Array.from({ length: 20_000 }, (_, i): BusyPrefix => {
      const met = prefix(`10.${i >> 8}.${i & 255}.0/24`);
      return {
        prefix: met,
        kind: 'network',
        source: 'route',
        get whose() {
          madeCount++;
          return formatPrefix(met);
        },
      };
    });
    const { refusals } = judgeRequest(prefix('10.0.0.0/8'), { hard: hard.toReversed(), soft: [], unreadable: [] });
    expect(refusals.slice(0, 2)).toEqual(['10.0.0.0/8 contains 10.0.0.0/24', '10.0.0.0/8 contains 10.0.1.0/24']);
    expect(refusals).toHaveLength(SENTENCE_COUNT_MAX);
    expect(madeCount).toBeLessThanOrEqual(SENTENCE_COUNT_MAX);
  });
});
