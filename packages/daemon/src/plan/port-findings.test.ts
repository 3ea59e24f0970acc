import { describe, expect, it } from 'vitest';
import { type Given, nebula, plan, summarize, summary, tailnet } from '../../test/plan-facts.ts';
import type { TeamClaims } from './claims.ts';

describe('ports', () => {
  const lighthouse = nebula('a', { listenPort: 4242, isListenPortFixed: true });

  it.each<[string, Given, number | undefined, string[]]>([
    ['are any when none is asked', { team: nebula('a') }, 0, []],
    ['stay as asked when free', { team: nebula('a', { listenPort: 4242 }) }, 4242, []],
    [
      'move when another team has it',
      { team: nebula('a', { listenPort: 4242 }), running: [nebula('b', { listenPort: 4242 })] },
      4243,
      ['moved plan/port-taken'],
    ],
    [
      'move when the machine uses it',
      { team: nebula('a', { listenPort: 4242 }), host: { usedUdpPorts: [4242, 4243] } },
      4244,
      ['moved plan/port-taken'],
    ],
    ['do not care about TCP', { team: nebula('a', { listenPort: 4242 }), host: { usedTcpPorts: [4242] } }, 4242, []],
    ['stay as remembered', { team: nebula('a'), remembered: { listenPort: 5000 } }, 5000, []],
    [
      'stay at a restart',
      {
        team: nebula('a', { listenPort: 4242 }),
        running: [nebula('a', { listenPort: 4242 })],
        host: { usedUdpPorts: [4242] },
      },
      4242,
      [],
    ],
    [
      'stay as remembered at a restart',
      { team: nebula('a'), running: [nebula('a')], host: { usedUdpPorts: [5000] }, remembered: { listenPort: 5000 } },
      5000,
      [],
    ],
    ['of a lighthouse stay', { team: lighthouse, remembered: { listenPort: 5000 } }, 4242, []],
    [
      'of a lighthouse stay at a restart',
      { team: lighthouse, running: [lighthouse], host: { usedUdpPorts: [4242] } },
      4242,
      [],
    ],
    [
      'of a lighthouse are refused when another team has it',
      { team: lighthouse, running: [nebula('b', { listenPort: 4242 })] },
      undefined,
      ['refusal plan/port-taken'],
    ],
    [
      'of a lighthouse are refused when the machine uses it',
      { team: lighthouse, host: { usedUdpPorts: [4242] } },
      undefined,
      ['refusal plan/port-taken'],
    ],
    [
      'of a lighthouse must be set',
      { team: nebula('a', { isListenPortFixed: true }) },
      undefined,
      ['refusal plan/port-missing'],
    ],
    [
      'that are no ports are refused',
      { team: nebula('a', { listenPort: 70_000 }) },
      undefined,
      ['refusal plan/bad-port'],
    ],
    [
      'that are no numbers are refused',
      { team: nebula('a', { listenPort: Number.NaN, isListenPortFixed: true }) },
      undefined,
      ['refusal plan/bad-port'],
    ],
  ])('%s', (_, given, expected, findings) => {
    const result = plan(given);
    expect([result.listenPort, summary(result.findings)]).toEqual([expected, findings]);
  });

  it.each<[string, Given, number | undefined, string[]]>([
    ['is absent without proxy', { team: tailnet('a') }, undefined, []],
    ['stays when free', { team: tailnet('a', { proxyPort: 16579 }) }, 16579, []],
    ['is any when asked for', { team: tailnet('a', { proxyPort: 0 }) }, 0, []],
    [
      'moves beside another tailnet',
      { team: tailnet('a', { proxyPort: 16579 }), running: [tailnet('b', { proxyPort: 16579 })] },
      16580,
      ['moved plan/proxy-port-taken'],
    ],
    [
      'moves beside another program',
      { team: tailnet('a', { proxyPort: 16579 }), host: { usedTcpPorts: [16579] } },
      16580,
      ['moved plan/proxy-port-taken'],
    ],
    [
      'moves beside a forward of another team',
      {
        team: tailnet('a', { proxyPort: 16579 }),
        running: [tailnet('b', { forwardPorts: [{ address: '127.0.0.1', port: 16579 }] })],
      },
      16580,
      ['moved plan/proxy-port-taken'],
    ],
    [
      'moves beside a forward of its own',
      { team: tailnet('a', { proxyPort: 16579, forwardPorts: [{ address: '127.0.0.1', port: 16579 }] }) },
      16580,
      ['moved plan/proxy-port-taken'],
    ],
    [
      'does not care about UDP',
      { team: tailnet('a', { proxyPort: 16579 }), host: { usedUdpPorts: [16579] } },
      16579,
      [],
    ],
    ['stays as remembered', { team: tailnet('a', { proxyPort: 16579 }), remembered: { proxyPort: 17000 } }, 17000, []],
    [
      'stays at a restart',
      {
        team: tailnet('a', { proxyPort: 16579 }),
        running: [tailnet('a', { proxyPort: 16579 })],
        host: { usedTcpPorts: [16579] },
      },
      16579,
      [],
    ],
    ['that is none is refused', { team: tailnet('a', { proxyPort: -1 }) }, undefined, ['refusal plan/bad-port']],
  ])('of a proxy: %s', (_, given, expected, findings) => {
    const result = plan(given);
    expect([result.proxyPort, summary(result.findings)]).toEqual([expected, findings]);
  });

  const at = (address: string, port = 5432): Partial<TeamClaims> => ({ forwardPorts: [{ address, port }] });

  it.each<[string, Given, string[]]>([
    ['is free', { team: tailnet('a', at('127.0.0.1')) }, []],
    [
      'is on another address than that of a running team',
      { team: tailnet('a', at('127.0.0.2')), running: [tailnet('b', at('127.0.0.3'))], host: { usedTcpPorts: [5432] } },
      [],
    ],
    [
      'is on the same address',
      { team: tailnet('a', at('localhost')), running: [tailnet('b', at('127.0.0.1'))] },
      ['refusal plan/forward-port-taken'],
    ],
    [
      'is on the same IPv6 address',
      { team: tailnet('a', at('::1')), running: [tailnet('b', at('0:0::1'))] },
      ['refusal plan/forward-port-taken'],
    ],
    [
      'is on an address beside all of them',
      { team: tailnet('a', at('127.0.0.1')), running: [tailnet('b', at('0.0.0.0'))] },
      ['refusal plan/forward-port-taken'],
    ],
    [
      'is the proxy of another team',
      { team: tailnet('a', at('127.0.0.1')), running: [tailnet('b', { proxyPort: 5432 })] },
      ['refusal plan/forward-port-taken'],
    ],
    [
      'is used by another program',
      { team: tailnet('a', at('127.0.0.1')), host: { usedTcpPorts: [5432] } },
      ['refusal plan/forward-port-taken'],
    ],
    [
      'is its own at a restart',
      { team: tailnet('a', at('127.0.0.1')), running: [tailnet('a', at('127.0.0.1'))], host: { usedTcpPorts: [5432] } },
      [],
    ],
    [
      'is there twice',
      { team: tailnet('a', { forwardPorts: [...at('127.0.0.1').forwardPorts!, ...at('127.0.0.1').forwardPorts!] }) },
      ['refusal plan/forward-port-taken'],
    ],
    ['is any', { team: tailnet('a', at('127.0.0.1', 0)), running: [tailnet('b', at('127.0.0.1', 0))] }, []],
    ['is no port', { team: tailnet('a', at('127.0.0.1', 1.5)) }, ['refusal plan/bad-port']],
  ])('of a forward: %s', (_, given, expected) => {
    expect(summarize(given)).toEqual(expected);
  });

  it('that are refused name the other team and the way out', () => {
    const { findings } = plan({ team: lighthouse, running: [nebula('b', { listenPort: 4242 })] });
    expect(findings[0]).toMatchObject({
      message: 'UDP port 4242 of team "a" is taken by team "b", and others know the port',
      next: 'run this one alone: heddle switch a; or stop the other first: heddle down b',
    });
  });
});
