import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failureOf, MEMBER, START_MS, TeamFixture, TOKEN } from '../../../../tests/support/team-api/team-fixture.ts';
import { createClient } from './open-team.ts';
import { register } from './register.ts';
import { parseTeamName } from './team-name.ts';
import type { RegistrationCredential } from './token-source.ts';

const PEERS = join(process.env['HEDDLE_PEERS'] ?? join(homedir(), '.cache/heddle-peers'), 'bin');
const NEBULA = join(PEERS, 'nebula-new');
const NEBULA_CERT = join(PEERS, 'nebula-cert-new');

let team: TeamFixture;
beforeEach(async () => {
  team = await new TeamFixture().start();
});
afterEach(() => team.close());

const TOKEN_FLOW: RegistrationCredential = { kind: 'registration-token', token: TOKEN };
const ACCESS_FLOW: RegistrationCredential = { kind: 'access-token', token: MEMBER };

function ask(credential = TOKEN_FLOW, isLighthouse = true, slug = 'acme') {
  const lighthouse = isLighthouse ? { publicIp: '203.0.113.7', fqdn: undefined, externalPort: 4242 } : undefined;
  const server = { apiBase: team.server.url, allowsPlainHttp: false, tlsCa: undefined };
  return createClient(team.world(), server).register(
    { team: parseTeamName(slug), nodeName: 'n', lighthouse },
    credential,
  );
}

async function codeOf(run: () => Promise<unknown>): Promise<string> {
  return (await failureOf(run)).code;
}

describe('a team server refuses', () => {
  it('the sixth registration of an address within an hour, and the eleventh of a team', async () => {
    for (let i = 0; i < 5; i++) await ask();
    expect(await codeOf(() => ask())).toBe('registration/rate-limited');
    team.server.clientAddress = '192.0.2.2';
    for (let i = 0; i < 5; i++) await ask();
    team.server.clientAddress = '192.0.2.3';
    expect(await codeOf(() => ask())).toBe('registration/rate-limited');
    team.nowMs += 3_600_000;
    expect(await ask()).toMatchObject({ nodeId: 11 });
  });

  it('a token that is unknown, over, or used up', async () => {
    expect(await codeOf(() => ask({ kind: 'registration-token', token: 'wrong' }))).toBe('registration/invalid-token');
    team.acme.tokens.set('once', { expiresUnixMs: START_MS + 1000, usesMax: 1, useCount: 0 });
    const once: RegistrationCredential = { kind: 'registration-token', token: 'once' };
    await ask(once);
    expect(await codeOf(() => ask(once))).toBe('registration/token-used-up');
    team.nowMs += 1000;
    expect(await codeOf(() => ask(once))).toBe('registration/token-expired');
  });

  it('somebody it does not know, a member of another team, and a team that is not', async () => {
    expect(await codeOf(() => ask({ kind: 'access-token', token: 'wrong' }))).toBe(
      'registration/authentication-required',
    );
    team.server.addOrganization('other');
    expect(await codeOf(() => ask(ACCESS_FLOW, true, 'other'))).toBe('registration/access-denied');
    expect(await codeOf(() => ask(ACCESS_FLOW, true, 'nobody'))).toBe('registration/organization-not-found');
  });

  it('a node before the first lighthouse, and one too many', async () => {
    const small = team.server.addOrganization('small', '10.92.0', 1);
    small.tokens.set(TOKEN, { expiresUnixMs: 4e12, usesMax: -1, useCount: 0 });
    expect(await codeOf(() => ask(TOKEN_FLOW, false, 'small'))).toBe('registration/no-lighthouse');
    await ask(TOKEN_FLOW, true, 'small');
    expect(await codeOf(() => ask(TOKEN_FLOW, true, 'small'))).toBe('registration/no-addresses');
    small.hasAuthority = false;
    expect(await codeOf(() => ask(TOKEN_FLOW, true, 'small'))).toBe('registration/ca-missing');
  });

  it.each([
    ['node-creation', 'registration/node-creation-failed'],
    ['certificate', 'registration/certificate-failed'],
    ['unexpected', 'registration/registration-failed'],
  ] as const)('when its %s fails', async (fault, code) => {
    team.acme.fault = fault;
    expect(await codeOf(() => ask())).toBe(code);
    expect(team.acme.nodes.size).toBe(0);
  });

  it('a node’s token anything but heartbeat and configuration', async () => {
    const { apiToken } = await ask();
    const call = async (path: string, method: string, token = apiToken): Promise<number> => {
      const headers = { authorization: `Bearer ${token}` };
      return (await fetch(`${team.server.url}/api/org/acme/nodes/${path}`, { method, headers })).status;
    };
    expect(await call('1/renew_cert/', 'POST')).toBe(403);
    expect(await call('1/security_groups/', 'GET')).toBe(403);
    expect(await call('2/checkin/', 'POST')).toBe(404);
    expect(await call('1/checkin/', 'POST', 'wrong')).toBe(403);
    expect(await call('1/checkin/', 'GET')).toBe(405);
    expect(await call('1/checkin/', 'POST')).toBe(200);
    expect(await call('1/download_config/?format=zip', 'GET')).toBe(200);
  });
});

describe.skipIf(!existsSync(NEBULA_CERT) || !existsSync(NEBULA))('a registered node', () => {
  it('has files that the real Nebula takes', async () => {
    await register(team.options(), team.world());
    execFileSync(NEBULA_CERT, ['verify', '-ca', team.path('acme', 'ca.crt'), '-crt', team.path('acme', 'node.crt')]);
    const output = execFileSync(NEBULA, ['-test', '-config', team.path('acme', 'config.yml')], { stdio: 'pipe' });
    expect(output.length).toBeGreaterThan(0);
    writeFileSync(team.path('acme', 'config.yml'), 'pki: {}');
    expect(() =>
      execFileSync(NEBULA, ['-test', '-config', team.path('acme', 'config.yml')], { stdio: 'pipe' }),
    ).toThrow();
  });
});
