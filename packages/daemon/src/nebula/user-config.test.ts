import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findMtuProblem, parseUserConfig, type UserConfig } from './user-config.ts';

const PKI = 'pki:\n  ca: ca.crt\n  cert: /etc/nebula/host.crt\n  key: host.key\n';
const FILE = '/etc/teams/a/config.yml';

function parseOk(text: string): UserConfig {
  const result = parseUserConfig(text, FILE);
  if (result.kind === 'bad') throw new Error(`${result.line} ${result.key} ${result.message}`);
  return result.config;
}

describe('a configuration', () => {
  it('with nothing but pki has the defaults of Nebula', () => {
    expect(parseOk(PKI)).toEqual({
      root: { pki: { ca: 'ca.crt', cert: '/etc/nebula/host.crt', key: 'host.key' } },
      pki: {
        ca: { kind: 'file', path: '/etc/teams/a/ca.crt' },
        cert: { kind: 'file', path: '/etc/nebula/host.crt' },
        key: { kind: 'file', path: '/etc/teams/a/host.key' },
      },
      listen: { host: '0.0.0.0', port: 0 },
      tun: { device: undefined, isDisabled: false, mtuBytes: 1300, unsafeRoutes: [] },
      isLighthouse: false,
      lighthouseHosts: [],
      stats: undefined,
      isSshdEnabled: false,
    });
  });

  it('gives what the supervisor must know and keeps all the rest', () => {
    const config = parseOk(`${PKI}static_host_map:
  "10.77.0.1": ["203.0.113.1:4242"]
lighthouse: { am_lighthouse: yes, hosts: ["10.77.0.9"] }
listen: { host: "[::]", port: "4242" }
tun: { dev: neb0, disabled: n, mtu: 1400, unsafe_routes: [{ route: 10.0.0.0/8, via: 10.77.0.3 }] }
stats: { type: prometheus, listen: "127.0.0.1:9100" }
sshd: { enabled: true }
firewall: { outbound: [{ port: any, proto: any, host: any }] }
x-ours: [1, 2.5, null, 2026-01-02, on]
`);
    expect(config).toMatchObject({
      listen: { host: '::', port: 4242 },
      tun: { device: 'neb0', isDisabled: false, mtuBytes: 1400 },
      isLighthouse: true,
      lighthouseHosts: ['10.77.0.9'],
      stats: { type: 'prometheus', listen: '127.0.0.1:9100' },
      isSshdEnabled: true,
    });
    expect(config.root['x-ours']).toEqual([1, 2.5, null, '2026-01-02', 'on']);
    expect(config.root['static_host_map']).toEqual({ '10.77.0.1': ['203.0.113.1:4242'] });
  });

  it('may hold certificates and key itself, or name a token', () => {
    const pem = '-----BEGIN NEBULA CERTIFICATE-----\nAAAA\n-----END NEBULA CERTIFICATE-----\n';
    const block = pem
      .trimEnd()
      .split('\n')
      .map((line) => `    ${line}\n`)
      .join('');
    const { pki } = parseOk(`pki:\n  ca: |\n${block}  cert: c.crt\n  key: "pkcs11:token=x;pin-value=1"\n`);
    expect(pki).toMatchObject({ ca: { kind: 'inline', pem }, key: { kind: 'token' } });
  });

  it('keeps digits that a number cannot hold', () => {
    const digits = '1234567890123456789012345678901234567890123456789012345678901234';
    const { root } = parseOk(`${PKI}a: ${digits}\nb: 1.10\nc: 1e999\nd: .nan\ne: 0x10\nf: 1.5\n`);
    expect(root).toMatchObject({ a: digits, b: '1.10', c: '1e999', d: '.nan', e: 16, f: 1.5 });
  });

  it('may use anchors, aliases and merge keys', () => {
    const { root } = parseOk(`${PKI}base: &base { port: any }\nrule: { <<: *base, host: any }\nagain: *base\n`);
    expect(root).toMatchObject({ rule: { port: 'any', host: 'any' }, again: { port: 'any' } });
  });

  it('tells which prefixes behind peers get a kernel route', () => {
    const routes =
      'tun:\n  unsafe_routes:\n    - { route: 10.9.0.0/16, via: 10.77.0.9 }\n    - { via: 10.77.0.9 }\n    - odd\n';
    expect(parseOk(`${PKI}${routes}`).tun.unsafeRoutes).toEqual(['10.9.0.0/16']);
    expect(parseOk(`${PKI}tun: { unsafe_routes: 7 }\n`).tun.unsafeRoutes).toEqual([]);
  });

  it('may have empty sections', () => {
    expect(parseOk(`${PKI}tun:\nlisten: ~\nlighthouse:\n`).tun.mtuBytes).toBe(1300);
  });
});

