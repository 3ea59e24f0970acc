import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TailnetError } from '@heddle/tailnet/tailnet-error';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findTeam, scanConfigRoot } from './config-scan.ts';
import { readOperators } from './operators.ts';
import { parseTailnetConfig } from './tailnet-config.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'heddle-config-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, text = ''): string {
  mkdirSync(join(root, path, '..'), { recursive: true });
  writeFileSync(join(root, path), text);
  return join(root, path);
}

function failureOf(act: () => unknown): TailnetError {
  try {
    act();
  } catch (error) {
    return error as TailnetError;
  }
  throw new Error('no failure');
}

describe('the config root', () => {
  it('has a team in each folder with a configuration, sorted by name', () => {
    write('zeta/tailnet.yml');
    write('acme/config.yml');
    write('acme/notes.txt');
    write('empty/other.yml');
    write('.hidden/config.yml');
    write('a name/config.yml');
    write('daemon.yml');
    expect(scanConfigRoot(root)).toEqual([
      { name: 'acme', kind: 'nebula', configPath: join(root, 'acme/config.yml') },
      { name: 'zeta', kind: 'tailnet', configPath: join(root, 'zeta/tailnet.yml') },
    ]);
  });
  it('may be missing', () => {
    expect(scanConfigRoot(join(root, 'none'))).toEqual([]);
  });
  it('never leads out of itself', () => {
    for (const name of ['..', '.', '../etc', 'a/b', '', '-x']) expect(findTeam(root, name)).toBeUndefined();
  });
  it('is refused where a team is two things at once', () => {
    write('acme/config.yml');
    write('acme/tailnet.yml');
    expect(failureOf(() => scanConfigRoot(root)).code).toBe('team/bad-config');
  });
  it.each(['acme', 'acme/config.yml'])('is refused where others can write to %s', (path) => {
    write('acme/config.yml');
    chmodSync(join(root, path), 0o777);
    const failure = failureOf(() => scanConfigRoot(root));
    expect([failure.code, failure.message]).toEqual(['team/unsafe-config', expect.stringContaining(join(root, path))]);
  });
});

describe('tailnet.yml', () => {
  const parse = (text: string) => parseTailnetConfig(text, '/etc/x/acme/tailnet.yml');

  it('has an address, and a default for everything else', () => {
    expect(parse('login_server: https://hs.example.com')).toEqual({
      loginServer: 'https://hs.example.com',
      authKeyFile: undefined,
      hostname: undefined,
      proxy: undefined,
      proxyTokenFile: undefined,
      forwards: [],
      serves: [],
      tlsCa: undefined,
      acceptsRoutes: false,
      isUdpEnabled: true,
      udpPort: undefined,
    });
  });
  it('may say all of it; files are looked for beside it', () => {
    const text = [
      'login_server: https://hs.example.com',
      'auth_key_file: key',
      'tls_ca: /etc/ssl/ca.pem',
      'proxy: "off"',
      'forwards: ["127.0.0.1:15432:db:5432"]',
      'accept_routes: true',
      'udp: false',
    ].join('\n');
    expect(parse(text)).toMatchObject({
      authKeyFile: '/etc/x/acme/key',
      tlsCa: '/etc/ssl/ca.pem',
      proxy: 'off',
      forwards: ['127.0.0.1:15432:db:5432'],
      acceptsRoutes: true,
      isUdpEnabled: false,
    });
  });
  it.each([
    ['an unknown key', 'login_server: x\nauthkey: y', 'line 2: unknown key "authkey"'],
    ['a wrong type', 'login_server: x\n\nudp: maybe', 'line 3: "udp" must be true or false'],
    ['a missing address', 'udp: true', 'line 1: "login_server" must be'],
    ['a list instead of keys', '- a', 'line 1: expected keys and values'],
    ['nothing', '', 'line 1: expected keys and values'],
    ['broken YAML', 'login_server: x\nforwards: [', 'line 2'],
    ['a bomb of aliases', `a: &a [x,x]\nb: &b [${'*a,'.repeat(20)}]\nlogin_server: x`, 'line '],
  ])('names file, line and key of %s', (_, text, expected) => {
    const failure = failureOf(() => parse(text));
    expect([failure.code, failure.message]).toEqual(['team/bad-config', expect.stringContaining(expected)]);
    expect(failure.message.startsWith('acme/tailnet.yml line ')).toBe(true);
  });
});

