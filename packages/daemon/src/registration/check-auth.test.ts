import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { nodeFileSystem } from '@heddle/tailnet/state/state-files';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { apiError, hangUp, htmlPage, redirectTo } from '../../../../tests/support/team-api/misbehaviour.ts';
import { TeamFixture } from '../../../../tests/support/team-api/team-fixture.ts';
import { type AuthOutcome, checkAuth, exitClassOfCheckAuth, formatCheckAuth } from './check-auth.ts';
import { checkin, formatCheckin } from './checkin.ts';
import { register } from './register.ts';
import { syncConfig } from './sync-config.ts';
import type { TeamWorld } from './team-world.ts';

let team: TeamFixture;
let stops: string[];
beforeEach(async () => {
  stops = [];
  team = await new TeamFixture().start();
  await register(team.options(), team.world());
  team.server.requests.length = 0;
});
afterEach(() => team.close());

const breadcrumb = (): string => team.path('acme', 'auth-revoked.json');
const stopTeam = async (name: string): Promise<void> => void stops.push(name);

function check(world: Partial<TeamWorld> = {}, stop = stopTeam): Promise<readonly AuthOutcome[]> {
  return checkAuth({ teams: { kind: 'all' }, stopTeam: stop }, team.world(world));
}

describe('the credentials', () => {
  it('are good when the server takes the heartbeat', async () => {
    const outcomes = await check();
    expect(outcomes).toEqual([{ kind: 'good', team: 'acme', lastCheckin: '2026-11-21T00:00:00.000Z' }]);
    expect(exitClassOfCheckAuth(outcomes)).toBeUndefined();
    expect(stops).toEqual([]);
  });

  it.each([
    [401, '401 Unauthorized'],
    [403, '403 Forbidden'],
    [404, '404 Not Found'],
  ])('are revoked by status %i: the team stops and the breadcrumb says why', async (status, reason) => {
    team.server.misbehaviours.push(apiError(status, 'x', 'y'));
    const outcomes = await check();
    expect(outcomes).toMatchObject([{ kind: 'revoked', isNew: true, reason, stopFailure: undefined }]);
    expect(exitClassOfCheckAuth(outcomes)).toBe('auth');
    expect(stops).toEqual(['acme']);
    expect(JSON.parse(readFileSync(breadcrumb(), 'utf8'))).toEqual({
      revoked_at: '2026-11-21T00:00:00.000Z',
      reason,
      node_id: 1,
    });
    expect(statSync(breadcrumb()).mode & 0o777).toBe(0o600);
  });

  it.each([
    ['500', apiError(500, 'Internal Server Error', 'y')],
    ['502 of a proxy', htmlPage(502)],
    ['503', apiError(503, 'x', 'y')],
    ['a lost connection', hangUp],
    ['a limit', apiError(429, 'Rate Limit Exceeded', 'y')],
    ['400', apiError(400, 'x', 'y')],
    ['409', apiError(409, 'x', 'y')],
    ['410', apiError(410, 'x', 'y')],
    ['a redirect', redirectTo('https://login.example.com/')],
    ['a page', htmlPage(200)],
  ])('are unclear after %s: nothing changes', async (_name, misbehaviour) => {
    team.server.misbehaviours.push(misbehaviour);
    const outcomes = await check();
    expect(outcomes).toMatchObject([{ kind: 'unclear', team: 'acme' }]);
    expect(formatCheckAuth(outcomes)).toContain('left as it is');
    expect(exitClassOfCheckAuth(outcomes)).toBeDefined();
    expect(stops).toEqual([]);
    expect(existsSync(breadcrumb())).toBe(false);
  });

  it('are unclear when the server is gone', async () => {
    await team.server.close();
    expect(await check()).toMatchObject([{ kind: 'unclear', error: { code: 'registration/unreachable' } }]);
    expect(stops).toEqual([]);
    await team.server.start();
  });
});

