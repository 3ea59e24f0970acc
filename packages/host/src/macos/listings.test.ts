import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseIfconfig } from './ifconfig-text.ts';
import { parseNetstat } from './netstat-text.ts';

interface LinkVector {
  readonly title: string;
  readonly lines: readonly string[];
  readonly links: readonly [name: string, kind: string | null, isUp: boolean, isRunning: boolean, mtu: number][];
  readonly addresses: readonly [link: string, cidr: string, state?: string][];
}

interface RouteVector {
  readonly title: string;
  readonly family: 4 | 6;
  readonly lines: readonly string[];
  readonly routes: readonly [prefix: string, link: string, gateway: string | null, isStatic: boolean][];
}

const readVectors = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`test-vectors/${name}.json`, import.meta.url), 'utf8'));
const linkVectors = readVectors('ifconfig') as readonly LinkVector[];
const routeVectors = readVectors('netstat') as readonly RouteVector[];
const textOf = (lines: readonly string[]): string => `${lines.join('\n')}\n`;

describe('ifconfig -a', () => {
  it.each(linkVectors)('is read: $title', ({ lines, links, addresses }) => {
    const listing = parseIfconfig(textOf(lines));
    expect(
      listing.links.map(({ name, kind, isUp, isRunning, mtu }) => [name, kind ?? null, isUp, isRunning, mtu]),
    ).toEqual(links);
    expect(
      listing.addresses.map(({ link, cidr, isTentative }) => [link, cidr, ...(isTentative ? ['tentative'] : [])]),
    ).toEqual(addresses);
    expect(listing.addresses.map(({ address, prefixBits }) => `${address}/${prefixBits}`)).toEqual(
      listing.addresses.map(({ cidr }) => cidr),
    );
    expect(listing.unreadCount).toBe(0);
  });

  it.each([
    ['an address before any link', '\tinet 10.0.0.1 netmask 0xff000000'],
    ['a link without flags', 'en0: mtu 1500'],
    ['a link without name', ': flags=0<> mtu 0'],
    ['an address that is none', 'en0: flags=0<> mtu 0\n\tinet 10.0.0 netmask 0xff000000'],
    ['an address of the other family', 'en0: flags=0<> mtu 0\n\tinet fd00::1 prefixlen 64'],
    ['a netmask with a gap', 'en0: flags=0<> mtu 0\n\tinet 10.0.0.1 netmask 0xff00ff00'],
    ['a netmask that is too long', 'en0: flags=0<> mtu 0\n\tinet 10.0.0.1 netmask 0xffffff0000'],
    ['no netmask', 'en0: flags=0<> mtu 0\n\tinet 10.0.0.1'],
    ['too many bits', 'en0: flags=0<> mtu 0\n\tinet6 fd00::1 prefixlen 129'],
    ['no bits', 'en0: flags=0<> mtu 0\n\tinet6 fd00::1 prefixlen'],
  ])('counts %s as not read', (_, text) => {
    expect(parseIfconfig(text)).toMatchObject({ addresses: [], unreadCount: 1 });
  });

  it('gives no address of a link whose line it cannot read to the link before', () => {
    const lines = ['en0: flags=0<> mtu 0', 'en1 down', '\tinet 10.0.0.1 netmask 0xff000000'];
    expect(parseIfconfig(textOf(lines))).toMatchObject({ addresses: [], unreadCount: 2 });
  });

  it('is empty when nothing was written', () => {
    expect(parseIfconfig('')).toEqual({ links: [], addresses: [], unreadCount: 0 });
  });
});

describe('netstat -rn', () => {
  it.each(routeVectors)('is read: $title', ({ lines, family, routes }) => {
    const listing = parseNetstat(textOf(lines), family);
    if (typeof listing === 'string') expect.unreachable(listing);
    expect(
      listing.routes.map(({ prefix, link, gateway, isStatic }) => [prefix, link, gateway ?? null, isStatic]),
    ).toEqual(routes);
    expect(listing.unreadCount).toBe(0);
  });

  const head = 'Routing tables\n\nInternet:\nDestination Gateway Flags Netif Expire\n';
  const head6 = head.replace('Internet', 'Internet6');

  it('is read where a gateway is empty or has blanks in it', () => {
    const text = `${head}10.1/16   UC  en0\n10.2/16  (17) 00 01 02  UC  en0  !\n`;
    expect(parseNetstat(text, 4)).toMatchObject({
      routes: [{ prefix: '10.1.0.0/16', link: 'en0', gateway: undefined }, { prefix: '10.2.0.0/16' }],
      unreadCount: 0,
    });
  });

  it.each<readonly [string, 4 | 6, string]>([
    ['a destination with five parts', 4, `${head}10.1.2.3.4 link#4 UC en0`],
    ['a destination of letters', 4, `${head}host link#4 UC en0`],
    ['a destination of the other family', 4, `${head}fd00::/64 link#4 UC en0`],
    ['a mask with a gap', 4, `${head}10.1&0xff00f link#4 UC en0`],
    ['too many bits', 4, `${head}10.1/33 link#4 UC en0`],
    ['a network of IPv6 without bits', 6, `${head6}fd00:: link#4 UC en0`],
    ['a line without link', 4, `${head}10.1/16 utun3 UC`],
    ['a line that ends early', 4, `${head}10.1/16 link#4`],
    ['a line before the names of the columns', 4, 'Routing tables\n\nInternet:\n10.1/16 link#4 UC en0'],
  ])('counts %s as not read', (_, family, text) => {
    expect(parseNetstat(text, family)).toEqual({ routes: [], unreadCount: 1 });
  });

  it.each(['', 'netstat: no namelist', 'Kernel IP routing table\nDestination Gateway'])('is not "%s"', (text) => {
    expect(parseNetstat(text, 4)).toBe('unknown-output');
  });
});

describe('the parsers', () => {
  const linkLines = linkVectors.flatMap(({ lines }) => lines);
  const routeLines = routeVectors.flatMap(({ lines }) => lines);
  const noise = fc.oneof(fc.string(), fc.stringMatching(/^[ \t]?(?:inet6?|default|10\.1|fe80::)[ %/0-9a-fx:.]{0,40}$/));

  it('never throw, whatever they read, and give no address without bits', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(noise, fc.constantFrom(...linkLines, ...routeLines))),
        fc.boolean(),
        (lines, isIpv4) => {
          const links = parseIfconfig(lines.join('\n'));
          const routes = parseNetstat(['Routing tables', ...lines].join('\n'), isIpv4 ? 4 : 6);
          if (typeof routes === 'string') expect.unreachable(routes);
          const prefixes = [...links.addresses.map(({ cidr }) => cidr), ...routes.routes.map(({ prefix }) => prefix)];
          expect(prefixes.filter((prefix) => !/^[0-9a-f.:]+\/[0-9]{1,3}$/.test(prefix))).toEqual([]);
        },
      ),
    );
  });

  it('take a text that is cut off for a shorter one', () => {
    for (const { lines } of linkVectors) {
      const text = textOf(lines);
      const whole = parseIfconfig(text).addresses.length;
      for (let length = 0; length <= text.length; length++) {
        expect(parseIfconfig(text.slice(0, length)).addresses.length).toBeLessThanOrEqual(whole);
      }
    }
    for (const { lines, family, routes } of routeVectors) {
      const text = textOf(lines);
      for (let length = 'Routing tables'.length; length <= text.length; length++) {
        const listing = parseNetstat(text.slice(0, length), family);
        expect(typeof listing === 'string' ? 0 : listing.routes.length).toBeLessThanOrEqual(routes.length + 1);
      }
    }
  });
});