describe('daemon.yml', () => {
  const passwd = (): string => 'root:x:0:0::/root:/bin/sh\nalice:x:1001:1001::/home/alice:/bin/sh\nbroken line\n';
  const operators = (text: string): number[] => [...readOperators(write('daemon.yml', text), passwd)];

  it('names the operators by name or number', () => {
    expect(operators('operators: [alice, 1234]')).toEqual([1001, 1234]);
    expect(operators('')).toEqual([]);
    expect([...readOperators(join(root, 'none.yml'), passwd)]).toEqual([]);
  });
  it.each([
    ['an unknown user', 'operators: [mallory]', 'there is no user "mallory"'],
    ['something else', 'operators: alice', '"operators" must be'],
    ['broken YAML', 'operators: [', 'not YAML'],
  ])('is refused with %s', (_, text, expected) => {
    const failure = failureOf(() => operators(text));
    expect([failure.code, failure.message]).toEqual(['team/bad-daemon-file', expect.stringContaining(expected)]);
  });
  it('is refused when others can write it: they would make themselves operators', () => {
    chmodSync(write('daemon.yml', 'operators: [1234]'), 0o666);
    expect(failureOf(() => readOperators(join(root, 'daemon.yml'), passwd)).code).toBe('team/bad-daemon-file');
  });
  it('is refused in a folder where others could put another one in its place', () => {
    const path = write('etc/daemon.yml', 'operators: [1234]');
    for (const mode of [0o777, 0o775, 0o1777]) {
      chmodSync(join(root, 'etc'), mode);
      const failure = failureOf(() => readOperators(path, passwd));
      expect([failure.code, failure.message]).toEqual([
        'team/bad-daemon-file',
        `Cannot use "${path}": other users can change "${join(root, 'etc')}"`,
      ]);
    }
    chmodSync(join(root, 'etc'), 0o755);
    expect([...readOperators(path, passwd)]).toEqual([1234]);
  });
  it.runIf(process.geteuid?.() === 0)("is refused when it or its folder is somebody else's (needs root)", () => {
    const path = write('etc/daemon.yml', 'operators: [1234]');
    chownSync(join(root, 'etc'), 1234, 0);
    expect(failureOf(() => readOperators(path, passwd)).message).toContain(
      `other users can change "${join(root, 'etc')}"`,
    );
    chownSync(path, 1234, 0);
    expect(failureOf(() => readOperators(path, passwd)).message).toContain(`"${path}": other users can change it`);
  });
  it('is a file of a size that fits, and no pipe to wait for', () => {
    execFileSync('mkfifo', ['-m', '600', join(root, 'daemon.yml')]);
    expect(failureOf(() => readOperators(join(root, 'daemon.yml'), passwd)).message).toContain('it is not a file');
    expect(failureOf(() => readOperators(root, passwd)).message).toContain('it is not a file');
    const largest = `operators: [7]\n#${'x'.repeat(0x10000 - 16)}`;
    const path = write('large.yml', largest);
    expect([...readOperators(path, passwd)]).toEqual([7]);
    write('large.yml', `${largest}x`);
    expect(failureOf(() => readOperators(path, passwd)).message).toContain('it has more than 65536 bytes');
  });
  it('names nobody on Windows, where modes say nothing and administrators alone connect', () => {
    chmodSync(write('daemon.yml', ''), 0o666);
    expect([...readOperators(join(root, 'daemon.yml'), passwd, 'win32')]).toEqual([]);
    write('daemon.yml', 'operators: [1234]');
    const failure = failureOf(() => readOperators(join(root, 'daemon.yml'), passwd, 'win32'));
    expect(failure.message).toContain('administrators');
  });
});
