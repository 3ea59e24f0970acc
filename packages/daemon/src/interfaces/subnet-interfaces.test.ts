import { beforeEach, describe, expect, it } from 'vitest';
import { createFakeSetup, type FakeSetup } from '../../test/fake-setup.ts';
import type { TeamClaims } from '../plan/claims.ts';
import type { SubnetRequest } from '../schema/interface-api.ts';

const TEAM: TeamClaims = {
  team: 'office',
  kind: 'nebula',
  networks: ['10.0.3.7/24'],
  unsafeRoutes: [],
  device: undefined,
  wantsDevice: true,
  listenPort: 0,
  isListenPortFixed: false,
  proxyPort: undefined,
  forwardPorts: [],
};

let setup: FakeSetup;
beforeEach(() => {
  setup = createFakeSetup(['10.0.0.0/8'], [TEAM]);
});

const create = (request: SubnetRequest) => setup.subnet.create(request, { uid: 0 });
const refusal = (code: string, about = '') =>
  expect.objectContaining({ code, message: expect.stringContaining(about) });

describe('a subnet', () => {
  it('is made where it is asked for, with what is documented', async () => {
    expect(await create({ cidr: '10.1.0.0/24' })).toEqual({
      network: '10.1.0.0/24',
      cidr: '10.1.0.0/24',
      interface: 'dummy0',
      ip_addr: '10.1.0.1',
      kind: 'dummy',
      mtu: 1500,
      state: 'active',
      created_by: 0,
      created_at: '2027-01-31T12:00:00.000Z',
    });
    expect(setup.kernel.linkTable.get('dummy0')?.addresses).toEqual(['10.1.0.1/24']);
  });

  it('is found and deleted however its network is written', async () => {
    const made = await create({ cidr: 'fd00:0:0:7::/64' });
    expect(made).toMatchObject({ network: 'fd00:0:0:7::/64', ip_addr: 'fd00:0:0:7::1' });
    expect(await setup.subnet.find('FD00:0::7:0:0:0:0/64')).toEqual(made);
    await setup.subnet.delete('fd00:0000::7:0:0:0:0/64');
    expect(await setup.subnet.list()).toEqual([]);
    expect(setup.kernel.linkTable.size).toBe(0);
  });

  it('without a network gets a free one of the size', async () => {
    expect(await create({})).toMatchObject({ network: '10.0.0.0/24' });
    expect(await create({ prefix_length: 25 })).toMatchObject({ network: '10.0.1.0/25' });
    expect(await create({ prefix_length: 26 })).toMatchObject({ network: '10.0.1.128/26' });
    expect(await create({ family: 6 })).toMatchObject({ network: 'fd12:3456:789a::/64' });
    expect(await create({ family: 6, prefix_length: 56 })).toMatchObject({ network: 'fd12:3456:789a:100::/56' });
  });

  it('keeps clear of teams that are configured and of networks that programs commonly take', async () => {
    const networks = [];
    for (let count = 0; count < 4; count++) networks.push((await create({})).network);
    expect(networks).toEqual(['10.0.0.0/24', '10.0.1.0/24', '10.0.4.0/24', '10.0.5.0/24']);
  });

  it('shows what would be given next, and is given that', async () => {
    const query = { family: 4, prefixLength: 24, countMax: 3 } as const;
    const { free } = await setup.subnet.listFree(query);
    for (const network of free) expect(await create({})).toMatchObject({ network });
    expect(free).toHaveLength(3);
    await expect(setup.subnet.listFree({ ...query, prefixLength: 31 })).rejects.toEqual(refusal('rest/bad-field'));
    expect(await setup.subnet.listFree({ family: 6, prefixLength: undefined, countMax: 1 })).toEqual({
      free: ['fd12:3456:789a::/64'],
    });
  });
});

