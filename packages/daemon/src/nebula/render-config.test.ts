import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ConfigOverrides, renderConfig } from './render-config.ts';
import { parseUserConfig, type UserConfig } from './user-config.ts';

const PKI = 'pki:\n  ca: ca.crt\n  cert: host.crt\n  key: host.key\n  blocklist: [abc]\n';
const OVERRIDES: ConfigOverrides = { device: 'neb-a0', listenPort: 0, logFormat: 'json' };

function parseOk(text: string, file = '/etc/teams/a/config.yml'): UserConfig {
  const result = parseUserConfig(text, file);
  if (result.kind === 'bad') throw new Error(result.message);
  return result.config;
}

function render(text: string, overrides = OVERRIDES): Record<string, unknown> {
  return JSON.parse(renderConfig(parseOk(text), overrides));
}

describe('a rendered configuration', () => {
  it('has our values and keeps the user’s', () => {
    const text = `${PKI}tun: { dev: mine, mtu: 1400 }\nlisten: { host: "::", port: 4242 }\nroutines: 4\ncipher: aes
logging: { level: debug, format: text, timestamp_format: "15:04", disable_timestamp: true }
local_api: { control: { enabled: true, socket: /x }, other: 1 }\n`;
    expect(render(text)).toEqual({
      pki: {
        ca: '/etc/teams/a/ca.crt',
        cert: '/etc/teams/a/host.crt',
        key: '/etc/teams/a/host.key',
        blocklist: ['abc'],
      },
      tun: { dev: 'neb-a0', mtu: 1400 },
      listen: { host: '::', port: 0 },
      routines: 1,
      cipher: 'aes',
      logging: { level: 'debug', format: 'json' },
      local_api: { control: { enabled: false, socket: '/x' }, other: 1 },
    });
  });

  it('of a lighthouse keeps the fixed port', () => {
    const text = `${PKI}lighthouse: { am_lighthouse: true }\nlisten: { port: "4242" }\n`;
    expect(render(text, { ...OVERRIDES, listenPort: 1 })['listen']).toEqual({ port: 4242 });
    expect(render(PKI, { ...OVERRIDES, listenPort: 4999 })['listen']).toEqual({ port: 4999 });
  });

  it('replaces sections that were empty', () => {
    expect(render(`${PKI}tun:\nlogging: ~\n`)).toMatchObject({ tun: { dev: 'neb-a0' }, logging: { format: 'json' } });
  });

  it('holds what YAML cannot as escapes', () => {
    const text = renderConfig(parseOk(`${PKI}a: "\\x7f\\x85\\u2028\\ufeff\\u00e9\\U0001f600"\n`), OVERRIDES);
    expect(text).toContain('"\\u007f\\u0085\\u2028\\ufeffé😀"');
    expect(JSON.parse(text)).toMatchObject({ a: '\u007f\u0085\u2028\ufeffé😀' });
  });

  it('rendered again from itself is the same', () => {
    const value = fc.jsonValue({ maxDepth: 4 });
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^x[a-z]{0,8}$/), value), (extra) => {
        const once = renderConfig(parseOk(JSON.stringify({ ...parseOk(PKI).root, ...extra })), OVERRIDES);
        expect(renderConfig(parseOk(once), OVERRIDES)).toBe(once);
        // Equal but for the sign of zero, which JSON does not keep.
        expect(JSON.parse(once)).toMatchObject(JSON.parse(JSON.stringify(extra)));
      }),
    );
  });
});

const PEERS = join(process.env['HEDDLE_PEERS'] ?? join(homedir(), '.cache/heddle-peers'), 'bin');
const PROGRAMS = [
  { version: '1.6', nebula: '/usr/bin/nebula', cert: '/usr/bin/nebula-cert', flags: [] },
  { version: 'new', nebula: join(PEERS, 'nebula-new'), cert: join(PEERS, 'nebula-cert-new'), flags: ['-version', '1'] },
].filter(({ nebula, cert }) => existsSync(nebula) && existsSync(cert));

describe.skipIf(PROGRAMS.length === 0)('what real Nebula makes of it', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-nebula-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(PROGRAMS)('passes its own test ($version)', ({ version, nebula, cert, flags }) => {
    const [ca, key] = [join(folder, `${version}-ca.crt`), join(folder, `${version}-ca.key`)];
    execFileSync(cert, ['ca', '-name', 'Lab', ...flags, '-out-crt', ca, '-out-key', key]);
    const own = join(folder, version);
    const signed = ['-out-crt', `${own}.crt`, '-out-key', `${own}.key`];
    execFileSync(cert, ['sign', '-ca-crt', ca, '-ca-key', key, '-name', 'a', '-ip', '10.77.0.2/24', ...signed]);
    const text = `pki: { ca: ${version}-ca.crt, cert: ${version}.crt, key: ${version}.key }
static_host_map: { "10.77.0.1": ["203.0.113.1:4242"] }
lighthouse: { hosts: ["10.77.0.1"], local_allow_list: { interfaces: { "docker.*": false }, "10.0.0.0/8": true } }
routines: 2
tun: { dev: "", mtu: 1300 }
firewall: { outbound: [{ port: any, proto: any, host: any }], inbound: [{ port: 22, proto: tcp, groups: [é, "a\\x7f"] }] }
`;
    const rendered = join(folder, `${version}.json`);
    writeFileSync(rendered, renderConfig(parseOk(text, join(folder, 'config.yml')), OVERRIDES), { mode: 0o600 });
    const { status, stdout } = spawnSync(nebula, ['-test', '-config', rendered], { encoding: 'utf8', cwd: '/' });
    expect(status).toBe(0);
    expect(stdout).toContain('neb-a0');
    expect(stdout).toMatch(/routines: 1\b/);
  });
});