describe('a revoked team', () => {
  beforeEach(async () => {
    team.acme.nodes.clear();
    await check();
    team.server.requests.length = 0;
    stops = [];
  });

  it('is stopped again and not asked about again', async () => {
    const outcomes = await check();
    expect(outcomes).toMatchObject([{ kind: 'revoked', isNew: false, reason: '403 Forbidden' }]);
    expect(formatCheckAuth(outcomes)).toContain(
      'acme: revoked since 2026-11-21T00:00:00.000Z (403 Forbidden), stopped',
    );
    expect(stops).toEqual(['acme']);
    const [beat] = await checkin({ kind: 'all' }, team.world());
    expect(beat).toMatchObject({ kind: 'failed', error: { code: 'registration/revoked' } });
    await syncConfig({ teams: { kind: 'all' }, verify: undefined, reload: undefined }, team.world());
    expect(team.server.requests).toEqual([]);
  });

  it('comes back when the breadcrumb is deleted and the machine registered anew', async () => {
    rmSync(breadcrumb());
    expect(await register(team.options(), team.world())).toMatchObject({ nodeId: 2 });
    expect(await check()).toMatchObject([{ kind: 'good' }]);
  });

  it('with a damaged breadcrumb stays revoked', async () => {
    writeFileSync(breadcrumb(), '{"revoked_at": 7');
    expect(await check()).toMatchObject([{ kind: 'revoked', isNew: false, reason: undefined }]);
    expect(team.server.requests).toEqual([]);
  });
});

describe('a revocation', () => {
  beforeEach(() => team.acme.nodes.clear());

  it('is written down even when the team does not stop, and stopped at the next check', async () => {
    const stop = async (): Promise<void> => Promise.reject(new Error('timed out'));
    const outcomes = await check({}, stop);
    expect(outcomes).toMatchObject([{ kind: 'revoked', stopFailure: 'timed out', writeFailure: undefined }]);
    expect(formatCheckAuth(outcomes)).toContain('NOT stopped: timed out');
    expect(existsSync(breadcrumb())).toBe(true);
    await check();
    expect(stops).toEqual(['acme']);
  });

  it('stops the team even when it cannot be written down', async () => {
    const fsyncSync = (): never => {
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    };
    const outcomes = await check({ fs: { ...nodeFileSystem, fsyncSync } });
    expect(outcomes).toMatchObject([{ kind: 'revoked', writeFailure: expect.stringContaining('No space left') }]);
    expect(stops).toEqual(['acme']);
    expect(existsSync(breadcrumb())).toBe(false);
  });

  it('of a node that was replaced meanwhile does not stop its successor', async () => {
    team.server.misbehaviours.push((response) => {
      const text = readFileSync(team.path('acme', 'credentials.json'), 'utf8');
      writeFileSync(team.path('acme', 'credentials.json'), text.replace('"node_id": 1', '"node_id": 2'));
      apiError(403, 'Forbidden', 'Gone.')(response);
    });
    expect(await check()).toMatchObject([{ kind: 'unclear' }]);
    expect(stops).toEqual([]);
    expect(existsSync(breadcrumb())).toBe(false);
  });

  it('is only told in a dry run', async () => {
    expect(await check({ isDryRun: true })).toMatchObject([{ kind: 'revoked' }]);
    expect(stops).toEqual([]);
    expect(existsSync(breadcrumb())).toBe(false);
  });
});

describe('a heartbeat', () => {
  it('refused does not revoke: only check-auth judges', async () => {
    team.acme.nodes.clear();
    const outcomes = await checkin({ kind: 'one', orgSlug: 'acme' }, team.world());
    expect(outcomes).toMatchObject([{ kind: 'failed', error: { code: 'registration/access-denied', status: 403 } }]);
    expect(formatCheckin(outcomes)).toContain('[registration/access-denied]');
    expect(existsSync(breadcrumb())).toBe(false);
  });

  it('is not sent in a dry run', async () => {
    const outcomes = await checkin({ kind: 'all' }, team.world({ isDryRun: true }));
    expect(formatCheckin(outcomes)).toBe('acme: would check in\n');
    expect(team.server.requests).toEqual([]);
  });

  it('goes to nobody where no team is registered', async () => {
    expect(await checkin({ kind: 'all' }, team.world({ configRoot: team.path('none') }))).toEqual([]);
  });
});
