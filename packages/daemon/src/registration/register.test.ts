import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { nodeFileSystem } from '@heddle/tailnet/state/state-files';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { apiError, hang, hangUp, pour } from '../../../../tests/support/team-api/misbehaviour.ts';
import { FakeKeyring, failureOf, MEMBER, TeamFixture, TOKEN } from '../../../../tests/support/team-api/team-fixture.ts';
import { checkin } from './checkin.ts';
import { formatRegister, register } from './register.ts';

let team: TeamFixture;
beforeEach(async () => {
  team = await new TeamFixture().start();
});
afterEach(() => team.close());

const read = (...names: string[]): string => readFileSync(team.path(...names), 'utf8');
const json = (...names: string[]): Record<string, unknown> => JSON.parse(read(...names)) as Record<string, unknown>;
const mode = (...names: string[]): number => statSync(team.path(...names)).mode & 0o777;

describe('a registration', () => {
  it('with a registration token writes everything the node needs, readable for its owner only', async () => {
    const result = await register(team.options(), team.world());
    expect(result).toMatchObject({
      kind: 'registered',
      team: 'acme',
      nodeId: 1,
      nebulaIp: '10.90.0.1',
      tokenStorage: 'file',
    });
    const node = team.acme.nodes.get(1)!;
    expect(read('acme', 'node.key')).toBe(node.key);
    expect(read('acme', 'config.yml')).toContain('am_lighthouse: true');
    expect(json('acme', 'credentials.json')).toEqual({
      api_base: team.server.url,
      org_slug: 'acme',
      node_id: 1,
      node_name: 'gate',
      nebula_ip: '10.90.0.1',
      is_lighthouse: true,
      mode: 'server',
      expiration: new Date(node.expirationUnixMs).toISOString(),
      registered_at: '2026-11-21T00:00:00.000Z',
      token_storage: 'file',
      api_token: node.apiToken,
    });
    const names = readdirSync(team.path('acme')).filter((name) => !name.startsWith('.lock'));
    expect(names.sort()).toEqual([
      'ca.crt',
      'config.yml',
      'config.yml.bak',
      'credentials.json',
      'credentials.json.bak',
      'node.crt',
      'node.key',
    ]);
    for (const name of names) expect(`${name} ${mode('acme', name).toString(8)}`).toBe(`${name} 600`);
    expect(mode('acme').toString(8)).toBe('700');
    expect(formatRegister(result)).toContain('Registered lighthouse "gate" (1) with team acme: 10.90.0.1');
  });

  it('sends the documented fields of the token flow, and no header with a token', async () => {
    await register(team.options(), team.world());
    const [request] = team.server.requests;
    expect(request).toMatchObject({ method: 'POST', path: '/api/org/acme/nodes/register/' });
    expect(request?.headers.authorization).toBeUndefined();
    expect(JSON.parse(request!.body)).toEqual({
      organization_slug: 'acme',
      node_name: 'gate',
      registration_token: TOKEN,
      is_lighthouse: true,
      public_ip: '203.0.113.7',
      external_port: 4242,
    });
  });

  it('with an access token sends it as bearer and only the name', async () => {
    await register(team.options(), team.world());
    const credential = { kind: 'access-token', token: MEMBER } as const;
    const other = team.world({ configRoot: team.path('..', 'other') });
    await register(team.options({ credential, nodeName: 'laptop', lighthouse: undefined, mode: 'desktop' }), other);
    const request = team.server.requests.at(-1)!;
    expect(request.headers.authorization).toBe(`Bearer ${MEMBER}`);
    expect(JSON.parse(request.body)).toEqual({ node_name: 'laptop' });
  });

  it('puts the token into the keyring where one opens, and into no file', async () => {
    const keyring = new FakeKeyring();
    const world = team.world({ keyring });
    expect(await register(team.options(), world)).toMatchObject({ tokenStorage: 'keyring' });
    const { apiToken } = team.acme.nodes.get(1)!;
    expect([...keyring.secrets.values()]).toEqual([apiToken]);
    for (const name of readdirSync(team.path('acme')).filter((entry) => !entry.startsWith('.lock'))) {
      expect(read('acme', name)).not.toContain(apiToken);
    }
    expect(await checkin({ kind: 'all' }, world)).toMatchObject([{ kind: 'checked-in' }]);
  });

  it('puts the token into the file when the keyring stays locked', async () => {
    const keyring = new FakeKeyring();
    keyring.isLocked = true;
    expect(await register(team.options(), team.world({ keyring }))).toMatchObject({ tokenStorage: 'file' });
    expect(json('acme', 'credentials.json')['api_token']).toBe(team.acme.nodes.get(1)!.apiToken);
  });

  it('as a dry run asks nobody and writes nothing', async () => {
    const plan = await register(team.options(), team.world({ isDryRun: true }));
    expect(formatRegister(plan)).toContain(`Would write ${team.path('acme', 'config.yml')}`);
    expect(formatRegister(plan)).not.toContain(TOKEN);
    expect(team.server.requests).toEqual([]);
    expect(existsSync(team.configRoot)).toBe(false);
  });
});

