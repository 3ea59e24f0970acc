import { describe, expect, it } from 'vitest';
import { type Given, nebula, plan, summarize, summary, tailnet } from '../../test/plan-facts.ts';
import type { TeamClaims } from './claims.ts';
import { deriveDeviceName } from './device-name.ts';
import type { HostFacts } from './host-facts.ts';

const REFUSED_TEAM = ['refusal plan/overlapping-team'];
const WARNED_TEAM = ['warning plan/overlapping-team'];

describe('two teams', () => {
  it.each<[string, TeamClaims, TeamClaims, string[]]>([
    [
      'go together with different networks',
      nebula('a', { networks: ['10.1.0.1/24'] }),
      nebula('b', { networks: ['10.2.0.1/24'] }),
      [],
    ],
    [
      'of Nebula with one network do not',
      nebula('a', { networks: ['10.1.0.1/24'] }),
      nebula('b', { networks: ['10.1.0.2/24'] }),
      REFUSED_TEAM,
    ],
    [
      'do not with a network inside the other',
      nebula('a', { networks: ['10.1.0.1/24'] }),
      nebula('b', { networks: ['10.0.0.0/8'] }),
      REFUSED_TEAM,
    ],
    [
      'do not with one IPv6 network',
      nebula('a', { networks: ['10.1.0.1/24', 'fd00:1::1/64'] }),
      nebula('b', { networks: ['10.2.0.1/24', 'fd00:1::/48'] }),
      REFUSED_TEAM,
    ],
    [
      'do not with equal routes',
      nebula('a', { unsafeRoutes: ['192.168.7.0/24'] }),
      nebula('b', { unsafeRoutes: ['192.168.7.0/24'] }),
      REFUSED_TEAM,
    ],
    [
      'do not with a route inside a network',
      nebula('a', { unsafeRoutes: ['10.2.0.128/25'] }),
      nebula('b', { networks: ['10.2.0.0/24'] }),
      REFUSED_TEAM,
    ],
    [
      'go together with a warning when a wide route leads around a network',
      nebula('a', { unsafeRoutes: ['10.0.0.0/8'] }),
      nebula('b', { networks: ['10.2.0.0/24'] }),
      WARNED_TEAM,
    ],
    [
      'go together when one is the way to everything else',
      nebula('a', { unsafeRoutes: ['0.0.0.0/0'] }),
      nebula('b', { networks: ['10.2.0.0/24'] }),
      [],
    ],
    [
      'do not when both are',
      nebula('a', { unsafeRoutes: ['0.0.0.0/0'] }),
      nebula('b', { unsafeRoutes: ['0.0.0.0/1'] }),
      REFUSED_TEAM,
    ],
    ['go together as tailnets in userspace with one network', tailnet('a'), tailnet('b'), []],
    [
      'do not as tailnets with devices',
      tailnet('a', { wantsDevice: true }),
      tailnet('b', { wantsDevice: true }),
      REFUSED_TEAM,
    ],
    [
      'go together with a warning as tailnets of both kinds',
      tailnet('a', { wantsDevice: true }),
      tailnet('b'),
      WARNED_TEAM,
    ],
    [
      'go together with a warning as Nebula and tailnet in userspace',
      nebula('a', { networks: ['100.64.3.1/16'] }),
      tailnet('b'),
      WARNED_TEAM,
    ],
    [
      'do not as Nebula and tailnet with a device',
      nebula('a', { networks: ['100.64.3.1/16'] }),
      tailnet('b', { wantsDevice: true }),
      REFUSED_TEAM,
    ],
    [
      'go together when one is a lighthouse without device',
      nebula('a', { networks: ['10.1.0.1/24'] }),
      nebula('b', { networks: ['10.1.0.2/24'], wantsDevice: false }),
      [],
    ],
    [
      'go together when one has no device and the other is in userspace',
      nebula('a', { networks: ['100.64.0.1/16'], wantsDevice: false }),
      tailnet('b'),
      [],
    ],
  ])('%s, whichever starts first', (_, a, b, expected) => {
    expect(summarize({ team: a, running: [b] })).toEqual(expected);
    expect(summarize({ team: b, running: [a] })).toEqual(expected);
  });

  it('that overlap are told by both names, both prefixes and the way out', () => {
    const result = plan({
      team: nebula('home', { networks: ['10.1.0.7/24'] }),
      running: [nebula('work', { networks: ['10.1.0.0/16'] })],
    });
    expect(result).toEqual({
      kind: 'refused',
      findings: [
        {
          severity: 'refusal',
          code: 'plan/overlapping-team',
          message: 'Network 10.1.0.0/24 of team "home" lies inside network 10.1.0.0/16 of team "work"',
          next: 'run this one alone: heddle switch home; or stop the other first: heddle down work',
        },
      ],
    });
  });

  const nebula1 = (prefix: string, protocol: number): Partial<HostFacts> => ({
    links: [{ name: 'nebula1', kind: 'tun', isUp: true }],
    addresses: [{ link: 'nebula1', cidr: '10.1.0.2/24' }],
    routes: [{ prefix, link: 'nebula1', table: 254, protocol }],
  });

  it('that meet in several ways are told once for each prefix, the worst, by the name of the team', () => {
    const unsafeRoutes = ['10.0.0.0/8', '10.1.0.0/25'];
    const running = [nebula('b', { networks: ['10.1.0.0/24'], unsafeRoutes, device: 'nebula1' })];
    const given = { team: nebula('a', { networks: ['10.1.0.1/24'] }), running };
    const { findings } = plan({ ...given, host: nebula1('10.1.0.2/32', 2) });
    expect(summary(findings)).toEqual(REFUSED_TEAM);
    expect(findings[0]!.next).toContain('heddle down b');
  });

  it('are judged by what the running one claims, not by how the kernel shows it', () => {
    const running = [nebula('b', { networks: ['10.1.0.0/24'], unsafeRoutes: ['10.0.0.0/8'], device: 'nebula1' })];
    const given = { team: nebula('a', { networks: ['10.2.0.1/24'] }), running };
    expect(summarize({ ...given, host: nebula1('10.0.0.0/8', 2) })).toEqual(WARNED_TEAM);
  });

  it('are refused for a prefix on the device of the running one that it does not claim', () => {
    const running = [nebula('b', { networks: ['10.1.0.0/24'], device: 'nebula1' })];
    const given = { team: nebula('a', { networks: ['10.2.0.1/24'] }), running };
    const { findings } = plan({ ...given, host: nebula1('10.2.0.0/16', 2) });
    expect(findings.map(({ message }) => message)).toEqual([
      'Network 10.2.0.0/24 of team "a" lies inside network 10.2.0.0/16 of team "b"',
    ]);
  });

  it('that overlap are told of no device or port, as the refused one gets none', () => {
    const claims = { networks: ['10.1.0.1/24'], device: 'nebula1', listenPort: 4242 };
    expect(summarize({ team: nebula('a', claims), running: [nebula('b', claims)] })).toEqual(REFUSED_TEAM);
  });

  it('are not compared when the running one is the team itself', () => {
    const team = nebula('a', { networks: ['10.1.0.1/24'] });
    expect(plan({ team, running: [team] }).kind).toBe('clear');
  });
});