describe('the link of a subnet', () => {
  it('is of the best kind that the kernel has, which is found out once', async () => {
    setup.kernel.missingKinds.add('dummy');
    expect(await create({})).toMatchObject({ kind: 'bridge', interface: 'dummy0' });
    expect(await create({})).toMatchObject({ kind: 'bridge', interface: 'dummy1' });
    expect(setup.kernel.calls.filter((call) => call.startsWith('makeSubnet'))).toHaveLength(3);
  });

  it('is refused when the kernel has none', async () => {
    for (const kind of ['dummy', 'bridge', 'ifb', 'tun'] as const) setup.kernel.missingKinds.add(kind);
    await expect(create({})).rejects.toEqual(refusal('interface/unsupported'));
    expect(setup.store.journal()).toEqual([]);
  });

  it('is numbered around those of others', async () => {
    setup.kernel.addForeign('dummy0');
    expect(await create({})).toMatchObject({ interface: 'dummy1' });
  });
});

describe('a wish that cannot be met', () => {
  it.each<[SubnetRequest, string, string]>([
    [{ cidr: '10.1.0.5/24' }, 'subnet/host-bits', '10.1.0.0/24'],
    [{ cidr: '10.1.0/24' }, 'subnet/bad-cidr', '10.1.0/24'],
    [{ cidr: '10.01.0.0/24' }, 'subnet/bad-cidr', '10.01.0.0/24'],
    [{ cidr: '10.1.0.0' }, 'subnet/bad-cidr', ''],
    [{ cidr: '::ffff:10.1.0.0/120' }, 'subnet/bad-cidr', ''],
    [{ cidr: '127.4.0.0/16' }, 'subnet/forbidden-range', '127.4.0.0/16'],
    [{ cidr: '169.254.3.0/24' }, 'subnet/forbidden-range', ''],
    [{ cidr: 'ff02::/64' }, 'subnet/forbidden-range', ''],
    [{ cidr: '0.0.0.0/8' }, 'subnet/forbidden-range', ''],
    [{ cidr: '10.0.3.0/24' }, 'allocation/overlap', 'office'],
    [{ cidr: '10.0.0.0/16' }, 'allocation/overlap', 'office'],
    [{ cidr: '192.168.7.128/25' }, 'allocation/overlap', 'eth0'],
    [{ cidr: 'fd00:1::/64', mtu: 600 }, 'subnet/bad-mtu', '600'],
    [{ cidr: '10.9.0.0/24', prefix_length: 26 }, 'rest/bad-field', 'cidr'],
    [{ cidr: '10.9.0.0/24', family: 6 }, 'rest/bad-field', 'cidr'],
    [{ prefix_length: 31 }, 'rest/bad-field', '31'],
    [{ family: 6, prefix_length: 24 }, 'rest/bad-field', '24'],
  ])('%j is refused with %s before anything is made', async (request, code, about) => {
    setup.kernel.addForeign('eth0', ['192.168.7.2/24']);
    await expect(create(request)).rejects.toEqual(refusal(code, about));
    expect(setup.kernel.calls).toEqual([]);
  });

  it('because it is there already is told so, also where its link is missing', async () => {
    await create({ cidr: '10.1.0.0/24' });
    setup.kernel.linkTable.clear();
    await expect(create({ cidr: '10.1.0.0/24' })).rejects.toEqual(refusal('subnet/exists', 'delete it first'));
    await expect(create({ cidr: '10.1.0.0/25' })).rejects.toEqual(refusal('allocation/overlap', '10.1.0.0/24'));
    await expect(setup.subnet.find('10.1.0.0/25')).rejects.toEqual(refusal('subnet/unknown'));
  });

  it('of two at once is met for one', async () => {
    const both = await Promise.allSettled([create({ cidr: '10.7.0.0/24' }), create({ cidr: '10.7.0.0/16' })]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  });
});

it('TUN devices and subnets never get the same network', async () => {
  const made = await Promise.all(
    Array.from({ length: 20 }, async (_, i) =>
      i % 2 === 0 ? (await create({})).network : (await setup.tun.create({}, { uid: 0 })).cidr,
    ),
  );
  expect(new Set(made).size).toBe(20);
});