describe('a bad configuration', () => {
  it.each([
    ['', 1, '', 'The file must hold sections with keys'],
    ['- a\n', 1, '', 'The file must hold sections with keys'],
    [`${PKI}tun: "x\n`, 6, '', 'A missing quote, bracket or comma'],
    ['a: 1\na: 2\n', 2, '', 'A key that is there twice'],
    ['a: 1\n---\nb: 2\n', 2, '', 'More than one document'],
    ['a: *x\n', 1, '', 'An alias without its anchor, or one too many'],
    ['tun: {}\n', 0, 'pki.ca', '"pki.ca" is missing; it is the path of a file, or PEM text'],
    ['pki: /etc/nebula\n', 1, 'pki', '"pki" must be a section with keys'],
    [
      'pki:\n  ca: a\n  cert: ""\n  key: c\n',
      3,
      'pki.cert',
      '"pki.cert" is missing; it is the path of a file, or PEM text',
    ],
    ['pki:\n  ca: a\n  cert: b\n  key:\n  - c\n', 5, 'pki.key', '"pki.key" must be a text'],
    [
      `${PKI}listen:\n  host: x\n  port: 70000\n`,
      6,
      'listen.host',
      '"listen.host" must be an IP address, "0.0.0.0" or "::" for all',
    ],
    [`${PKI}listen:\n  port: 70000\n`, 6, 'listen.port', '"listen.port" must be a whole number from 0 to 65535'],
    [`${PKI}listen:\n  port: 4242.5\n`, 6, 'listen.port', '"listen.port" must be a whole number from 0 to 65535'],
    [`${PKI}tun:\n  mtu: 0\n`, 6, 'tun.mtu', '"tun.mtu" must be a whole number from 68 to 65535'],
    [`${PKI}tun:\n  disabled: maybe\n`, 6, 'tun.disabled', '"tun.disabled" must be true or false'],
    [`${PKI}tun: no\n`, 5, 'tun', '"tun" must be a section with keys'],
    [`${PKI}lighthouse:\n  hosts: [1]\n`, 6, 'lighthouse.hosts', '"lighthouse.hosts" must be a list of texts'],
    [`${PKI}lighthouse:\n  am_lighthouse: true\n`, 0, 'listen.port', 'A lighthouse needs a fixed "listen.port"'],
  ])('names line and key (%#)', (text, line, key, message) => {
    expect(parseUserConfig(text, FILE)).toEqual({ kind: 'bad', line, key, message });
  });

  it('never quotes a value, which may be the key', () => {
    const body = 'by+ipx/cW/NFy2FBTpGQ2x85Pi/ePWMCMcVtrb0iAkk=';
    for (const text of [
      `pki:\n  key: -----BEGIN X PRIVATE KEY-----\n${body}\n`,
      `pki:\n  ca: a\n  cert: b\n  key: [${body}]\n`,
      `pki:\n  key: "${body}\n`,
      `pki:\n  key: *${body}\n`,
      `pki:\n  key: @${body}\n`,
      `pki:\n  key: |\n ${body}: x\n ${body}: x\n`,
    ]) {
      expect(JSON.stringify(parseUserConfig(text, FILE))).not.toContain('ipx');
      expect(parseUserConfig(text, FILE).kind).toBe('bad');
    }
  });

  it('cannot grow by its aliases', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 12; i++)
      lines.push(
        `a${i}: &a${i} [${Array(9)
          .fill(`*a${i - 1}`)
          .join(', ')}]`,
      );
    expect(parseUserConfig(`${PKI}${lines.join('\n')}\n`, FILE)).toMatchObject({ kind: 'bad', key: '' });
    const wide = `${PKI}a: &a "${'x'.repeat(500_000)}"\nb: [${Array(50).fill('*a').join(', ')}]\n`;
    expect(parseUserConfig(wide, FILE)).toMatchObject({ message: 'The file holds too many values' });
  });

  it('has a bounded number of aliases, each behind its anchor', () => {
    const withAliases = (count: number) => `${PKI}a: &a 1\nb: [${Array(count).fill('*a').join(', ')}]\n`;
    expect(parseUserConfig(withAliases(100), FILE).kind).toBe('ok');
    expect(parseUserConfig(withAliases(101), FILE)).toMatchObject({ kind: 'bad', line: 6 });
    expect(parseUserConfig(`${PKI}b: *a\na: &a 1\n`, FILE)).toMatchObject({ kind: 'bad', line: 5 });
  });

  it('has no key twice, at any depth, however the key is written', () => {
    for (const twice of ['{ a: 1, "a": 2 }', '{ <<: {}, <<: {} }', '{ 1: x, "1": y }', '[{ a: 1, b: 2, a: 3 }]']) {
      expect(parseUserConfig(`${PKI}x: ${twice}\n`, FILE)).toMatchObject({
        line: 5,
        message: 'A key that is there twice',
      });
    }
  });

  it('cannot be too large or too deep', () => {
    expect(parseUserConfig(`# ${'x'.repeat(1 << 20)}`, FILE)).toMatchObject({
      message: 'The file is larger than 1 MiB',
    });
    for (const depth of [100, 100_000]) {
      const text = `${PKI}a: ${'['.repeat(depth)}${']'.repeat(depth)}\n`;
      expect(parseUserConfig(text, FILE)).toMatchObject({ kind: 'bad', key: '' });
    }
  });

  it('cannot reach a prototype', () => {
    const config = parseOk(`${PKI}__proto__: { polluted: 1 }\ntun: { __proto__: { dev: x }, constructor: 1 }\n`);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(config.tun.device).toBeUndefined();
    expect(Object.getPrototypeOf(config.root)).toBe(Object.prototype);
  });

  it('of any content never throws', () => {
    const pieces = fc.constantFrom(
      'pki',
      ':',
      ' ',
      '\n',
      '- ',
      '[',
      ']',
      '{',
      '}',
      '&a',
      '*a',
      '"',
      '|',
      '\t',
      '1',
      '!x',
      '<<',
      '#',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pieces).map((parts) => parts.join('')),
        ),
        (text) => {
          parseUserConfig(text, FILE);
          parseUserConfig(`${PKI}${text}`, FILE);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the mtu', () => {
  it('must be at least 1280 bytes when the certificate has an IPv6 address', () => {
    const config = parseOk(`${PKI}tun: { mtu: 1279 }\n`);
    expect(findMtuProblem(config, ['10.77.0.2/24'])).toBeUndefined();
    expect(findMtuProblem(config, ['10.78.0.2/24', 'fd78::2/64'])).toContain('at least 1280');
    expect(findMtuProblem(parseOk(`${PKI}tun: { mtu: 1280 }\n`), ['fd78::2/64'])).toBeUndefined();
    expect(findMtuProblem(parseOk(`${PKI}tun: { mtu: 1000, disabled: true }\n`), ['fd78::2/64'])).toBeUndefined();
  });
});
