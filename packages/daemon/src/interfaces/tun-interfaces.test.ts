import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { beforeEach, describe, expect, it } from 'vitest';
import { createFakeSetup, type FakeSetup } from '../../test/fake-setup.ts';
import type { TunRequest } from '../schema/interface-api.ts';

const ALICE = { uid: 1000 };

let setup: FakeSetup;
beforeEach(() => {
  setup = createFakeSetup();
});

const create = (request: TunRequest) => setup.tun.create(request, ALICE);
const refusal = (code: string, about = '') =>
  expect.objectContaining({ code, message: expect.stringContaining(about) });

describe('a TUN device', () => {
  it('without any wish has what is documented', async () => {
    expect(await create({})).toEqual({
      name: 'tun0',
      ip_addr: '10.0.0.1',
      netmask: '255.255.255.0',
      broadcast: '10.0.0.255',
      cidr: '10.0.0.0/24',
      ip6_addr: null,
      ip6_prefix_length: null,
      mtu: 1500,
      kind: 'tun',
      persistent: true,
      attached: false,
      owner: null,
      state: 'active',
      created_by: 1000,
      created_at: '2027-01-31T12:00:00.000Z',
    });
  });

  it('has what was wished for', async () => {
    const wish = {
      name: 'lab0',
      ip_addr: '10.9.8.7',
      prefix_length: 20,
      ip6_addr: 'fd00:1::5',
      mtu: 1400,
      owner: 'alice',
    };
    expect(await create({ ...wish, persistent: false })).toMatchObject({
      name: 'lab0',
      ip_addr: '10.9.8.7',
      netmask: '255.255.240.0',
      broadcast: '10.9.15.255',
      cidr: '10.9.0.0/20',
      ip6_addr: 'fd00:1::5',
      ip6_prefix_length: 64,
      mtu: 1400,
      owner: 1000,
      persistent: false,
      attached: true,
    });
    expect(setup.kernel.linkTable.get('lab0')?.addresses).toEqual(['10.9.8.7/20', 'fd00:1::5/64']);
  });

  it('gets IPv6 of the pool when it is told to', async () => {
    expect(await create({ ip6_addr: 'auto' })).toMatchObject({ ip6_addr: 'fd12:3456:789a::1', ip6_prefix_length: 64 });
    expect(await create({ ip6_addr: 'auto' })).toMatchObject({ ip6_addr: 'fd12:3456:789a:1::1' });
  });

  it('is listed and found with live data, until somebody removes it', async () => {
    const made = await create({});
    expect(await setup.tun.list()).toEqual([made]);
    expect(await setup.tun.find('tun0')).toEqual(made);
    setup.kernel.linkTable.clear();
    expect(await setup.tun.find('tun0')).toEqual({ ...made, state: 'missing' });
    setup.kernel.addForeign('tun0');
    expect(await setup.tun.find('tun0')).toEqual({ ...made, state: 'missing' });
  });

  it('of a token has no creator', async () => {
    expect(await setup.tun.create({}, { uid: undefined })).toMatchObject({ created_by: null });
  });

  it('is not deleted while a program has it open, but for this one', async () => {
    await create({});
    await create({ persistent: false });
    const link = setup.kernel.linkTable.get('tun0') as NonNullable<ReturnType<typeof setup.kernel.linkTable.get>>;
    setup.kernel.linkTable.set('tun0', { ...link, hasCarrier: true });
    await expect(setup.tun.delete('tun0')).rejects.toEqual(refusal('tun/in-use', '"tun0"'));
    await setup.tun.delete('tun1');
    setup.kernel.linkTable.set('tun0', { ...link, hasCarrier: false });
    await setup.tun.delete('tun0');
    expect(await setup.tun.list()).toEqual([]);
  });

  it('that somebody switched off, or took an address from, says so', async () => {
    const made = await create({});
    const link = setup.kernel.linkTable.get('tun0') as NonNullable<ReturnType<typeof setup.kernel.linkTable.get>>;
    for (const change of [{ isUp: false }, { addresses: [] }, { addresses: ['10.0.0.1/16'] }]) {
      setup.kernel.linkTable.set('tun0', { ...link, ...change });
      expect(await setup.tun.find('tun0')).toEqual({ ...made, state: 'changed' });
    }
  });

  it('that a program has open is not deleted either when it was renamed', async () => {
    await create({});
    const link = setup.kernel.linkTable.get('tun0') as NonNullable<ReturnType<typeof setup.kernel.linkTable.get>>;
    setup.kernel.linkTable.delete('tun0');
    setup.kernel.linkTable.set('other', { ...link, name: 'other', hasCarrier: true });
    await expect(setup.tun.delete('tun0')).rejects.toEqual(refusal('tun/in-use'));
  });

  it('that is deleted while it is missing leaves the namesake of somebody else alone', async () => {
    await create({});
    setup.kernel.linkTable.clear();
    setup.kernel.addForeign('tun0');
    await setup.tun.delete('tun0');
    expect([...setup.kernel.linkTable.keys()]).toEqual(['tun0']);
    expect(await setup.tun.list()).toEqual([]);
  });
});