const ETH = { name: 'eth0', isUp: true };
const OWN = deriveDeviceName('a', 0);

describe('a team and the machine', () => {
  const team = nebula('a', { networks: ['10.42.0.5/24'] });
  const route = (prefix: string, rest: object = {}): Partial<HostFacts> => ({
    links: [ETH],
    routes: [{ prefix, link: 'eth0', table: 254, ...rest }],
  });

  it.each<[string, Partial<HostFacts>, string[]]>([
    ['an address beside its network is nothing', { addresses: [{ link: 'eth0', cidr: '192.168.1.5/24' }] }, []],
    [
      'the same network on a link is a refusal',
      { addresses: [{ link: 'eth0', cidr: '10.42.0.9/24' }] },
      ['refusal plan/overlapping-address'],
    ],
    [
      'a wider network on a link is a refusal',
      { addresses: [{ link: 'eth0', cidr: '10.9.0.9/8' }] },
      ['refusal plan/overlapping-address'],
    ],
    [
      'one address inside is a refusal',
      { addresses: [{ link: 'eth0', cidr: '10.42.0.200/32' }] },
      ['refusal plan/overlapping-address'],
    ],
    [
      'a link that is down counts',
      { links: [{ name: 'br0', isUp: false }], addresses: [{ link: 'br0', cidr: '10.42.0.1/24' }] },
      ['refusal plan/overlapping-address'],
    ],
    ['a connected route is a refusal', route('10.42.0.0/24', { protocol: 2 }), ['refusal plan/overlapping-route']],
    ['a connected route of unknown origin is a refusal', route('10.0.0.0/8'), ['refusal plan/overlapping-route']],
    [
      'a connected route of another table is a refusal',
      route('10.42.0.0/16', { table: 52 }),
      ['refusal plan/overlapping-route'],
    ],
    [
      'a blackhole is a refusal',
      { routes: [{ prefix: '10.42.0.0/25', link: '', table: 254, protocol: 12 }] },
      ['refusal plan/overlapping-route'],
    ],
    [
      'a wide route through a gateway is a warning',
      route('10.0.0.0/8', { gateway: '10.9.0.1' }),
      ['warning plan/overlapping-route'],
    ],
    [
      'a wide route into a hand-made tunnel is a warning',
      route('10.0.0.0/8', { protocol: 3 }),
      ['warning plan/overlapping-route'],
    ],
    [
      'an equal route through a gateway is a refusal, as it would not come back',
      route('10.42.0.0/24', { gateway: '10.9.0.1' }),
      ['refusal plan/overlapping-route'],
    ],
    [
      'a narrower route through a gateway is a refusal, as it takes hosts away',
      route('10.42.0.128/25', { gateway: '10.9.0.1' }),
      ['refusal plan/overlapping-route'],
    ],
    ['the default route is nothing', route('0.0.0.0/0', { gateway: '10.9.0.1' }), []],
    ['half a default route without gateway is nothing', route('0.0.0.0/1', { protocol: 3 }), []],
    ['the default route of the other family is nothing', route('::/0', { gateway: 'fe80::1' }), []],
    [
      'a reserved subnet is a refusal',
      { reservedSubnets: [{ name: 'sub0', cidr: '10.42.0.0/16' }] },
      ['refusal plan/reserved-subnet'],
    ],
    ['another reserved subnet is nothing', { reservedSubnets: [{ name: 'sub0', cidr: '10.43.0.0/16' }] }, []],
  ])('%s', (_, host, expected) => {
    expect(summarize({ team, host })).toEqual(expected);
  });

  it('says the address, its route and its local route of one link once', () => {
    const host = {
      ...route('10.42.0.0/24', { protocol: 2 }),
      addresses: [{ link: 'eth0', cidr: '10.42.0.9/24' }],
    };
    const local = { prefix: '10.42.0.9/32', link: 'eth0', table: 255, protocol: 2 };
    const { findings } = plan({ team, host: { ...host, routes: [...host.routes!, local] } });
    expect(findings.map(({ message }) => message)).toEqual([
      'Network 10.42.0.0/24 of team "a" is the same as network 10.42.0.0/24 of link "eth0"',
    ]);
  });

  it('says a reserved subnet and the link that carries it once', () => {
    const host = {
      reservedSubnets: [{ name: 'lab', cidr: '10.42.0.0/24' }],
      addresses: [{ link: 'sub0', cidr: '10.42.0.1/24' }],
      routes: [{ prefix: '10.42.0.1/32', link: 'sub0', table: 255, protocol: 2 }],
    };
    expect(summarize({ team, host })).toEqual(['refusal plan/reserved-subnet']);
  });

  it('says once that default routes are replaced, however many there are', () => {
    const both = nebula('a', { networks: ['10.42.0.5/24'], unsafeRoutes: ['0.0.0.0/0', '::/0'] });
    const routes = ['0.0.0.0/0', '::/0', '0.0.0.0/1'].flatMap((prefix) =>
      ['eth0', 'wlan0'].map((link) => ({ prefix, link, table: 254, gateway: 'x' })),
    );
    expect(summarize({ team: both, host: { routes } })).toEqual(['warning plan/replaces-default-route']);
  });

  it('names the gateway, both prefixes and the way out', () => {
    const { findings } = plan({ team, host: route('10.0.0.0/8', { gateway: '192.168.1.1' }) });
    expect(findings).toEqual([
      {
        severity: 'warning',
        code: 'plan/overlapping-route',
        message: 'Network 10.42.0.0/24 of team "a" lies inside route 10.0.0.0/8 of link "eth0" through "192.168.1.1"',
        next: 'nothing if 10.42.0.0/24 may lead to "a"; else give "a" another network (new certificates)',
      },
    ]);
  });

  it.each<[string, string, Partial<HostFacts>, string[]]>([
    [
      'wider than a network of a link only reaches less',
      '172.16.0.0/12',
      { addresses: [{ link: 'docker0', cidr: '172.17.0.1/16' }] },
      ['warning plan/overlapping-address'],
    ],
    [
      'inside the network of a link is a refusal',
      '192.168.1.128/25',
      { addresses: [{ link: 'eth0', cidr: '192.168.1.5/24' }] },
      ['refusal plan/overlapping-address'],
    ],
    [
      'to everything leaves the networks of links alone',
      '0.0.0.0/0',
      { addresses: [{ link: 'eth0', cidr: '192.168.1.5/24' }] },
      [],
    ],
    [
      'to everything is said when it takes the place of the default route',
      '0.0.0.0/0',
      route('0.0.0.0/0', { gateway: '192.168.1.1' }),
      ['warning plan/replaces-default-route'],
    ],
  ])('a route of the team %s', (_, prefix, host, expected) => {
    expect(summarize({ team: nebula('a', { unsafeRoutes: [prefix] }), host })).toEqual(expected);
  });

  it.each<[string, TeamClaims]>([
    ['a tailnet in userspace', tailnet('a', { networks: ['10.42.0.5/24'] })],
    ['a lighthouse without device', nebula('a', { networks: ['10.42.0.5/24'], wantsDevice: false })],
  ])('%s meets nothing there', (_, hidden) => {
    const host = { ...route('10.42.0.0/24'), reservedSubnets: [{ name: 'sub0', cidr: '10.42.0.0/16' }] };
    expect(plan({ team: hidden, host })).toEqual({ kind: 'clear', listenPort: 0, findings: [] });
  });

  it.each<[string, Given]>([
    ['that is running', { team, running: [nebula('a', { device: 'nebula1' })], remembered: {} }],
    ['that it remembers and that carries a derived name', { team, remembered: { device: OWN } }],
  ])('its own device %s is not in its way', (_, given) => {
    const link = given.remembered?.device ?? 'nebula1';
    const host = {
      links: [{ name: link, kind: 'tun', isUp: true }],
      addresses: [{ link, cidr: '10.42.0.5/24' }],
      routes: [{ prefix: '10.42.0.0/24', link, table: 254, protocol: 2 }],
    };
    expect(plan({ ...given, host }).kind).toBe('clear');
  });

  it('a remembered name that a running team has by now is not its own', () => {
    const running = [nebula('b', { device: OWN })];
    const host = { addresses: [{ link: OWN, cidr: '10.42.0.1/24' }] };
    expect(summarize({ team, running, host, remembered: { device: OWN } })).toEqual(REFUSED_TEAM);
  });

  it('a remembered name that a link of another kind carries is not its own', () => {
    const host = {
      links: [{ name: OWN, kind: 'bridge', isUp: true }],
      addresses: [{ link: OWN, cidr: '10.42.0.1/24' }],
    };
    expect(summarize({ team, host, remembered: { device: OWN } })).toContain('refusal plan/overlapping-address');
  });
});

