import { describe, expect, it } from 'vitest';
import { encodeAddAddress, encodeDeleteAddress } from './address-request.ts';
import { encodeAddLink, encodeChangeLink, encodeDeleteLink } from './link-request.ts';
import { encodeAddRoute, encodeDeleteRoute, type RouteRequest } from './route-request.ts';
import recorded from './test-vectors/recorded-requests.json' with { type: 'json' };

type Encode = (sequence: number) => Uint8Array;

const linkIndex = 2;
const LINK = { name: 'br0', kind: 'bridge', group: 77 };
const IPV4 = { linkIndex, address: '10.1.0.1', prefixBits: 24 };
const IPV6 = { linkIndex, address: 'fd00:1::1', prefixBits: 64 };
const VIA: RouteRequest = {
  prefix: '10.9.0.0/16',
  linkIndex,
  gateway: '10.1.0.2',
  table: 1052,
  protocol: 200,
  metric: 100,
};
const ON_LINK: RouteRequest = { prefix: '10.8.0.0/16', linkIndex, table: 254, protocol: 4, metric: 0 };
const DEFAULT: RouteRequest = { ...ON_LINK, prefix: '0.0.0.0/0', gateway: '10.1.0.3', table: 52, protocol: 3 };
const VIA_IPV6: RouteRequest = { ...VIA, prefix: 'fd00:9::/48', gateway: 'fd00:1::2', table: 52, metric: 7 };
const ALIAS = 'heddle:subnet:10.1.0.0/24';

/** In the order in which they were recorded. */
const REQUESTS: readonly Encode[] = [
  (sequence) => encodeAddLink(sequence, LINK),
  (sequence) => encodeChangeLink(sequence, linkIndex, { isUp: true }),
  (sequence) => encodeAddAddress(sequence, { ...IPV4, broadcast: '10.1.0.255' }),
  (sequence) => encodeAddAddress(sequence, { ...IPV4, address: '10.2.0.1', broadcast: undefined }),
  (sequence) => encodeAddAddress(sequence, { ...IPV6, broadcast: undefined }),
  (sequence) => encodeAddRoute(sequence, VIA),
  (sequence) => encodeAddRoute(sequence, ON_LINK),
  (sequence) => encodeAddRoute(sequence, DEFAULT),
  (sequence) => encodeAddRoute(sequence, VIA_IPV6),
  (sequence) => encodeDeleteRoute(sequence, VIA),
  (sequence) => encodeDeleteRoute(sequence, ON_LINK),
  (sequence) => encodeDeleteRoute(sequence, VIA_IPV6),
  (sequence) => encodeDeleteAddress(sequence, IPV4),
  (sequence) => encodeDeleteAddress(sequence, IPV6),
  (sequence) => encodeChangeLink(sequence, linkIndex, { alias: ALIAS, mtu: 1400, group: 78, isUp: false }),
  (sequence) => encodeChangeLink(sequence, linkIndex, { alias: 'ö' }),
  (sequence) => encodeDeleteLink(sequence, linkIndex),
];

describe('a request for a change', () => {
  it('is recorded of iproute2, each one', () => {
    expect(REQUESTS.length).toBe(recorded.requests.length);
  });

  it.each(recorded.requests.map(({ command, request }, at) => [command, request, REQUESTS[at]!] as const))(
    'has the bytes of "%s"',
    (_, request, encode) => {
      const sequence = Buffer.from(request, 'hex').readUInt32LE(8);
      expect(Buffer.from(encode(sequence)).toString('hex')).toBe(request);
    },
  );
});

describe('what the caller gives', () => {
  it.each(['', '.', '..', 'a/b', 'a:b', 'a b', 'a\tb', 'a\u00a0b', 'tun%d', '0123456789abcdef', 'öööööööö', 'a\0b'])(
    'cannot be a link named %j',
    (name) => {
      expect(() => encodeAddLink(1, { ...LINK, name })).toThrow(RangeError);
    },
  );

  it.each(['0123456789abcde', 'ööööööö', '-', 'a..b'])('can be a link named %j', (name) => {
    const bytes = Buffer.from(encodeAddLink(1, { ...LINK, name }));
    expect(bytes.includes(Buffer.from(`${name}\0`))).toBe(true);
  });

  it.each(['', 'x'.repeat(56), 'bridge\0'])('cannot be a kind %j', (kind) => {
    expect(() => encodeAddLink(1, { ...LINK, kind })).toThrow(RangeError);
  });

  it.each([0, -1, 1.5, Number.NaN, 0x80000000])('cannot be a link index %d', (index) => {
    expect(() => encodeDeleteLink(1, index)).toThrow(RangeError);
    expect(() => encodeChangeLink(1, index, { group: 5 })).toThrow(RangeError);
    expect(() => encodeAddAddress(1, { ...IPV4, linkIndex: index, broadcast: undefined })).toThrow(RangeError);
    expect(() => encodeDeleteAddress(1, { ...IPV4, linkIndex: index })).toThrow(RangeError);
    expect(() => encodeAddRoute(1, { ...VIA, linkIndex: index })).toThrow(RangeError);
    expect(() => encodeDeleteRoute(1, { ...VIA, linkIndex: index })).toThrow(RangeError);
  });

  it.each([{ mtu: -1 }, { mtu: 0x80000000 }, { mtu: 1.5 }, { group: -1 }, { group: 2 ** 32 }, { alias: 'a\0b' }])(
    'cannot change a link to %j',
    (change) => {
      expect(() => encodeChangeLink(1, 2, change)).toThrow(RangeError);
    },
  );

  it('can be an alias of 255 bytes and not of 256', () => {
    expect(encodeChangeLink(1, 2, { alias: `${'ö'.repeat(127)}x` }).length).toBe(16 + 16 + 260);
    expect(() => encodeChangeLink(1, 2, { alias: 'ö'.repeat(128) })).toThrow(RangeError);
  });

  it.each([
    { address: '10.1.0' },
    { address: '10.1.0.1/24' },
    { address: 'fe80::1%lo' },
    { prefixBits: 33 },
    { prefixBits: -1 },
    { address: 'fd00::1', prefixBits: 129 },
    { broadcast: '10.1.0.256' },
    { broadcast: 'fd00::ff' },
    { address: 'fd00::1', broadcast: '10.1.0.255' },
  ])('cannot be an address with %j', (field) => {
    expect(() => encodeAddAddress(1, { ...IPV4, broadcast: undefined, ...field })).toThrow(RangeError);
  });

  it.each([
    { prefix: '10.9.0.1/16' },
    { prefix: 'default' },
    { gateway: '10.1.0' },
    { gateway: 'fd00::1' },
    { prefix: 'fd00:9::/48' },
    { table: 0 },
    { table: 2 ** 32 },
    { protocol: 256 },
    { metric: -1 },
  ])('cannot be a route with %j', (field) => {
    expect(() => encodeAddRoute(1, { ...VIA, ...field })).toThrow(RangeError);
    expect(() => encodeDeleteRoute(1, { ...VIA, ...field })).toThrow(RangeError);
  });
});
