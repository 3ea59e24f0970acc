import { appendFileSync, chmodSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { answerWith, apiError, htmlPage } from '../../../../tests/support/team-api/misbehaviour.ts';
import { TeamFixture } from '../../../../tests/support/team-api/team-fixture.ts';
import { register } from './register.ts';
import { RegistrationError } from './registration-error.ts';
import { formatSyncConfig, type SyncConfigOptions, type SyncOutcome, syncConfig } from './sync-config.ts';
import type { TeamWorld } from './team-world.ts';

let team: TeamFixture;
let reloads: string[];
beforeEach(async () => {
  reloads = [];
  team = await new TeamFixture().start();
  await register(team.options(), team.world());
  team.server.requests.length = 0;
});
afterEach(() => team.close());

const read = (name: string): string => readFileSync(team.path('acme', name), 'utf8');
const gate = () => team.acme.nodes.get(1)!;

async function sync(given: Partial<SyncConfigOptions> = {}, world: Partial<TeamWorld> = {}): Promise<SyncOutcome> {
  const reload = async (name: string): Promise<void> => void reloads.push(name);
  const teams = { kind: 'one', orgSlug: 'acme' } as const;
  const outcomes = await syncConfig({ teams, verify: undefined, reload, ...given }, team.world(world));
  expect(formatSyncConfig(outcomes)).toMatch(/^acme: .+\n$/);
  return outcomes[0]!;
}

function codeOf(outcome: SyncOutcome): string {
  return outcome.kind === 'failed' ? outcome.error.code : outcome.kind;
}

describe('the configuration', () => {
  it('that is the same is neither written nor reloaded', async () => {
    const { ino } = statSync(team.path('acme', 'config.yml'));
    expect(await sync()).toMatchObject({ kind: 'unchanged' });
    expect(statSync(team.path('acme', 'config.yml')).ino).toBe(ino);
    expect(reloads).toEqual([]);
  });

  it('that is new replaces the old one and reloads the team', async () => {
    gate().openPorts = [22];
    expect(await sync()).toMatchObject({ kind: 'changed', files: ['config.yml'], reloadFailure: undefined });
    expect(read('config.yml')).toContain('port: 22');
    expect(read('config.yml.bak')).toBe(read('config.yml'));
    expect(reloads).toEqual(['acme']);
    expect(await sync()).toMatchObject({ kind: 'unchanged' });
  });

  it('with a renewed certificate brings the key along', async () => {
    team.acme.renew(gate());
    expect(await sync()).toMatchObject({ files: ['node.key', 'node.crt', 'config.yml'] });
    expect(read('node.key')).toBe(gate().key);
    expect(JSON.parse(read('credentials.json'))).toMatchObject({
      expiration: new Date(gate().expirationUnixMs).toISOString(),
      api_token: gate().apiToken,
      mode: 'server',
    });
  });

  it('edited by hand stays while the server has nothing new, and is kept aside then', async () => {
    appendFileSync(team.path('acme', 'config.yml'), '# mine\n');
    expect(await sync()).toMatchObject({ kind: 'unchanged' });
    expect(read('config.yml')).toContain('# mine');
    gate().openPorts = [443];
    expect(await sync()).toMatchObject({ kind: 'changed', editedPath: team.path('acme', 'config.yml.edited') });
    expect(read('config.yml')).not.toContain('# mine');
    expect(read('config.yml.edited')).toContain('# mine');
    expect(statSync(team.path('acme', 'config.yml.edited')).mode & 0o777).toBe(0o600);
  });

  it('that is damaged or gone is restored', async () => {
    writeFileSync(team.path('acme', 'config.yml'), 'pki: {');
    expect(await sync()).toMatchObject({ kind: 'changed', files: ['config.yml'] });
    rmSync(team.path('acme', 'config.yml'));
    expect(await sync()).toMatchObject({ kind: 'changed', files: ['config.yml'] });
    expect(read('config.yml')).toContain('am_lighthouse');
  });

  it('that Nebula would not take leaves the old one', async () => {
    const before = read('config.yml');
    gate().openPorts = [22];
    const verify = async (): Promise<void> => {
      throw new RegistrationError('registration/bad-answer', 'Nebula does not take it');
    };
    expect(codeOf(await sync({ verify }))).toBe('registration/bad-answer');
    expect(read('config.yml')).toBe(before);
    expect(reloads).toEqual([]);
  });

  it('is in place even when the team cannot be reloaded', async () => {
    gate().openPorts = [22];
    const reload = async (): Promise<void> => Promise.reject(new Error('no such unit'));
    expect(await sync({ reload })).toMatchObject({ kind: 'changed', reloadFailure: 'no such unit' });
    expect(read('config.yml')).toContain('port: 22');
  });

  it('is only compared in a dry run', async () => {
    const before = read('config.yml');
    gate().openPorts = [22];
    expect(await sync({}, { isDryRun: true })).toMatchObject({
      kind: 'changed',
      isDryRun: true,
      files: ['config.yml'],
    });
    expect(read('config.yml')).toBe(before);
    expect(reloads).toEqual([]);
  });
});

describe('a failure leaves the last good configuration', () => {
  it.each([
    ['a refusal', apiError(403, 'Forbidden', 'No.'), 'registration/access-denied'],
    ['HTML', htmlPage(200), 'registration/not-a-team-server'],
    ['half an answer', answerWith(200, '{"node_id":1,'), 'registration/bad-answer'],
    ['a limit', apiError(429, 'Rate Limit Exceeded', 'Later.'), 'registration/rate-limited'],
  ])('%s', async (_name, misbehaviour, code) => {
    const before = read('config.yml');
    team.server.misbehaviours.push(misbehaviour);
    expect(codeOf(await sync())).toBe(code);
    expect(read('config.yml')).toBe(before);
    expect(existsSync(team.path('acme', '.pending.json'))).toBe(false);
  });

  it('and so does the package of another node', async () => {
    const other = team.acme.packageOf({ ...gate(), id: 7 });
    team.server.misbehaviours.push(answerWith(200, JSON.stringify(other)));
    expect(codeOf(await sync())).toBe('registration/bad-answer');
  });
});

describe('a team', () => {
  it('that is revoked is not asked for', async () => {
    writeFileSync(team.path('acme', 'auth-revoked.json'), '{}');
    expect(codeOf(await sync())).toBe('registration/revoked');
    expect(team.server.requests).toEqual([]);
  });

  it('that was never registered is unknown, and no folder is made for it', async () => {
    const teams = { kind: 'one', orgSlug: 'other' } as const;
    const [outcome] = await syncConfig({ teams, verify: undefined, reload: undefined }, team.world());
    expect(codeOf(outcome!)).toBe('registration/unknown-team');
    expect(existsSync(team.path('other'))).toBe(false);
  });

  it('of which the credentials are damaged is read from their copy', async () => {
    writeFileSync(team.path('acme', 'credentials.json'), '{"api_base"');
    expect(await sync()).toMatchObject({ kind: 'unchanged' });
    writeFileSync(team.path('acme', 'credentials.json.bak'), '');
    expect(codeOf(await sync())).toBe('registration/damaged-file');
  });

  it('that fails does not keep the others from their turn', async () => {
    team.server
      .addOrganization('beta', '10.91.0')
      .tokens.set('beta-token', { expiresUnixMs: 4e12, usesMax: 1, useCount: 0 });
    const credential = { kind: 'registration-token', token: 'beta-token' } as const;
    await register(team.options({ orgSlug: 'beta', credential }), team.world());
    chmodSync(team.path('acme'), 0o777);
    const outcomes = await syncConfig({ teams: { kind: 'all' }, verify: undefined, reload: undefined }, team.world());
    expect(outcomes.map(codeOf)).toEqual(['registration/unsafe-folder', 'unchanged']);
  });

  it('whose credentials are those of another one is refused', async () => {
    const text = read('credentials.json').replace('"org_slug": "acme"', '"org_slug": "other"');
    writeFileSync(team.path('acme', 'credentials.json'), text);
    expect(codeOf(await sync())).toBe('registration/damaged-file');
    expect(team.server.requests).toEqual([]);
  });
});
