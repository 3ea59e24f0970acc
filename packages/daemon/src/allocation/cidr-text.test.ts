import { parseAddress } from '@heddle/proto/ip/address';
import { formatPrefix, type IpPrefix, parsePrefix } from '@heddle/proto/ip/prefix';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { broadcastOf, dottedNetmask, firstHost, isHostOf, networkOf, parseNetwork } from './cidr-text.ts';

const prefix = (text: string): IpPrefix => parsePrefix(text)!;
const address = (text: string): IpPrefix['address'] => parseAddress(text)!;

describe('the text of a network', () => {
  it.each([
    ['10.1.0.0/24', '10.1.0.0/24'],
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['10.1.0.7/32', '10.1.0.7/32'],
    ['FD00:0001:0:0::/64', 'fd00:1::/64'],
    ['fd00:0:0:0:0:0:0:0/48', 'fd00::/48'],
    ['fd00::10.1.0.0/112', 'fd00::a01:0/112'],
    ['::/0', '::/0'],
  ])('%s is %s', (text, expected) => {
    const network = parseNetwork(text);
    expect(network.kind === 'ok' && formatPrefix(network.prefix)).toBe(expected);
  });

  it.each([
    ['10.1.0.5/24', '10.1.0.0/24'],
    ['10.1.0.1/8', '10.0.0.0/8'],
    ['10.1.0.0/0', '0.0.0.0/0'],
    ['FD00::1/64', 'fd00::/64'],
    ['fd00:1:2:3::/48', 'fd00:1:2::/48'],
  ])('%s has host bits and hints at %s', (text, hint) => {
    expect(parseNetwork(text)).toEqual({ kind: 'host-bits', hint });
  });

  it.each([
    '',
    '/',
    '/24',
    '10.1.0.0',
    '10.1.0.0/',
    '10.1.0/24',
    '10.1/16',
    '167837696/24',
    '0x0a.1.0.0/24',
    '010.1.0.0/24',
    '10.01.0.0/24',
    '10.1.0.00/24',
    '10.1.0.256/24',
    '10.1.0.0/024',
    '10.1.0.0/33',
    '10.1.0.0/-1',
    '10.1.0.0/+24',
    '10.1.0.0/24.0',
    '10.1.0.0/1e1',
    '10.1.0.0/255.255.255.0',
    '10.1.0.0/24/24',
    '10.1.0.0 /24',
    ' 10.1.0.0/24',
    '10.1.0.0/24\n',
    '10.1.0.0/24\0',
    '١٠.1.0.0/24',
    'fd00::',
    'fd00::/129',
    'fd00:::/64',
    'fd00::%eth0/64',
    '[fd00::]/64',
    '1:2:3:4:5:6:7:8:9/64',
    '::ffff:10.1.0.0/120',
    '::ffff:0:0/96',
    'example.org/24',
  ])('%j is refused', (text) => {
    expect(parseNetwork(text)).toEqual({ kind: 'bad-cidr' });
  });

  it('is never read from random text by accident, and reading never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[0-9a-f.:/]{1,24}$/)), (text) => {
        const read = parseNetwork(text);
        const canonical = read.kind === 'ok' ? formatPrefix(read.prefix) : read.kind === 'host-bits' ? read.hint : '';
        if (canonical !== '') expect(parseNetwork(canonical)).toEqual({ kind: 'ok', prefix: prefix(canonical) });
      }),
      { numRuns: 2000 },
    );
  });

  it('hints at a network that has the address in it, and is read back as itself', () => {
    const anyText = fc.oneof(
      fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })),
      fc.tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 })),
    );
    fc.assert(
      fc.property(anyText, ([host, bits]) => {
        const read = parseNetwork(`${host}/${bits}`);
        fc.pre(read.kind !== 'bad-cidr');
        const expected = formatPrefix(networkOf(address(host), bits));
        expect(read.kind === 'ok' ? formatPrefix(read.prefix) : read.kind === 'host-bits' && read.hint).toBe(expected);
      }),
    );
  });
});