describe('a registration does not reach the server', () => {
  afterEach(() => expect(team.server.requests).toEqual([]));

  it.each([
    [{ orgSlug: '../acme' }, 'registration/bad-org-slug'],
    [{ orgSlug: '' }, 'registration/bad-org-slug'],
    [{ orgSlug: 'a'.repeat(65) }, 'registration/bad-org-slug'],
    [{ nodeName: 'a b' }, 'registration/bad-node-name'],
    [{ nodeName: '-name' }, 'registration/bad-node-name'],
    [{ apiBase: 'vpn.example.com' }, 'registration/bad-api-base'],
    [{ apiBase: 'https://user:pass@vpn.example.com' }, 'registration/bad-api-base'],
    [{ apiBase: 'http://vpn.example.com' }, 'registration/plain-http'],
    [{ lighthouse: { publicIp: undefined, fqdn: undefined, externalPort: 4242 } }, 'registration/bad-lighthouse'],
    [{ lighthouse: { publicIp: 'gate', fqdn: undefined, externalPort: 4242 } }, 'registration/bad-lighthouse'],
    [{ lighthouse: { publicIp: undefined, fqdn: 'a..b', externalPort: 4242 } }, 'registration/bad-lighthouse'],
    [{ lighthouse: { publicIp: '203.0.113.7', fqdn: undefined, externalPort: 0 } }, 'registration/bad-port'],
  ])('with %o', async (given, code) => {
    const error = await failureOf(() => register(team.options(given), team.world()));
    expect(error).toMatchObject({ code, exit: 'usage' });
    expect(existsSync(team.configRoot)).toBe(false);
  });

  it('when the disk is full, so that the token stays unused', async () => {
    const full = { ...nodeFileSystem, writeSync: () => fail('ENOSPC') } as typeof nodeFileSystem;
    const error = await failureOf(() => register(team.options(), team.world({ fs: full })));
    expect(error.code).toBe('registration/disk-full');
  });

  it('when the folder of the team is a symbolic link', async () => {
    mkdirSync(team.path('..', 'elsewhere'));
    mkdirSync(team.configRoot);
    symlinkSync(team.path('..', 'elsewhere'), team.path('acme'));
    const error = await failureOf(() => register(team.options(), team.world()));
    expect(error.code).toBe('registration/unsafe-folder');
    expect(readdirSync(team.path('..', 'elsewhere'))).toEqual([]);
  });

  it('when others can write to the config root', async () => {
    mkdirSync(team.configRoot);
    chmodSync(team.configRoot, 0o777);
    const error = await failureOf(() => register(team.options(), team.world()));
    expect(error.code).toBe('registration/unsafe-folder');
  });

  it('while the breadcrumb of a revocation is there, even a damaged one', async () => {
    mkdirSync(team.path('acme'), { recursive: true, mode: 0o700 });
    for (const text of ['{"revoked_at":"2026-11-20T00:00:00Z","reason":"401 Unauthorized","node_id":7}', '{"rev', '']) {
      writeFileSync(team.path('acme', 'auth-revoked.json'), text);
      const error = await failureOf(() => register(team.options(), team.world()));
      expect(error.code).toBe('registration/revoked');
      expect(error.nextStep).toContain(team.path('acme', 'auth-revoked.json'));
    }
  });
});

describe('a second registration', () => {
  it('is refused while the server still knows the node', async () => {
    await register(team.options(), team.world());
    const error = await failureOf(() => register(team.options(), team.world()));
    expect(error).toMatchObject({ code: 'registration/already-registered', exit: 'conflict' });
    expect(team.acme.nodes.size).toBe(1);
  });

  it('is refused when the server does not say', async () => {
    await register(team.options(), team.world());
    team.server.misbehaviours.push(apiError(503, 'Service Unavailable', 'Later.'));
    const error = await failureOf(() => register(team.options(), team.world()));
    expect(error.code).toBe('registration/already-registered');
    expect(error.message).toContain('Later.');
  });

  it('goes ahead when asked to replace the node, and forgets the old token', async () => {
    const keyring = new FakeKeyring();
    await register(team.options(), team.world({ keyring }));
    await register(team.options({ replacesGoodNode: true }), team.world({ keyring }));
    expect([...keyring.secrets.values()]).toEqual([team.acme.nodes.get(2)!.apiToken]);
    expect(json('acme', 'credentials.json')['node_id']).toBe(2);
  });

  it('goes ahead when the server has deleted the node', async () => {
    await register(team.options(), team.world());
    team.acme.nodes.clear();
    expect(await register(team.options(), team.world())).toMatchObject({ nodeId: 2 });
    expect(read('acme', 'node.key')).toBe(team.acme.nodes.get(2)!.key);
  });
});

describe('a registration whose answer does not arrive', () => {
  it.each([
    ['is never sent again', hangUp, 'registration/answer-lost'],
    ['because the server stays silent says that the node may exist', hang, 'registration/answer-lost'],
    ['whole because it never ends is given up', pour, 'registration/answer-too-large'],
  ])('%s', async (_name, misbehaviour, code) => {
    team.server.misbehaviours.push(misbehaviour);
    const error = await failureOf(() =>
      register(team.options(), team.world({ timeoutMs: code.endsWith('lost') ? 200 : 9000 })),
    );
    expect(error.code).toBe(code);
    expect(team.server.requests.length).toBe(1);
    expect(team.waits).toEqual([]);
    expect(existsSync(team.path('acme', 'config.yml'))).toBe(false);
  });

  it('ends when the command is cancelled', async () => {
    const cancel = new AbortController();
    team.server.misbehaviours.push(() => cancel.abort(new Error('ctrl-C')));
    await expect(register(team.options(), team.world({ signal: cancel.signal }))).rejects.toThrow('ctrl-C');
  });
});

function fail(code: string): never {
  throw Object.assign(new Error(code), { code });
}
