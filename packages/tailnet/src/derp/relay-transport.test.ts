import { expect, test } from 'vitest';
import { relayNode } from '../../test/relay-fixture.ts';
import { chooseTransport, relayPort } from './relay-transport.ts';

const secure = { hostName: 'relay.example', ipv4: '', ipv6: '', isInsecureForTests: false };
const httpsControl = { controlUrl: 'https://control.example', environment: {} };

test.each([
  ['a usual node', relayNode(443, secure), httpsControl, 'tls'],
  [
    'the port of a plain control server',
    relayNode(8080, { ...secure, hostName: 'headscale' }),
    { controlUrl: 'http://headscale:8080', environment: {} },
    'plain',
  ],
  [
    'its default port',
    relayNode(80, { ...secure, hostName: 'headscale' }),
    { controlUrl: 'http://Headscale/', environment: {} },
    'plain',
  ],
  [
    'its address in brackets',
    relayNode(8080, { ...secure, hostName: '::1' }),
    { controlUrl: 'http://[::1]:8080', environment: {} },
    'plain',
  ],
  [
    'another port of that host',
    relayNode(8443, { ...secure, hostName: 'headscale' }),
    { controlUrl: 'http://headscale:8080', environment: {} },
    'tls',
  ],
  [
    'the port of a TLS control server',
    relayNode(8080, { ...secure, hostName: 'headscale' }),
    { controlUrl: 'https://headscale:8080', environment: {} },
    'tls',
  ],
  ['our override', relayNode(443, secure), { ...httpsControl, environment: { HEDDLE_DERP_HTTP: '1' } }, 'plain'],
  [
    'the override of tailscaled',
    relayNode(443, secure),
    { ...httpsControl, environment: { TS_DEBUG_USE_DERP_HTTP: '1' } },
    'plain',
  ],
  [
    'an override that is off',
    relayNode(443, secure),
    { ...httpsControl, environment: { HEDDLE_DERP_HTTP: '0' } },
    'tls',
  ],
  ['a test node on loopback', relayNode(3340), httpsControl, 'tls-or-plain'],
  ['a test node on IPv6 loopback', relayNode(3340, { ipv4: 'none', ipv6: '::1' }), httpsControl, 'tls-or-plain'],
  [
    'a test node named localhost',
    relayNode(3340, { hostName: 'localhost', ipv4: '', ipv6: '' }),
    httpsControl,
    'tls-or-plain',
  ],
  ['a loopback node that is no test', relayNode(3340, { isInsecureForTests: false }), httpsControl, 'tls'],
  ['a test node elsewhere', relayNode(3340, { hostName: '192.0.2.1', ipv4: '192.0.2.1' }), httpsControl, 'tls'],
  ['a control URL that is none', relayNode(443, secure), { controlUrl: 'nonsense', environment: {} }, 'tls'],
] as const)('%s', (_name, node, o, expected) => {
  expect(chooseTransport(node, o)).toBe(expected);
});

test('port 0 is 443, or 3340 without TLS', () => {
  expect(relayPort(relayNode(0), 'tls')).toBe(443);
  expect(relayPort(relayNode(0), 'plain')).toBe(3340);
  expect(relayPort(relayNode(8443), 'plain')).toBe(8443);
});