describe('what cannot be read', () => {
  it('in the claims of the team is a refusal that names it', () => {
    const { kind, findings } = plan({ team: nebula('a', { networks: ['10.42.0.0/33'], unsafeRoutes: ['nonsense'] }) });
    expect(kind).toBe('refused');
    expect(findings.map(({ code, message }) => `${code} ${message}`)).toEqual([
      'plan/bad-prefix "10.42.0.0/33" of team "a" is not an address with bits as in 10.42.0.0/24',
      'plan/bad-prefix "nonsense" of team "a" is not an address with bits as in 10.42.0.0/24',
    ]);
  });

  it('is a refusal in userspace as well', () => {
    expect(summarize({ team: tailnet('a', { networks: ['100.64.0.0/10/1'] }) })).toEqual(['refusal plan/bad-prefix']);
  });

  it('is cut in the message', () => {
    const [finding] = plan({ team: nebula('a', { networks: ['x'.repeat(100_000)] }) }).findings;
    expect(finding!.message.length).toBeLessThan(200);
  });

  it('elsewhere is a warning, since it was not compared', () => {
    const host = {
      addresses: [{ link: 'eth0', cidr: '?' }],
      routes: [{ prefix: 'default', link: 'eth0', table: 254 }],
      reservedSubnets: [{ name: 'sub0', cidr: '10.0.0.0/99' }],
    };
    const codes = summarize({ team: nebula('a'), running: [nebula('b', { networks: ['!'] })], host });
    expect(codes).toEqual([]);
    expect(
      summarize({
        team: nebula('a', { networks: ['10.1.0.1/24'] }),
        running: [nebula('b', { networks: ['!'] })],
        host,
      }),
    ).toEqual(new Array(4).fill('warning plan/bad-prefix'));
  });

  it('never hides a refusal behind many warnings, and the list is bounded', () => {
    const addresses = Array.from({ length: 300 }, (_, i) => ({ link: `veth${i}`, cidr: '?' }));
    const running = [nebula('b', { networks: ['10.1.0.2/24'] })];
    const { kind, findings } = plan({ team: nebula('a', { networks: ['10.1.0.1/24'] }), running, host: { addresses } });
    expect([kind, findings.length, findings[0]!.code]).toEqual(['refused', 50, 'plan/overlapping-team']);
    expect(findings.at(-1)).toMatchObject({
      severity: 'warning',
      code: 'plan/more-findings',
      message: expect.stringContaining('252 more'),
    });
  });
});
