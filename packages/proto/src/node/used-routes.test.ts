import { describe, expect, test } from 'vitest';
import { formatPrefix, type IpPrefix, parsePrefix } from '../ip/prefix.ts';
import { usedRoutes } from './used-routes.ts';

const prefixes = (...texts: string[]): IpPrefix[] => texts.map((text) => parsePrefix(text) as IpPrefix);

describe('the routes of a peer that are used', () => {
  const addresses = prefixes('100.64.0.2/32', 'fd7a::2/128');
  const allowedIps = prefixes('100.64.0.2/32', 'fd7a::2/128', '10.1.0.0/16', 'fd00::/48', '0.0.0.0/0', '::/0');
  const used = (acceptsRoutes: boolean): string[] =>
    usedRoutes({ addresses, allowedIps }, acceptsRoutes).map(formatPrefix);

  test('are its own addresses', () => {
    expect(used(false)).toEqual(['100.64.0.2/32', 'fd7a::2/128']);
  });
  test('are its subnets too when they are accepted, and never a default route', () => {
    expect(used(true)).toEqual(['100.64.0.2/32', 'fd7a::2/128', '10.1.0.0/16', 'fd00::/48']);
  });
  test('are no address that the server does not let it have', () => {
    expect(usedRoutes({ addresses, allowedIps: [] }, true)).toEqual([]);
  });
  test('are not the address of another node, even as a prefix of one', () => {
    expect(usedRoutes({ addresses, allowedIps: prefixes('100.64.0.3/32') }, false)).toEqual([]);
  });
});