describe('names', () => {
  it('are the first that nobody has', async () => {
    setup.kernel.addForeign('tun0');
    expect(await create({})).toMatchObject({ name: 'tun1' });
    expect(await create({})).toMatchObject({ name: 'tun2' });
    await setup.tun.delete('tun1');
    expect(await create({})).toMatchObject({ name: 'tun1' });
  });

  it('that others take meanwhile are stepped over', async () => {
    const taken = new TailnetError('tun/name-taken', 'taken');
    setup.kernel.failures.push({ call: 'makeTun', error: taken });
    expect(await create({})).toMatchObject({ name: 'tun1', ip_addr: '10.0.0.1' });
    setup.kernel.failures.push({ call: 'makeTun', error: taken });
    await expect(create({ name: 'mine' })).rejects.toBe(taken);
    expect(setup.store.journal()).toEqual([]);
  });

  it('of what is missing stay its own', async () => {
    await create({ name: 'lab0' });
    setup.kernel.linkTable.clear();
    await expect(create({ name: 'lab0' })).rejects.toEqual(refusal('tun/name-taken', 'delete it first'));
  });

  it.each(['lo', 'all', 'default', 'lo0'])('such as "%s" are refused', async (name) => {
    await expect(create({ name })).rejects.toEqual(refusal('tun/bad-name', `"${name}"`));
  });

  it('of macOS are those of utun', async () => {
    setup.kernel.tunPrefix = 'utun';
    setup.kernel.canPersist = false;
    expect(await create({})).toMatchObject({ name: 'utun0', kind: 'utun', persistent: false });
    expect(await create({ name: 'utun7' })).toMatchObject({ name: 'utun7' });
    await expect(create({ name: 'tun7' })).rejects.toEqual(refusal('tun/bad-name', 'utun0'));
    await expect(create({ persistent: true })).rejects.toEqual(refusal('tun/not-supported'));
  });
});

describe('a wish that cannot be met', () => {
  it.each<[string, TunRequest, string]>([
    ['of an address that is none', { ip_addr: '10.0.0.256' }, 'tun/bad-address'],
    ['of an address of the other family', { ip6_addr: '10.0.0.1' }, 'tun/bad-address'],
    ['of a network address', { ip_addr: '10.5.0.0' }, 'tun/bad-address'],
    ['of a broadcast address', { ip_addr: '10.5.0.255' }, 'tun/bad-address'],
    ['of loopback', { ip_addr: '127.1.0.1' }, 'tun/bad-address'],
    ['of multicast', { ip_addr: '224.0.0.5' }, 'tun/bad-address'],
    ['of link-local IPv6', { ip6_addr: 'fe80::1' }, 'tun/bad-address'],
    ['of an MTU too small for IPv6', { ip6_addr: 'auto', mtu: 1279 }, 'tun/bad-mtu'],
    ['of a size without an address', { ip6_prefix_length: 64 }, 'rest/bad-field'],
    ['of a user who is not there', { owner: 'mallory' }, 'tun/unknown-owner'],
    ['of a network in use', { ip_addr: '192.168.7.9' }, 'allocation/overlap'],
  ])('%s is refused before anything is made', async (_, request, code) => {
    setup.kernel.addForeign('eth0', ['192.168.7.2/24']);
    await expect(create(request)).rejects.toEqual(refusal(code));
    expect(setup.kernel.calls).toEqual([]);
    expect(setup.store.journal()).toEqual([]);
  });

  it('because the pools are full is said with the pools', async () => {
    setup = createFakeSetup(['10.20.0.0/23']);
    await create({});
    await create({});
    await expect(create({})).rejects.toEqual(refusal('allocation/exhausted', '10.20.0.0/23'));
    await setup.tun.delete('tun0');
    expect(await create({})).toMatchObject({ ip_addr: '10.20.0.1' });
  });

  it('fully, is met with a warning inside a route through a gateway', async () => {
    setup.kernel.addForeign('eth0', ['192.168.7.2/24']);
    setup.kernel.routes.push({ prefix: '10.0.0.0/8', link: 'eth0', table: 254, gateway: '192.168.7.1' });
    const made = await create({ ip_addr: '10.5.0.1' });
    expect(made.warnings?.join()).toContain('10.0.0.0/8');
    expect(await setup.tun.find(made.name)).not.toHaveProperty('warnings');
  });
});

it('many at once never get the same name or network', async () => {
  const made = await Promise.all(Array.from({ length: 40 }, () => create({ ip6_addr: 'auto' })));
  for (const field of ['name', 'ip_addr', 'ip6_addr'] as const) {
    expect(new Set(made.map((one) => one[field])).size).toBe(40);
  }
});

it('a device that is not there is not found', async () => {
  await expect(setup.tun.find('tun5')).rejects.toEqual(refusal('tun/unknown', '"tun5"'));
  await expect(setup.tun.delete('tun5')).rejects.toEqual(refusal('tun/unknown'));
});
