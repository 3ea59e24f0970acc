import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failureOf, MEMBER, TOKEN } from '../../../../tests/support/team-api/team-fixture.ts';
import { parseApiBase } from './api-base.ts';
import { parseRegisterFlags, type RegisterFlags } from './register-flags.ts';
import { REGISTRATION_ADVICE } from './registration-error.ts';
import { quoteServerText } from './server-text.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-flags-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const parse = (given: Partial<RegisterFlags> = {}, input = '') =>
  parseRegisterFlags(
    {
      apiBase: 'https://vpn.example.com',
      orgSlug: 'acme',
      nodeName: 'laptop',
      mode: 'desktop',
      isLighthouse: false,
      publicIp: undefined,
      fqdn: undefined,
      externalPort: undefined,
      tlsCaFile: undefined,
      allowHttp: false,
      replace: false,
      ...given,
    },
    async () => input,
  );

function file(text: string): string {
  writeFileSync(join(folder, 'token'), text);
  return join(folder, 'token');
}

describe('the token', () => {
  it('comes by flag, standard input or file', async () => {
    const registration = { kind: 'registration-token', token: TOKEN };
    expect((await parse({ registrationToken: TOKEN })).credential).toEqual(registration);
    expect((await parse({ registrationToken: '-' }, ` ${TOKEN}\n`)).credential).toEqual(registration);
    expect((await parse({ registrationTokenFile: file(`${TOKEN}\n`) })).credential).toEqual(registration);
    const access = { kind: 'access-token', token: MEMBER };
    expect((await parse({ accessToken: MEMBER })).credential).toEqual(access);
    expect((await parse({ accessToken: '-' }, MEMBER)).credential).toEqual(access);
    expect((await parse({ accessTokenFile: file(MEMBER) })).credential).toEqual(access);
  });

  it('is exactly one', async () => {
    expect((await failureOf(() => parse())).code).toBe('registration/token-choice');
    const two = await failureOf(() => parse({ registrationToken: TOKEN, accessToken: MEMBER }));
    expect(two.code).toBe('registration/token-choice');
    expect((await failureOf(() => parse({ accessToken: '-', accessTokenFile: 'x' }))).code).toBe(
      'registration/token-choice',
    );
  });

  it('is one word of bounded length, and never told', async () => {
    for (const bad of [
      '',
      ' ',
      `${TOKEN} ${TOKEN}`,
      `${TOKEN}\r\nX-Evil: 1`,
      `${TOKEN}\u0000`,
      TOKEN.repeat(9),
      'schlüssel',
    ]) {
      for (const given of [{ registrationToken: bad }, { registrationTokenFile: file(bad) }]) {
        expect((await failureOf(() => parse(given))).code).toBe('registration/bad-token');
      }
      expect((await failureOf(() => parse({ registrationToken: '-' }, bad))).code).toBe('registration/bad-token');
    }
    expect((await failureOf(() => parse({ accessTokenFile: file('x'.repeat(20_000)) }))).code).toBe(
      'registration/bad-token',
    );
  });

  it('file that cannot be read is named', async () => {
    for (const path of [join(folder, 'none'), folder]) {
      const error = await failureOf(() => parse({ registrationTokenFile: path }));
      expect(error).toMatchObject({ code: 'registration/bad-token', exit: 'usage' });
      expect(error.message).toContain(path);
    }
  });
});

describe('the flags', () => {
  it.each([
    [{ apiBase: undefined }, 'registration/bad-api-base'],
    [{ orgSlug: undefined }, 'registration/bad-org-slug'],
    [{ nodeName: undefined }, 'registration/bad-node-name'],
    [{ mode: undefined }, 'registration/bad-mode'],
    [{ mode: 'phone' }, 'registration/bad-mode'],
    [{ publicIp: '203.0.113.7' }, 'registration/bad-lighthouse'],
    [{ externalPort: 4242 }, 'registration/bad-lighthouse'],
    [{ isLighthouse: true, externalPort: '70000' }, 'registration/bad-port'],
    [{ isLighthouse: true, externalPort: 'x' }, 'registration/bad-port'],
    [{ tlsCaFile: '/nonexistent' }, 'registration/bad-tls-ca'],
    [{ tlsCaFile: '/dev/null' }, 'registration/bad-tls-ca'],
  ] as [Partial<RegisterFlags>, string][])('%o are refused before the token is read', async (given, code) => {
    const readInput = { registrationToken: '-' };
    expect(await failureOf(() => parse({ ...readInput, ...given }, ''))).toMatchObject({ code, exit: 'usage' });
  });

  it('of a lighthouse default to port 4242', async () => {
    const { lighthouse } = await parse({ registrationToken: TOKEN, isLighthouse: true, publicIp: '203.0.113.7' });
    expect(lighthouse).toEqual({ publicIp: '203.0.113.7', fqdn: undefined, externalPort: 4242 });
  });
});

describe('the API base', () => {
  it('is https, or http of this machine, or http when allowed', async () => {
    expect(parseApiBase('https://vpn.example.com/', false)).toEqual({
      url: 'https://vpn.example.com',
      host: 'vpn.example.com',
    });
    expect(parseApiBase('HTTPS://VPN.example.com:8443/a/b//', false).url).toBe('https://vpn.example.com:8443/a/b');
    for (const url of [
      'http://127.0.0.1:8000',
      'http://localhost',
      'http://[::1]:80',
      'http://127.9.9.9',
      'http://2130706433',
    ]) {
      expect(parseApiBase(url, false).url).toMatch(/^http:/);
    }
    for (const url of [
      'http://vpn.example.com',
      'http://127.0.0.1.example.com',
      'http://10.0.0.1',
      'http://localhost.example.com',
    ]) {
      expect((await failureOf(() => parseApiBase(url, false))).code).toBe('registration/plain-http');
      expect(parseApiBase(url, true).url).toBe(url);
    }
  });

  it('is nothing else, and is not repeated', async () => {
    for (const url of [
      '',
      'acme',
      'ftp://x',
      'file:///etc',
      'https://u:hunter2@x',
      'https://x/?a=hunter2',
      'https://x/#a',
      `https://x/${'a'.repeat(3000)}`,
    ]) {
      const error = await failureOf(() => parseApiBase(url, true), ['hunter2']);
      expect(error.code).toBe('registration/bad-api-base');
    }
  });
});

describe('words of a server', () => {
  it('are one short line without anything secret', () => {
    expect(quoteServerText('Not\nfound\u001b[31m\u202e')).toBe('"Not found [31m"');
    expect(quoteServerText(`you sent ${TOKEN.slice(0, 20)}`, [TOKEN.slice(0, 20)])).toBe('"you sent [redacted]"');
    expect(quoteServerText(`jwt ${MEMBER}!`)).toBe('"jwt [redacted]!"');
    expect(quoteServerText('a -----BEGIN NEBULA X25519 PRIVATE KEY-----\nAAA')).toBe('"a [redacted]"');
    expect(quoteServerText('word '.repeat(1000)).length).toBeLessThan(210);
    expect(quoteServerText(`${'a b '.repeat(1022)}short-SECRET`, ['short-SECRET'])).not.toContain('short');
  });
});

describe('the advice', () => {
  it('is there for every code', () => {
    for (const [code, { next }] of Object.entries(REGISTRATION_ADVICE)) {
      expect(code).toMatch(/^registration\/[a-z]+(?:-[a-z]+)*$/);
      expect(next).toMatch(/^\S.*[^.]$/);
    }
  });
});
