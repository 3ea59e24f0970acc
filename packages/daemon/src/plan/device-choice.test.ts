import { describe, expect, it } from 'vitest';
import { type Given, nebula, plan, summary } from '../../test/plan-facts.ts';
import { DEVICE_ATTEMPT_COUNT_MAX, deriveDeviceName } from './device-name.ts';
import type { FindingCode } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

const OWN = deriveDeviceName('a', 0);

describe('a device', () => {
  const link = (name: string, kind = 'tun'): Partial<HostFacts> => ({ links: [{ name, kind, isUp: true }] });

  it.each<[string, Given, string | undefined, FindingCode | undefined]>([
    ['is derived from the team', { team: nebula('a') }, OWN, undefined],
    [
      'is not for a team that wants none',
      { team: nebula('a', { device: 'tun7', wantsDevice: false }) },
      undefined,
      undefined,
    ],
    [
      'is the one of the configuration when it is free',
      { team: nebula('a', { device: 'nebula1' }) },
      'nebula1',
      undefined,
    ],
    [
      'is the remembered one before that',
      { team: nebula('a', { device: 'nebula1' }), remembered: { device: 'nebula2' } },
      'nebula2',
      undefined,
    ],
    [
      'moves when a running team has it',
      { team: nebula('a', { device: 'nebula1' }), running: [nebula('b', { device: 'nebula1' })] },
      OWN,
      'plan/device-taken',
    ],
    [
      'moves when a link has it',
      { team: nebula('a', { device: 'nebula1' }), host: link('nebula1') },
      OWN,
      'plan/device-taken',
    ],
    [
      'moves when the remembered name is a link by now',
      { team: nebula('a'), host: link('nebula1'), remembered: { device: 'nebula1' } },
      OWN,
      'plan/device-taken',
    ],
    [
      'moves when a link has the derived name and nobody remembers it',
      { team: nebula('a'), host: link(OWN) },
      deriveDeviceName('a', 1),
      'plan/device-taken',
    ],
    [
      'stays when the link is the remembered one of an earlier run',
      { team: nebula('a'), host: link(OWN), remembered: { device: OWN } },
      OWN,
      undefined,
    ],
    [
      'moves when the remembered one is no tun',
      { team: nebula('a'), host: link(OWN, 'bridge'), remembered: { device: OWN } },
      deriveDeviceName('a', 1),
      'plan/device-taken',
    ],
    [
      'moves when the remembered one belongs to a running team',
      { team: nebula('a'), running: [nebula('b', { device: OWN })], remembered: { device: OWN } },
      deriveDeviceName('a', 1),
      'plan/device-taken',
    ],
    [
      'stays at a restart',
      {
        team: nebula('a', { device: 'nebula1' }),
        running: [nebula('a', { device: 'nebula1' })],
        host: link('nebula1'),
      },
      'nebula1',
      undefined,
    ],
    [
      'that is no plain name moves',
      { team: nebula('a', { device: 'waytoolongdevicename1' }) },
      OWN,
      'plan/bad-device-name',
    ],
    ['that the kernel would number moves', { team: nebula('a', { device: 'tun%d' }) }, OWN, 'plan/bad-device-name'],
    ['that looks like an option moves', { team: nebula('a', { device: '-all' }) }, OWN, 'plan/bad-device-name'],
    ['with an empty name is derived', { team: nebula('a', { device: '' }) }, OWN, undefined],
    ['remembered wrongly is forgotten', { team: nebula('a'), remembered: { device: '../../x' } }, OWN, undefined],
  ])('%s', (_, given, device, code) => {
    const result = plan(given);
    expect([result.kind, result.device]).toEqual(['clear', device]);
    expect(summary(result.findings)).toEqual(code === undefined ? [] : [`moved ${code}`]);
  });

  it('is refused when every name is taken', () => {
    const links = Array.from({ length: DEVICE_ATTEMPT_COUNT_MAX }, (_, i) => ({
      name: deriveDeviceName('a', i),
      isUp: true,
    }));
    expect(plan({ team: nebula('a'), host: { links } })).toMatchObject({
      kind: 'refused',
      findings: [{ code: 'plan/device-taken' }],
    });
  });

  it('that moved is told with both names and who is in the way', () => {
    const { findings } = plan({
      team: nebula('a', { device: 'nebula1' }),
      running: [nebula('b', { device: 'nebula1' })],
    });
    expect(findings[0]!.message).toBe(`Device "nebula1" of team "a" is taken by team "b", it becomes "${OWN}"`);
  });
});
