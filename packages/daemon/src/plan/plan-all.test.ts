import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_HOST, nebula } from '../../test/plan-facts.ts';
import { hasOverlap, parseClaimedPrefix } from './claimed-prefix.ts';
import type { RememberedChoice, TeamClaims } from './claims.ts';
import { deriveDeviceName, isDeviceName } from './device-name.ts';
import type { HostFacts } from './host-facts.ts';
import { type Plan, planStart } from './plan.ts';
import { planAll, type TeamPlan } from './plan-all.ts';

const NOTHING = new Map<string, RememberedChoice>();

function plansOf(plans: readonly TeamPlan[]): Record<string, Plan> {
  return Object.fromEntries(plans.map(({ team, plan }) => [team, plan]));
}

describe('the plan of all teams', () => {
  it('refuses the later by name of two that overlap, whichever is given first', () => {
    const teams = ['a', 'b'].map((name) => nebula(name, { networks: ['10.1.0.1/24'] }));
    for (const given of [teams, teams.toReversed()]) {
      const plans = planAll(given, EMPTY_HOST, NOTHING);
      expect(plans.map(({ team, plan }) => [team, plan.kind])).toEqual([
        ['a', 'clear'],
        ['b', 'refused'],
      ]);
    }
  });

  it('refuses the one that does not run of two that overlap', () => {
    const teams = ['a', 'b'].map((name) => nebula(name, { networks: ['10.1.0.1/24'] }));
    const plans = plansOf(planAll(teams, EMPTY_HOST, NOTHING, [teams[1]!]));
    expect([plans['a']?.kind, plans['b']?.kind]).toEqual(['refused', 'clear']);
  });

  it('lets nothing of a refused team stand in the way of the next', () => {
    const teams = [
      nebula('a', { networks: ['10.1.0.1/24'] }),
      nebula('b', { networks: ['10.1.0.1/24', '10.2.0.1/24'], device: 'nebula1' }),
      nebula('c', { networks: ['10.2.0.1/24'], device: 'nebula1' }),
    ];
    const plans = plansOf(planAll(teams, EMPTY_HOST, NOTHING));
    expect(Object.values(plans).map(({ kind }) => kind)).toEqual(['clear', 'refused', 'clear']);
    expect(plans['c']?.device).toBe('nebula1');
  });

  it('gives a fixed port to its lighthouse before another team comes to it', () => {
    const teams = [
      nebula('a', { listenPort: 4242 }),
      nebula('b', { listenPort: 4242, isListenPortFixed: true }),
      nebula('c', { listenPort: 4242 }),
    ];
    const plans = plansOf(planAll(teams, EMPTY_HOST, NOTHING));
    expect(Object.values(plans).map(({ listenPort }) => listenPort)).toEqual([4243, 4242, 4244]);
  });

  it('leaves to a team what it remembers, also when an earlier one looks for the same', () => {
    const teams = ['a', 'b', 'c'].map((name) =>
      nebula(name, { listenPort: 4242, device: 'nebula1', proxyPort: 16579 }),
    );
    const remembered = new Map([['c', { listenPort: 4243, device: 'nebula1', proxyPort: 16579 }]]);
    const plans = plansOf(planAll(teams, EMPTY_HOST, remembered));
    const choices = Object.values(plans).map(({ device, listenPort, proxyPort }) => [device, listenPort, proxyPort]);
    expect(choices).toEqual([
      [deriveDeviceName('a', 0), 4242, 16580],
      [deriveDeviceName('b', 0), 4244, 16581],
      ['nebula1', 4243, 16579],
    ]);
    expect(plans['a']?.findings[0]?.message).toContain('another team that remembers it');
  });

  it('keeps the proxies away from the forwards of later teams', () => {
    const forwardPorts = [{ address: '127.0.0.1', port: 16579 }];
    const teams = [nebula('a', { proxyPort: 16579 }), nebula('b', { forwardPorts })];
    const plans = plansOf(planAll(teams, EMPTY_HOST, NOTHING));
    expect([plans['a']?.proxyPort, plans['b']?.kind]).toEqual([16580, 'clear']);
  });

  it('finds a running team in nobody’s way, least of all its own', () => {
    const claims = {
      networks: ['10.1.0.1/24'],
      device: 'nebula1',
      listenPort: 4242,
      isListenPortFixed: true,
      proxyPort: 16579,
    };
    const host = {
      ...EMPTY_HOST,
      links: [{ name: 'nebula1', kind: 'tun', isUp: true }],
      addresses: [{ link: 'nebula1', cidr: '10.1.0.1/24' }],
      routes: [{ prefix: '10.1.0.0/24', link: 'nebula1', table: 254, protocol: 2 }],
      usedUdpPorts: [4242],
      usedTcpPorts: [16579],
    };
    const team = nebula('a', claims);
    expect(plansOf(planAll([team], host, NOTHING, [team]))['a']).toEqual({
      kind: 'clear',
      device: 'nebula1',
      listenPort: 4242,
      proxyPort: 16579,
      findings: [],
    });
  });

  it('understands names that objects have by themselves', () => {
    const plans = planAll([nebula('constructor'), nebula('toString')], EMPTY_HOST, NOTHING);
    expect(plans.map(({ plan }) => plan.kind)).toEqual(['clear', 'clear']);
  });

  it('is empty without teams, and refuses two of one name', () => {
    expect(planAll([], EMPTY_HOST, NOTHING)).toEqual([]);
    expect(() => planAll([nebula('a'), nebula('a')], EMPTY_HOST, NOTHING)).toThrow(RangeError);
  });
});

