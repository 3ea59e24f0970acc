import type { ProcessIdentity } from '@heddle/host/process-identity';
import { describe, expect, it } from 'vitest';
import { parsePorts } from '../interfaces/host-facts.ts';
import { isSupervisorRead, parseSupervisorRequest, type SupervisorRequest } from '../schema/supervisor-request.ts';
import { parseDaemonOptions } from './daemon-options.ts';
import { sweepOrphans } from './sweep.ts';

describe('a sweep', () => {
  function setUp(lives: Record<number, number>) {
    const signals: string[] = [];
    let waitedMs = 0;
    const processes: ProcessIdentity[] = Object.keys(lives).map((pid) => ({ pid: Number(pid), startMark: 'x' }));
    const done = sweepOrphans({
      find: () => processes,
      kill: (pid, signal) => {
        signals.push(`${signal} ${pid}`);
        if (signal === 'SIGKILL') lives[pid] = 0;
      },
      isAlive: ({ pid }) => waitedMs < (lives[pid] ?? 0),
      pause: async (ms) => {
        waitedMs += ms;
      },
      log: () => {},
    });
    return { done, signals, waited: () => waitedMs };
  }

  it('of nothing takes no time', async () => {
    const { done, signals, waited } = setUp({});
    await done;
    expect([signals, waited()]).toEqual([[], 0]);
  });
  it('waits until all have gone', async () => {
    const { done, signals, waited } = setUp({ 11: 100, 12: 300 });
    await done;
    expect([signals, waited()]).toEqual([['SIGTERM 11', 'SIGTERM 12'], 300]);
  });
  it('kills those that stay', async () => {
    const { done, signals, waited } = setUp({ 11: 100, 12: 1_000_000 });
    await done;
    expect(signals).toEqual(['SIGTERM 11', 'SIGTERM 12', 'SIGKILL 12']);
    expect(waited()).toBe(5000);
  });
});

describe('the ports of proc_net', () => {
  const table = [
    '  sl  local_address rem_address   st tx_queue',
    '   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000',
    '   1: 00000000:1092 00000000:0000 07 00000000:00000000',
    '   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000',
    '',
  ].join('\n');
  it('are those of every socket, or of those that listen', () => {
    expect(parsePorts(table, false)).toEqual([8080, 4242]);
    expect(parsePorts(table, true)).toEqual([8080]);
    expect(parsePorts('', true)).toEqual([]);
  });
});

describe('the flags of the daemon', () => {
  it('serve the REST API when they are told to', () => {
    const rest = (...args: string[]) => parseDaemonOptions(['--ipc-mode', 'socket', ...args], 'linux').rest;
    expect(rest()).toBeUndefined();
    expect(rest('--rest')).toEqual({ tunPort: 3030, subnetPort: 3031, tokenFile: undefined });
    expect(rest('--tun-port', '4030', '--token-file', '/t')).toEqual({
      tunPort: 4030,
      subnetPort: 3031,
      tokenFile: '/t',
    });
    expect(() => rest('--token-file', '/t')).toThrow('add --rest');
    expect(() => rest('--subnet-port', '70000')).toThrow('--subnet-port');
    const windows = ['--ipc-mode', 'pipe', '--config-root', 'c', '--state-db-path', 's', '--rest'];
    expect(() => parseDaemonOptions(windows, 'win32')).toThrow('no REST API');
  });

  it('have the defaults that clients know', () => {
    expect(parseDaemonOptions(['--ipc-mode', 'socket'], 'linux')).toMatchObject({
      socketPath: '/var/run/tech.deltaops.cvpn/cmd.sock',
      configRoot: '/etc/catalyst-networks',
      stateDbPath: '/var/lib/tech.deltaops.cvpn/state.db',
      isAutostart: false,
    });
  });
  const folders = ['--config-root', '/c', '--state-db-path', '/s'];
  it('name a pipe on Windows, where the folders must be given, and nowhere else', () => {
    const pipe = parseDaemonOptions(['--ipc-mode=pipe', ...folders], 'win32');
    expect(pipe.socketPath).toBe('\\\\.\\pipe\\tech.deltaops.cvpn.cmd');
    const named = parseDaemonOptions(['--ipc-mode=pipe', '--pipe-name', 'other', ...folders], 'win32');
    expect(named.socketPath).toBe('\\\\.\\pipe\\other');
    expect(() => parseDaemonOptions(['--ipc-mode=pipe', ...folders], 'linux')).toThrow('use socket');
    expect(() => parseDaemonOptions(['--ipc-mode=socket', ...folders], 'win32')).toThrow('use pipe');
    expect(() => parseDaemonOptions(['--ipc-mode=pipe'], 'win32')).toThrow('--config-root');
  });
  it.each(['', 'a\\b', '../x', 'a/b', 'x'.repeat(201)])('refuse the pipe name %j', (name) => {
    const args = ['--ipc-mode=pipe', '--pipe-name', name, ...folders];
    expect(() => parseDaemonOptions(args, 'win32')).toThrow('--pipe-name');
  });
  it.each([
    [['--ipc-mode', 'tcp']],
    [['--ipc-mode', 'socket', '--bogus']],
    [['--ipc-mode', 'socket', 'extra']],
    [['--ipc-mode']],
  ])('refuse %j', (args) => {
    expect(() => parseDaemonOptions(args)).toThrow(expect.objectContaining({ code: 'usage/bad-option' }));
  });
});

describe('a request to the supervisor', () => {
  const parse = (json: unknown): SupervisorRequest => {
    const result = parseSupervisorRequest(json);
    if (result.kind === 'bad') throw new Error(result.message);
    return result.request;
  };

  it('is taken in both forms, without what nobody knows', () => {
    expect(parse({ action: 'start', team: 'acme', reason: 'why', request_ts: 1, more: 2 })).toEqual({
      action: 'start',
      team: 'acme',
      reason: 'why',
      request_ts: 1,
    });
    expect(parse('teams')).toEqual({ action: 'teams' });
    expect(parse({ logs: { team: 'acme', max: 5 } })).toEqual({ action: 'logs', team: 'acme', max: 5 });
  });
  it.each(['start', 'stop', 'restart', 'switch', 'delete', 'peers', 'logs'])('%s needs a team', (action) => {
    expect(() => parse({ action })).toThrow('team');
  });
  it.each(['../etc', 'a b', '-a', '', 'x'.repeat(65), 7])('refuses the name %j', (team) => {
    expect(() => parse({ action: 'status', team })).toThrow('"team"');
  });
  it('needs a right for what changes something, makes packets, or tells what others did', () => {
    const reads = ['teams', 'list', 'status', 'plan', 'version', 'subscribe', 'peers', 'routes'];
    const all = [
      ...reads,
      'start',
      'stop',
      'restart',
      'reload',
      'switch',
      'delete',
      'provision',
      'netcheck',
      'logs',
      'recent_connections',
    ];
    expect(all.filter((action) => isSupervisorRead(parse({ action, team: 'a' })))).toEqual(reads);
    expect(isSupervisorRead(parse({ action: 'ping', team: 'a', peer: 'b' }))).toBe(false);
  });
});
