import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEVICE_ATTEMPT_COUNT_MAX, deriveDeviceName, isDerivedDeviceName, isDeviceName } from './device-name.ts';

describe('a device name', () => {
  it.each(['tun0', 'nebula1', 'cvpn-a.b_c', 'a', 'utun3', 'x'.repeat(15), 'LO'])('may be %j', (name) => {
    expect(isDeviceName(name)).toBe(true);
  });

  it.each([
    '',
    'x'.repeat(16),
    '-a',
    '0tun',
    'tun%d',
    'a b',
    'a/b',
    'a:b',
    '.',
    '..',
    'lo',
    'all',
    'default',
    'tün0',
    'tun0\n',
    'a\0',
  ])('is never %j', (name) => {
    expect(isDeviceName(name)).toBe(false);
  });

  it('derived for any team and attempt is plain, short enough and known as derived', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 0, max: DEVICE_ATTEMPT_COUNT_MAX }), (team, attempt) => {
        const name = deriveDeviceName(team, attempt);
        expect([isDeviceName(name), isDerivedDeviceName(name), name.length]).toEqual([true, true, 12]);
      }),
    );
  });

  it('of a team stays the same from version to version, as links of an earlier run carry it', () => {
    const digest = BigInt(`0x${createHash('sha256').update('lab').digest('hex').slice(0, 16)}`);
    expect(deriveDeviceName('lab', 0)).toBe(`cvpn${(digest % 36n ** 8n).toString(36).padStart(8, '0')}`);
    expect([deriveDeviceName('lab', 0), deriveDeviceName('lab', 1)]).toMatchInlineSnapshot(`
      [
        "cvpnua99wxp5",
        "cvpndq39o7y5",
      ]
    `);
  });

  it('differs between 1000 teams and between the attempts of one', () => {
    const ofTeams = Array.from({ length: 1000 }, (_, i) => deriveDeviceName(`team-${i}`, 0));
    const ofAttempts = Array.from({ length: DEVICE_ATTEMPT_COUNT_MAX }, (_, i) => deriveDeviceName('team-0', i));
    expect(new Set([...ofTeams, ...ofAttempts]).size).toBe(1000 + DEVICE_ATTEMPT_COUNT_MAX - 1);
  });
});