const anyPrefix = fc
  .tuple(
    fc.integer({ min: 0, max: 5 }),
    fc.integer({ min: 0, max: 3 }),
    fc.constantFrom(8, 14, 16, 24, 25, 32),
    fc.boolean(),
  )
  .map(([a, b, bits, isIpv6]) => (isIpv6 ? `fd00:${a}:${b}::1/${bits * 2}` : `10.${a}.${b}.1/${bits}`));
const anyPrefixText = fc.oneof(
  { weight: 30, arbitrary: anyPrefix },
  { weight: 1, arbitrary: fc.constantFrom('', 'x', '10.0.0.0/33') },
);
const anyDevice = fc.constantFrom(
  'nebula1',
  'nebula2',
  'tun%d',
  deriveDeviceName('team0', 0),
  deriveDeviceName('team1', 0),
);
const anyPort = fc.constantFrom(0, 1023, 4242, 4243, 4244, 16579, 16580, 65_535);
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });

const anyClaims = (team: string): fc.Arbitrary<TeamClaims> =>
  fc.record({
    team: fc.constant(team),
    kind: fc.constantFrom<'nebula' | 'tailnet'>('nebula', 'tailnet'),
    networks: fc.array(anyPrefixText, { maxLength: 2 }),
    unsafeRoutes: fc.array(fc.oneof(anyPrefixText, fc.constant('0.0.0.0/0')), { maxLength: 1 }),
    device: optional(anyDevice),
    wantsDevice: fc.boolean(),
    listenPort: optional(anyPort),
    isListenPortFixed: fc.boolean(),
    proxyPort: optional(anyPort),
    forwardPorts: fc.array(
      fc.record({ address: fc.constantFrom('127.0.0.1', '127.0.0.2', '0.0.0.0'), port: anyPort }),
      { maxLength: 1 },
    ),
  });

const anyRemembered: fc.Arbitrary<RememberedChoice> = fc.record({
  device: optional(anyDevice),
  listenPort: optional(anyPort),
  proxyPort: optional(anyPort),
});

