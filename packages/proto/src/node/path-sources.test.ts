import { expect, test } from 'vitest';
import { type Endpoint, parseEndpoint } from '../ip/endpoint.ts';
import { PathSources } from './path-sources.ts';

const endpoint = parseEndpoint('198.51.100.1:41641') as Endpoint;

test('the same way in is the same object', () => {
  const sources = new PathSources();
  const udp = sources.ofEndpoint(endpoint);
  expect(udp).toEqual({ kind: 'udp', endpoint });
  expect(sources.ofEndpoint(endpoint)).toBe(udp);
  const relay = sources.ofRelay(7, 3);
  expect(relay).toEqual({ kind: 'derp', regionId: 7, peer: 3 });
  expect(sources.ofRelay(7, 3)).toBe(relay);
});

test('another region or peer is another way', () => {
  const sources = new PathSources();
  expect(sources.ofRelay(7, 3)).not.toBe(sources.ofRelay(8, 3));
  expect(sources.ofRelay(7, 4)).toEqual({ kind: 'derp', regionId: 7, peer: 4 });
});

test('the table of relay senders is emptied when it is full, and goes on', () => {
  const sources = new PathSources();
  const first = sources.ofRelay(1, 0);
  for (let peer = 1; peer < 65_536; peer++) sources.ofRelay(1, peer);
  expect(sources.ofRelay(1, 0)).toBe(first);
  expect(sources.ofRelay(1, 65_536)).toEqual({ kind: 'derp', regionId: 1, peer: 65_536 });
  expect(sources.ofRelay(1, 0)).not.toBe(first);
  expect(sources.ofRelay(1, 0)).toEqual(first);
});
