import { describe, expect, it } from 'vitest';
import type { SubnetRecord, TunRecord } from '../store/interface-records.ts';
import { formatLinkAlias, parseLinkAlias } from './link-alias.ts';

const INSTANCE = '3f2a9c01-77aa-4c1e-9a55-1f0c2d3e4b5a';
const SUBNET: SubnetRecord = {
  kind: 'subnet',
  cidr: 'fd12:3456:789a:1::/64',
  address: 'fd12:3456:789a:1::1',
  link: 'dummy0',
  linkKind: 'dummy',
  mtu: 1500,
  mark: 1,
  createdUnixMs: 0,
};
const TUN: TunRecord = {
  kind: 'tun',
  name: 'tun0',
  address: '10.0.0.1',
  prefixBits: 24,
  mtu: 1500,
  isPersistent: true,
  mark: 2,
  createdUnixMs: 0,
};

describe('the alias of a link', () => {
  it('tells people what it is, and of which database', () => {
    expect(formatLinkAlias(TUN, INSTANCE)).toBe('heddle tun 10.0.0.1/24 3f2a9c01');
    expect(formatLinkAlias(SUBNET, INSTANCE)).toBe('heddle subnet fd12:3456:789a:1::/64 3f2a9c01');
  });

  it('is read back', () => {
    expect(parseLinkAlias(formatLinkAlias(TUN, INSTANCE))).toEqual({
      kind: 'tun',
      cidr: '10.0.0.1/24',
      instance: '3f2a9c01',
    });
    expect(parseLinkAlias(formatLinkAlias(SUBNET, INSTANCE))).toMatchObject({ cidr: SUBNET.cidr });
  });

  it.each([
    undefined,
    '',
    'heddle',
    'uplink',
    'heddle tun 10.0.0.1 3f2a9c01',
    'heddle tap 10.0.0.1/24 x',
    'a heddle tun 10.0.0.1/24 x',
  ])('%j is somebody else’s', (text) => {
    expect(parseLinkAlias(text)).toBeUndefined();
  });
});
