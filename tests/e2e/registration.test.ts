import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IS_BUILT } from '../support/heddle-command.ts';
import { run } from '../support/processes.ts';
import { TeamFixture, TOKEN } from '../support/team-api/team-fixture.ts';

// The built command line against a team server of our own.
const HEDDLE = fileURLToPath(new URL('../../node_modules/.bin/heddle', import.meta.url));

let team: TeamFixture;
beforeEach(async () => {
  team = await new TeamFixture().start();
});
afterEach(() => team.close());

const heddle = (args: string[], input = ''): ReturnType<typeof run> =>
  run(HEDDLE, [...args, '--config-root', team.configRoot, '--socket-path', `${team.root}/no.sock`], {
    input,
    env: { HOME: team.root },
  });

const register = (input: string): ReturnType<typeof run> => {
  const who = ['--api-base', team.server.url, '--org-slug', 'acme', '--node-name', 'gate', '--mode', 'server'];
  const lighthouse = ['--is-lighthouse', '--public-ip', '203.0.113.7'];
  return heddle(['register', ...who, ...lighthouse, '--registration-token', '-'], input);
};

describe.skipIf(!IS_BUILT)('the commands of the team server', () => {
  it('register a node with a token from standard input, and check it', async () => {
    const { code, stdout, stderr } = await register(`${TOKEN}\n`);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('acme');
    expect(stdout).not.toContain('SECRET');
    expect(readFileSync(team.path('acme', 'config.yml'), 'utf8')).toContain('am_lighthouse: true');
    expect((await heddle(['checkin'])).code).toBe(0);
    const good = JSON.parse((await heddle(['check-auth', '--all', '--json'])).stdout);
    expect(good).toMatchObject({ outcomes: [{ kind: 'good', team: 'acme' }] });
  });

  it('leave a breadcrumb for a node that was taken away, and exit with 6', async () => {
    await register(TOKEN);
    team.acme.nodes.clear();
    const { code, stdout } = await heddle(['check-auth']);
    expect(code).toBe(6);
    expect(stdout).toContain('acme');
    expect(existsSync(team.path('acme', 'auth-revoked.json'))).toBe(true);
    expect((await heddle(['checkin'])).code).not.toBe(0);
  });

  it('say what is wrong and what to do', async () => {
    const { code, stderr } = await register('wrong-token');
    expect(code).toBe(6);
    expect(stderr).toMatch(/^heddle: .+ \[registration\/[a-z-]+\]\n {2}next: .+\n$/);
    expect(stderr).not.toContain('wrong-token');
  });
});