// A derived name among the links would be the team's own where it is remembered.
const anyLink = fc.constantFrom('eth0', 'nebula1', 'docker0');
const anyHost: fc.Arbitrary<HostFacts> = fc.record({
  links: fc.array(fc.record({ name: anyLink, isUp: fc.boolean() }), { maxLength: 2 }),
  addresses: fc.array(fc.record({ link: anyLink, cidr: anyPrefixText }), { maxLength: 2 }),
  routes: fc.array(
    fc.record({
      prefix: fc.oneof(anyPrefixText, fc.constantFrom('0.0.0.0/0', '::/0')),
      link: anyLink,
      table: fc.constant(254),
      gateway: optional(fc.constant('192.0.2.1')),
      protocol: optional(fc.constantFrom(2, 3)),
    }),
    { maxLength: 3 },
  ),
  usedUdpPorts: fc.array(anyPort, { maxLength: 2 }),
  usedTcpPorts: fc.array(anyPort, { maxLength: 2 }),
  reservedSubnets: fc.array(fc.record({ name: fc.constantFrom('sub0', 'sub1'), cidr: anyPrefixText }), {
    maxLength: 2,
  }),
});

const TEAM_NAMES = ['team0', 'team1', 'team2', 'team3', 'team4'];
const anyWorld = fc.record({
  teams: fc.tuple(...TEAM_NAMES.map(anyClaims)),
  host: anyHost,
  remembered: fc
    .tuple(...TEAM_NAMES.map(() => anyRemembered))
    .map((all) => new Map(all.map((one, i) => [TEAM_NAMES[i]!, one]))),
  order: fc.array(fc.nat({ max: 999 }), { minLength: 20, maxLength: 20 }),
});

