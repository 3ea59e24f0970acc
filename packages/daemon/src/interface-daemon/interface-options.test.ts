import { formatPrefix } from '@heddle/proto/ip/prefix';
import { describe, expect, it } from 'vitest';
import { describeInterfaceOptions, parseInterfaceOptions } from './interface-options.ts';

const poolsOf = (...args: string[]): Readonly<Record<'ipv4' | 'ipv6', readonly string[]>> => {
  const { ipv4, ipv6 } = parseInterfaceOptions('tun', args).pools;
  return { ipv4: ipv4.map(formatPrefix), ipv6: ipv6.map(formatPrefix) };
};

describe('the flags of an interface daemon', () => {
  it('have the documented defaults', () => {
    expect(parseInterfaceOptions('tun', [])).toMatchObject({
      kind: 'tun',
      port: 3030,
      stateDbPath: '/var/lib/tech.deltaops.cvpn/tun.db',
      lockPath: '/var/lib/tech.deltaops.cvpn/addresses.lock',
      logFile: undefined,
      errFile: undefined,
      logFormat: 'json',
      tokenFile: undefined,
      configRoot: '/etc/catalyst-networks',
      isRemoval: false,
      isVerbose: false,
    });
    expect(parseInterfaceOptions('subnet', [])).toMatchObject({
      port: 3031,
      stateDbPath: '/var/lib/tech.deltaops.cvpn/subnet.db',
    });
    expect(poolsOf()).toEqual({ ipv4: ['10.0.0.0/8'], ipv6: [] });
  });

  it('take what is given, with paths made absolute', () => {
    const line =
      '--port 0 --state-db-path /s/x.db --log-file /l/a --err-file /l/b --log-format text --token-file /t -v';
    expect(parseInterfaceOptions('subnet', [...line.split(' '), '--remove-all', '--config-root=/c'])).toMatchObject({
      port: 0,
      stateDbPath: '/s/x.db',
      lockPath: '/s/addresses.lock',
      logFile: '/l/a',
      errFile: '/l/b',
      logFormat: 'text',
      tokenFile: '/t',
      configRoot: '/c',
      isRemoval: true,
      isVerbose: true,
    });
    expect(parseInterfaceOptions('tun', ['--log-file', 'a.log']).logFile).toBe(`${process.cwd()}/a.log`);
  });

  it('take pools of both families, each instead of its default', () => {
    expect(poolsOf('--pool', '10.64.0.0/10', '--pool', '172.20.0.0/14')).toEqual({
      ipv4: ['10.64.0.0/10', '172.20.0.0/14'],
      ipv6: [],
    });
    expect(poolsOf('--pool', 'fd00:5::/48')).toEqual({ ipv4: ['10.0.0.0/8'], ipv6: ['fd00:5::/48'] });
  });

  it('take a pool that is wider than any network', () => {
    expect(poolsOf('--pool', '10.0.0.0/7', '--pool', 'fd00::/8')).toEqual({ ipv4: ['10.0.0.0/7'], ipv6: ['fd00::/8'] });
  });

  it.each([
    ['--port', '65536'],
    ['--port', '-1'],
    ['--port', '3030x'],
    ['--pool', '10.64.0.1/10'],
    ['--pool', '10.64/10'],
    ['--pool', '127.0.0.0/8'],
    ['--pool', '169.254.0.0/16'],
    ['--pool', '224.0.0.0/4'],
    ['--pool', '10.0.0.0/31'],
    ['--pool', 'fe80::/10'],
    ['--pool', 'ff00::/8'],
    ['--log-format', 'xml'],
    ['--prot', '3030'],
    ['extra', 'words'],
  ])('refuse "%s %s" and say why', (flag, value) => {
    const refusal = expect.objectContaining({ code: 'usage/bad-option', message: expect.stringMatching(/./) });
    expect(() => parseInterfaceOptions('tun', [flag, value])).toThrow(refusal);
  });

  it('say what a pool with host bits should have been', () => {
    expect(() => parseInterfaceOptions('tun', ['--pool', '10.64.0.1/10'])).toThrow('10.64.0.0/10');
  });

  it('are all in the help', () => {
    const help = describeInterfaceOptions('subnet');
    for (const flag of [
      'port',
      'state-db-path',
      'log-file',
      'err-file',
      'log-format',
      'token-file',
      'config-root',
      'pool',
      'remove-all',
    ]) {
      expect(help).toContain(`--${flag}`);
    }
    expect(help).toContain('localhost:3031');
  });
});
