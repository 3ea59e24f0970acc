import { describe, expect, it } from 'vitest';
import { nebula } from '../../test/plan-facts.ts';
import type { HostFacts } from './host-facts.ts';
import { planAll } from './plan-all.ts';
import { withoutTeamUtuns } from './team-utuns.ts';

const OFFICE = nebula('office', { networks: ['10.42.0.5/16', 'fd00:0:0:42::5/64'] });
const MAC: HostFacts = {
  links: [
    { name: 'lo0', kind: undefined, isUp: true },
    { name: 'utun3', kind: 'utun', isUp: true },
    { name: 'utun4', kind: 'utun', isUp: true },
  ],
  addresses: [
    { link: 'lo0', cidr: '127.0.0.1/8' },
    { link: 'utun3', cidr: '10.50.0.1/24' },
    { link: 'utun4', cidr: '10.42.0.5/16' },
    { link: 'utun4', cidr: 'fd00:0:0:42::5/64' },
  ],
  routes: [
    { prefix: '10.42.0.0/16', link: 'utun4', table: 254, protocol: 2 },
    { prefix: '10.50.0.0/24', link: 'utun3', table: 254, protocol: 2 },
  ],
  usedUdpPorts: [],
  usedTcpPorts: [],
  reservedSubnets: [],
};
const severities = (host: HostFacts) =>
  planAll([OFFICE], host, new Map(), [OFFICE]).flatMap(({ plan }) => plan.findings.map(({ severity }) => severity));

describe('the device of a team that is up', () => {
  it('is not in the way of the team itself', () => {
    expect(severities(MAC)).toContain('refusal');
    expect(severities(withoutTeamUtuns(MAC, [OFFICE]))).toEqual([]);
  });

  it('is left out with all that it has, and nothing else is', () => {
    const { links, addresses, routes } = withoutTeamUtuns(MAC, [OFFICE]);
    expect(links).toEqual(MAC.links);
    expect(addresses.map(({ link }) => link)).toEqual(['lo0', 'utun3']);
    expect(routes.map(({ link }) => link)).toEqual(['utun3']);
  });

  it('is found by an address that is written in another way', () => {
    const other = nebula('office', { networks: ['fd00:0000::42:0:0:0:5/64'] });
    expect(withoutTeamUtuns(MAC, [other]).addresses.map(({ link }) => link)).toEqual(['lo0', 'utun3']);
  });
});

it.each([
  ['a team that is down', MAC, []],
  ['another address of the same network', MAC, [nebula('office', { networks: ['10.42.0.6/16'] })]],
  ['a team without device', MAC, [nebula('office', { networks: ['10.42.0.5/16'], wantsDevice: false })]],
  ['text that is no address', MAC, [nebula('office', { networks: ['what', ''] })]],
  ['loopback', MAC, [nebula('office', { networks: ['127.0.0.1/8'] })]],
  [
    'a link that is no utun device',
    { ...MAC, links: [{ name: 'utun4', kind: 'tun', isUp: true }] },
    [nebula('office', { networks: ['10.42.0.5/16'] })],
  ],
] as const)('nothing is left out for %s', (_, host, running) => {
  expect(withoutTeamUtuns(host, running)).toEqual(host);
});
