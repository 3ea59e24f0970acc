import { describe, expect, it } from 'vitest';
import { deriveDeviceName } from '../plan/device-name.ts';
import { chooseLinkName, isUsableLinkName } from './link-name.ts';

describe('the name of a link', () => {
  it.each([
    [[], 'tun0'],
    [['tun0'], 'tun1'],
    [['tun1'], 'tun0'],
    [['tun0', 'tun2'], 'tun1'],
    [['tun00', 'dummy0', 'TUN0', 'tun'], 'tun0'],
  ])('beside %j is %s', (taken, expected) => {
    expect(chooseLinkName('tun', new Set(taken))).toBe(expected);
  });

  it('is always one that may be used, also behind a thousand others', () => {
    const taken = new Set<string>();
    for (let i = 0; i < 1000; i++) {
      const name = chooseLinkName('dummy', taken);
      expect([isUsableLinkName(name), taken.has(name)]).toEqual([true, false]);
      taken.add(name);
    }
    expect(taken.has('dummy999')).toBe(true);
  });

  it.each(['tun0', 'utun7', 'a', 'my-tun_1.5', 'lo1', 'all1', 'abcdefghijklmno'])('may be %j', (name) => {
    expect(isUsableLinkName(name)).toBe(true);
  });

  it.each([
    '',
    'lo',
    'lo0',
    'all',
    'default',
    'bonding_masters',
    '0tun',
    '-tun',
    '.',
    '..',
    'tun%d',
    'a b',
    'a/b',
    'a:1',
    'tun0\n',
    'tün0',
    'abcdefghijklmnop',
    deriveDeviceName('team', 0),
  ])('may not be %j', (name) => {
    expect(isUsableLinkName(name)).toBe(false);
  });
});
