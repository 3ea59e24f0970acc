import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { endpoint } from '../../test/path-world.ts';
import { isBetterPath, type PathQuality } from './path-quality.ts';

const INTERNET = '203.0.113.1:1';

function path(text: string, latencyMs: number, mtuBytes = 1360): PathQuality {
  return { endpoint: endpoint(text), latencyMs, mtuBytes };
}

describe('isBetterPath', () => {
  const cases: [string, PathQuality | undefined, PathQuality | undefined, boolean][] = [
    ['any path replaces none', path(INTERNET, 900), undefined, true],
    ['none replaces nothing', undefined, path(INTERNET, 900), false],
    ['the same address is not better for being faster', path(INTERNET, 1), path(INTERNET, 9), false],
    ['the same address is better with a larger MTU', path(INTERNET, 9, 1500), path(INTERNET, 9), true],
    ['faster wins', path('203.0.113.2:1', 50), path(INTERNET, 100), true],
    ['slower loses', path('203.0.113.2:1', 100), path(INTERNET, 50), false],
    ['one percent does not count', path('203.0.113.2:1', 99), path(INTERNET, 100), false],
    ['two percent count', path('203.0.113.2:1', 98), path(INTERNET, 100), true],
    ['loopback beats the LAN', path('127.0.0.1:1', 10), path('10.0.0.1:1', 10), true],
    ['the LAN beats the Internet', path('10.0.0.1:1', 10), path(INTERNET, 10), true],
    ['172.31 is private', path('172.31.0.1:1', 10), path(INTERNET, 10), true],
    ['172.32 is not', path('172.32.0.1:1', 10), path(INTERNET, 10), false],
    ['link-local beats private', path('169.254.3.4:1', 10), path('192.168.0.1:1', 10), true],
    ['IPv6 is worth ten percent', path('[2001:db8::1]:1', 10), path(INTERNET, 10), true],
    ['but not eleven', path('[2001:db8::1]:1', 100), path(INTERNET, 89), false],
    ['unique local is private', path('[fd00::1]:1', 10), path('[2001:db8::1]:1', 10), true],
    ['::1 is loopback', path('[::1]:1', 10), path('127.0.0.1:1', 10), true],
    ['a LAN path is worth twenty percent, not thirty', path('10.0.0.1:1', 100), path(INTERNET, 70), false],
    ['no time at all beats some', path('203.0.113.2:1', 0), path(INTERNET, 1), true],
    ['two paths without delay are equal', path('203.0.113.2:1', 0), path(INTERNET, 0), false],
  ];

  test.each(cases)('%s', (_name, a, b, isBetter) => {
    expect(isBetterPath(a, b)).toBe(isBetter);
  });

  it('never prefers two paths to each other', () => {
    const paths = fc
      .tuple(
        fc.constantFrom('127.0.0.1:1', '10.0.0.1:1', INTERNET, '[2001:db8::1]:1', '[fe80::1]:1', '203.0.113.2:1'),
        fc.integer({ min: 0, max: 500 }),
      )
      .map(([text, latencyMs]) => path(text, latencyMs));
    fc.assert(fc.property(paths, paths, (a, b) => !(isBetterPath(a, b) && isBetterPath(b, a))));
  });
});
