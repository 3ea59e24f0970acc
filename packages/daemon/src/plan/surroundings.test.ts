import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_HOST } from '../../test/plan-facts.ts';
import { parseClaimedPrefix } from './claimed-prefix.ts';
import type { HostFacts, HostRoute } from './host-facts.ts';
import { type Opponent, Surroundings } from './surroundings.ts';

const anyText = fc.oneof(
  fc.tuple(fc.nat(5), fc.integer({ min: 0, max: 34 })).map(([part, bits]) => `10.0.${part}.0/${bits}`),
  fc.tuple(fc.nat(5), fc.integer({ min: 60, max: 130 })).map(([part, bits]) => `fd00:${part}::/${bits}`),
  fc.constantFrom('nonsense', '::ffff:10.0.0.1/128', '0.0.0.0/0'),
);
const anyRoute: fc.Arbitrary<HostRoute> = fc.record({
  prefix: anyText,
  link: fc.constantFrom('', 'eth0', 'eth1'),
  table: fc.constant(254),
  gateway: fc.constantFrom(undefined, '', '192.0.2.1'),
  protocol: fc.constantFrom(undefined, 2, 3, 4, 16),
});
const anyHost: fc.Arbitrary<HostFacts> = fc.record({
  links: fc.constant([]),
  usedUdpPorts: fc.constant([]),
  usedTcpPorts: fc.constant([]),
  addresses: fc.array(fc.record({ link: fc.constantFrom('eth0', 'eth1'), cidr: anyText }), { maxLength: 6 }),
  routes: fc.array(anyRoute, { maxLength: 12 }),
  reservedSubnets: fc.array(fc.record({ name: fc.constantFrom('a', 'b'), cidr: anyText }), { maxLength: 4 }),
});

const textOf = ({ kind, claimed, ...rest }: Opponent): string => {
  return JSON.stringify([kind, claimed.prefix.address.text, claimed.prefix.bits, claimed.isRoute, rest]);
};

/** What the parser says of each fact, without what any look before has kept. */
function readAnew({ reservedSubnets, addresses, routes }: HostFacts): string[] {
  const read = (text: string, isRoute: boolean, toOpponent: (claimed: Opponent['claimed']) => Opponent): string[] => {
    const claimed = parseClaimedPrefix(text, isRoute);
    return claimed === undefined ? [] : [textOf(toOpponent(claimed))];
  };
  return [
    ...reservedSubnets.flatMap(({ name, cidr }) =>
      read(cidr, false, (claimed) => ({ kind: 'reserved', claimed, name })),
    ),
    ...addresses.flatMap(({ link, cidr }) => read(cidr, false, (claimed) => ({ kind: 'address', claimed, link }))),
    ...routes.flatMap(({ prefix, link, gateway = '', protocol }) => {
      const isRoute = gateway !== '' || protocol === 3 || protocol === 4;
      return read(prefix, isRoute, (claimed) => ({ kind: 'route', claimed, link, gateway }));
    }),
  ];
}

describe('the surroundings', () => {
  it('are the same when the same facts are read again, and those of the parser', () => {
    fc.assert(
      fc.property(anyHost, (host) => {
        const first = new Surroundings(host);
        const again = new Surroundings(structuredClone(host));
        expect(again.opponents).toEqual(first.opponents);
        expect(again.unreadable).toEqual(first.unreadable);
        expect(first.opponents.map(textOf).toSorted()).toEqual(readAnew(host).toSorted());
      }),
    );
  });

  it('name whose the text is that cannot be read', () => {
    const host: HostFacts = {
      ...EMPTY_HOST,
      addresses: [{ link: 'eth0', cidr: 'x' }],
      routes: [{ prefix: 'y', link: 'eth1', table: 254 }],
      reservedSubnets: [{ name: 'containers', cidr: 'z' }],
    };
    expect(new Surroundings(host).unreadable).toEqual([
      { text: 'z', owner: 'subnet "containers"', team: undefined },
      { text: 'x', owner: 'link "eth0"', team: undefined },
      { text: 'y', owner: 'the routes of "eth1"', team: undefined },
    ]);
  });
});