describe('the addresses of a network', () => {
  it.each([
    ['10.1.0.0/24', '10.1.0.1'],
    ['10.1.0.77/24', '10.1.0.1'],
    ['10.1.0.252/30', '10.1.0.253'],
    ['10.1.0.4/31', '10.1.0.4'],
    ['10.1.0.4/32', '10.1.0.4'],
    ['fd00:1::/64', 'fd00:1::1'],
    ['fd00:1::fc/126', 'fd00:1::fd'],
    ['fd00:1::fe/127', 'fd00:1::fe'],
  ])('%s begins for hosts with %s', (text, expected) => {
    expect(firstHost(prefix(text)).text).toBe(expected);
  });

  it.each([
    [0, '0.0.0.0'],
    [1, '128.0.0.0'],
    [8, '255.0.0.0'],
    [20, '255.255.240.0'],
    [24, '255.255.255.0'],
    [30, '255.255.255.252'],
    [32, '255.255.255.255'],
  ])('%i bits are the netmask %s', (bits, expected) => {
    expect(dottedNetmask(bits)).toBe(expected);
  });

  it.each([
    ['10.0.0.1', 24, '10.0.0.255'],
    ['10.1.2.3', 8, '10.255.255.255'],
    ['10.1.2.3', 22, '10.1.3.255'],
    ['10.1.2.5', 30, '10.1.2.7'],
    ['10.1.2.5', 0, '255.255.255.255'],
    ['10.1.2.5', 32, '10.1.2.5'],
  ])('the broadcast of %s with %i bits is %s', (text, bits, expected) => {
    expect(broadcastOf(address(text), bits).text).toBe(expected);
  });

  it.each([
    ['10.1.0.0/24', '10.1.0.1', true],
    ['10.1.0.0/24', '10.1.0.254', true],
    ['10.1.0.9/24', '10.1.0.1', true],
    ['10.1.0.0/24', '10.1.0.0', false],
    ['10.1.0.0/24', '10.1.0.255', false],
    ['10.1.0.0/23', '10.1.0.255', true],
    ['10.1.0.0/24', '10.1.1.1', false],
    ['10.1.0.0/24', 'fd00::1', false],
    ['10.1.0.4/31', '10.1.0.4', true],
    ['10.1.0.4/31', '10.1.0.5', true],
    ['fd00::/64', 'fd00::', false],
    ['fd00::/64', 'fd00::ffff:ffff:ffff:ffff', true],
    ['fd00::/64', 'fd00:0:0:1::1', false],
    ['fd00::/64', '10.1.0.1', false],
  ])('in %s, %s may be a host: %s', (network, host, expected) => {
    expect(isHostOf(prefix(network), address(host))).toBe(expected);
  });

  it('belong to their first host, however wide the network is', () => {
    const anyNetwork = fc.oneof(
      fc.tuple(fc.ipV4(), fc.integer({ min: 1, max: 32 })),
      fc.tuple(
        fc.ipV6().filter((text) => !parseAddress(text)!.text.startsWith('::')),
        fc.integer({ min: 1, max: 128 }),
      ),
    );
    fc.assert(
      fc.property(anyNetwork, ([text, bits]) => {
        const network = networkOf(address(text), bits);
        expect(isHostOf(network, firstHost(network))).toBe(true);
      }),
    );
  });

  it('have no sizes beyond their family', () => {
    for (const bits of [-1, 33, 1.5, Number.NaN]) {
      expect(() => dottedNetmask(bits)).toThrow(RangeError);
      expect(() => broadcastOf(address('10.0.0.1'), bits)).toThrow(RangeError);
      expect(() => networkOf(address('10.0.0.1'), bits)).toThrow(RangeError);
    }
    expect(() => networkOf(address('fd00::1'), 129)).toThrow(RangeError);
    expect(() => broadcastOf(address('fd00::1'), 64)).toThrow(RangeError);
  });
});
