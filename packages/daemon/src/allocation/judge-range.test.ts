import { parsePrefix } from '@heddle/proto/ip/prefix';
import { describe, expect, it } from 'vitest';
import { judgeRange } from './judge-request.ts';

function judge(text: string): string {
  const { refusals, warnings } = judgeRange(parsePrefix(text)!);
  return refusals.length > 0 ? 'refused' : warnings.length > 0 ? 'warned' : 'fine';
}

describe('a local network', () => {
  it.each([
    '10.0.0.0/8',
    '10.1.0.0/24',
    '10.1.0.0/30',
    '172.16.0.0/12',
    '192.168.7.0/24',
    '100.64.0.0/10',
    '198.18.0.0/15',
    '192.0.2.0/24',
    '198.51.100.0/24',
    '203.0.113.128/25',
    'fd00:1::/64',
    'fc00::/48',
    'fd00:1::4/126',
    '2001:db8::/48',
  ])('may be %s', (text) => {
    expect(judge(text)).toBe('fine');
  });

  it.each(['8.8.8.0/24', '11.0.0.0/8', '172.0.0.0/8', '192.168.0.0/15', '2001:4860::/48', '2002::/48'])(
    'may be %s, which is public, with a warning',
    (text) => {
      expect(judge(text)).toBe('warned');
    },
  );

  it.each([
    ['0.0.0.0/8', 'this host'],
    ['0.1.0.0/24', 'this host'],
    ['127.0.0.0/8', 'loopback'],
    ['127.1.0.0/24', 'loopback'],
    ['169.254.7.0/24', 'link-local'],
    ['169.0.0.0/8', 'link-local'],
    ['224.0.0.0/24', 'multicast'],
    ['239.255.0.0/16', 'multicast'],
    ['240.0.0.0/8', 'reserved'],
    ['255.255.255.0/24', 'reserved'],
    ['10.0.0.0/31', '31 bits'],
    ['10.0.0.1/32', '32 bits'],
    ['10.0.0.0/7', '7 bits'],
    ['0.0.0.0/0', '0 bits'],
    ['fd00::/47', '47 bits'],
    ['fd00::/127', '127 bits'],
    ['fd00::/128', '128 bits'],
    ['::/64', 'neither'],
    ['::ffff:10.1.0.0/120', 'neither'],
    ['64:ff9b::/96', 'neither'],
    ['fe80::/64', 'neither'],
    ['fec0::/64', 'neither'],
    ['ff02::/64', 'neither'],
    ['4000::/64', 'neither'],
  ])('may not be %s: %s', (text, reason) => {
    const { refusals, warnings } = judgeRange(parsePrefix(text)!);
    expect([refusals.length, warnings.length]).toEqual([1, 0]);
    expect(refusals[0]).toMatch(text);
    expect(refusals[0]).toMatch(reason);
  });
});
