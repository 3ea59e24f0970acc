import fc from 'fast-check';
import { expect, it } from 'vitest';
import headscale from '../../test/vectors/control/stream-headscale-0.29.2.json' with { type: 'json' };
import { normaliseFqdn, parseDnsConfig } from './dns-config.ts';

it('reads what Headscale sends', () => {
  const config = parseDnsConfig((headscale.steps[0]!.responses[0]![1] as Record<string, unknown>)['DNSConfig']);
  expect(config).toMatchObject({ isProxied: true, domains: ['ts.test'], resolvers: [] });
  expect(config.routes.get('corp.test')).toEqual([{ address: '127.0.0.53', bootstrap: [] }]);
  expect(config.routes.get('0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa')).toEqual([]);
  expect(config.extraRecords.map(({ name, address }) => [name, address.text])).toEqual([
    ['grafana.ts.test.', '100.64.0.3'],
  ]);
});

it('suffixes have one form, and records that are no address are left out', () => {
  const config = parseDnsConfig({
    Routes: { 'Corp.Test.': [{ Addr: '1.1.1.1' }, {}, 'x'] },
    Resolvers: [{ Addr: 'https://dns.test/q', BootstrapResolution: ['192.0.2.1', 'x'] }],
    ExtraRecords: [
      { Name: 'A.test', Type: 'AAAA', Value: '192.0.2.1' },
      { Name: 'b.test', Type: 'CNAME', Value: 'x' },
      { Name: 'C.test.', Value: '2001:db8::1' },
    ],
  });
  expect([...config.routes]).toEqual([['corp.test', [{ address: '1.1.1.1', bootstrap: [] }]]]);
  expect(config.resolvers[0]!.bootstrap.map((address) => address.text)).toEqual(['192.0.2.1']);
  expect(config.extraRecords.map(({ name }) => name)).toEqual(['c.test.']);
});

it('a name has one trailing dot', () => {
  expect(['A.b', 'a.b.', '.a.b..', ''].map(normaliseFqdn)).toEqual(['a.b.', 'a.b.', 'a.b.', '']);
});

it('any JSON is survived', () => {
  const fields = fc.constantFrom('Routes', 'Resolvers', 'FallbackResolvers', 'ExtraRecords', 'Domains');
  fc.assert(fc.property(fc.dictionary(fields, fc.jsonValue()), (json) => void parseDnsConfig(json)));
});