/** Another order of the same list, decided by the numbers. */
function shuffle<T>(list: readonly T[], order: readonly number[]): T[] {
  return list
    .map((value, i) => ({ value, at: order[i] ?? 0 }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}

function shuffleHost(host: HostFacts, order: readonly number[]): HostFacts {
  return {
    links: shuffle(host.links, order),
    addresses: shuffle(host.addresses, order),
    routes: shuffle(host.routes, order),
    usedUdpPorts: shuffle(host.usedUdpPorts, order),
    usedTcpPorts: shuffle(host.usedTcpPorts, order),
    reservedSubnets: shuffle(host.reservedSubnets, order),
  };
}

/** Networks that a team has in the kernel. */
function kernelNetworks({ wantsDevice, networks }: TeamClaims): readonly string[] {
  return wantsDevice ? networks : [];
}

function overlaps(a: string, b: string): boolean {
  const [x, y] = [parseClaimedPrefix(a, false), parseClaimedPrefix(b, false)];
  return x !== undefined && y !== undefined && hasOverlap(x.prefix, y.prefix);
}

describe('whatever teams and machine', () => {
  it('the plan is the same for every order of the facts', () => {
    fc.assert(
      fc.property(anyWorld, ({ teams, host, remembered, order }) => {
        const plans = planAll(teams, host, remembered);
        expect(planAll(teams, host, remembered)).toEqual(plans);
        const rememberedAgain = new Map(shuffle([...remembered], order));
        expect(planAll(shuffle(teams, order), shuffleHost(host, order), rememberedAgain)).toEqual(plans);
        const [first, ...running] = teams;
        const plan = planStart(first!, running, host, remembered.get('team0')!);
        expect(planStart(first!, shuffle(running, order), shuffleHost(host, order), remembered.get('team0')!)).toEqual(
          plan,
        );
      }),
      { numRuns: 500 },
    );
  });

  it('teams that are clear share no device, no port and no network', () => {
    fc.assert(
      fc.property(anyWorld, ({ teams, host, remembered }) => {
        const plans = plansOf(planAll(teams, host, remembered));
        const clear = teams.filter(({ team }) => plans[team]?.kind === 'clear');
        const chosen = clear.map(({ team }) => plans[team]!);
        expectDistinct(chosen.map(({ device }) => device));
        expectDistinct(chosen.map(({ listenPort }) => listenPort || undefined));
        expectDistinct(chosen.map(({ proxyPort }) => proxyPort || undefined));
        for (const [i, a] of clear.entries()) {
          for (const b of clear.slice(i + 1)) {
            expect(kernelNetworks(a).some((x) => kernelNetworks(b).some((y) => overlaps(x, y)))).toBe(false);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('a team that is clear gets nothing that the machine uses, and only sound names and ports', () => {
    fc.assert(
      fc.property(anyWorld, ({ teams, host, remembered }) => {
        for (const claims of teams) {
          const plan = planStart(claims, [], host, remembered.get(claims.team)!);
          expect(plan.kind).toBe(plan.findings.some(({ severity }) => severity === 'refusal') ? 'refused' : 'clear');
          if (plan.kind === 'refused') {
            expect(Object.keys(plan)).toEqual(['kind', 'findings']);
            continue;
          }
          expect(plan.device === undefined).toBe(!claims.wantsDevice);
          if (plan.device !== undefined) expect(isDeviceName(plan.device)).toBe(true);
          expect(host.links.map(({ name }) => name)).not.toContain(plan.device);
          expect(host.usedUdpPorts.filter((port) => port !== 0)).not.toContain(plan.listenPort);
          expect(host.usedTcpPorts.filter((port) => port !== 0)).not.toContain(plan.proxyPort);
          const used = [...host.addresses, ...host.reservedSubnets].map(({ cidr }) => cidr);
          expect(kernelNetworks(claims).some((own) => used.some((other) => overlaps(own, other)))).toBe(false);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('what a plan gave is given again once it is remembered, without a word', () => {
    fc.assert(
      fc.property(anyWorld, ({ teams, host }) => {
        const before = planAll(teams, host, NOTHING);
        const remembered = new Map(before.map(({ team, plan }) => [team, plan]));
        const clear = new Set(before.filter(({ plan }) => plan.kind === 'clear').map(({ team }) => team));
        const left = teams.filter(({ team }) => clear.has(team));
        for (const { team, plan } of planAll(left, host, remembered)) {
          const { device, listenPort, proxyPort } = plan;
          const first = remembered.get(team)!;
          expect({ device, listenPort, proxyPort }).toEqual({
            device: first.device,
            listenPort: first.listenPort,
            proxyPort: first.proxyPort,
          });
          expect(plan.findings.filter(({ severity }) => severity === 'moved')).toEqual([]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('two teams find the same overlap in each other', () => {
    const severities = (team: TeamClaims, other: TeamClaims): string[] =>
      planStart({ ...team, forwardPorts: [] }, [other], EMPTY_HOST, {})
        .findings.filter(({ code }) => code === 'plan/overlapping-team')
        .map(({ severity }) => severity);
    fc.assert(
      fc.property(anyClaims('a'), anyClaims('b'), (a, b) => {
        const [forth, back] = [severities(a, b), severities(b, a)];
        expect(forth.includes('refusal')).toBe(back.includes('refusal'));
        expect(forth.length > 0).toBe(back.length > 0);
      }),
      { numRuns: 1000 },
    );
  });

  it('1000 teams that all want the same device and ports get their own', () => {
    const teams = Array.from({ length: 1000 }, (_, i) =>
      nebula(`team${i}`, {
        networks: [`10.${i >> 8}.${i & 255}.1/24`, `fd00:${i.toString(16)}::1/64`],
        unsafeRoutes: [`172.${16 + (i >> 8)}.${i & 255}.0/24`],
        device: 'nebula1',
        listenPort: 4242,
        proxyPort: 16579,
      }),
    );
    const addresses = Array.from({ length: 1000 }, (_, i) => ({
      link: `veth${i}`,
      cidr: `192.168.${i >> 2}.${i & 3}/32`,
    }));
    const plans = planAll(teams, { ...EMPTY_HOST, addresses }, NOTHING).map(({ plan }) => plan);
    expect(plans.every(({ kind }) => kind === 'clear')).toBe(true);
    const choices = plans.map(({ device, listenPort, proxyPort }) => [device, listenPort, proxyPort] as const);
    for (const column of [0, 1, 2] as const) expect(new Set(choices.map((choice) => choice[column])).size).toBe(1000);
  });
});

function expectDistinct(values: readonly (string | number | undefined)[]): void {
  const given = values.filter((value) => value !== undefined);
  expect(new Set(given).size).toBe(given.length);
}
