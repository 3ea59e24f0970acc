import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type FileSystem, nodeFileSystem } from '@heddle/tailnet/state/state-files';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeKeyring, failureOf, TeamFixture } from '../../../../tests/support/team-api/team-fixture.ts';
import type { NodePackage } from './api-answers.ts';
import { finishPendingInstall, installNode } from './node-install.ts';
import { createClient, openTeam } from './open-team.ts';
import { register } from './register.ts';
import { type TeamFolder, teamFolder } from './team-folder.ts';
import { parseTeamName } from './team-name.ts';

let team: TeamFixture;
let folder: TeamFolder;
let oldFiles: Record<string, string>;
beforeEach(async () => {
  team = await new TeamFixture().start();
  await register(team.options(), team.world());
  folder = teamFolder(team.configRoot, parseTeamName('acme'), nodeFileSystem);
  oldFiles = files();
});
afterEach(() => team.close());

const NAMES = ['ca.crt', 'node.crt', 'node.key', 'config.yml'];
function files(): Record<string, string> {
  return Object.fromEntries(NAMES.map((name) => [name, readFileSync(team.path('acme', name), 'utf8')]));
}

/** A file system that stops working for good before its n-th change, as a killed process does. */
function dyingAfter(changeCount: number): { readonly fs: FileSystem; changes: number } {
  const state = { fs: nodeFileSystem, changes: 0 };
  const dying = { ...nodeFileSystem } as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const name of ['openSync', 'writeSync', 'fsyncSync', 'renameSync', 'unlinkSync', 'chmodSync', 'mkdirSync']) {
    const real = dying[name]!;
    dying[name] = (...args) => {
      if (state.changes >= changeCount) throw Object.assign(new Error('dead'), { code: 'EIO' });
      state.changes++;
      return real(...args);
    };
  }
  state.fs = dying as unknown as FileSystem;
  return state;
}

async function nextPackage(): Promise<NodePackage> {
  team.acme.renew(team.acme.nodes.get(1)!);
  const { api, node } = await openTeam(team.world(), folder);
  return api.downloadConfig(node);
}

async function install(fs: FileSystem, node: NodePackage): Promise<void> {
  const { credentials } = await openTeam(team.world(), folder);
  await installNode({
    folder: { ...folder, fs },
    keyring: undefined,
    credentials,
    newToken: undefined,
    node,
    keepsConfig: false,
  });
}

describe('an installation that dies', () => {
  it('at any step leaves every file old or new, and is finished or forgotten as a whole', async () => {
    const node = await nextPackage();
    const newFiles = {
      'ca.crt': node.caCertificate,
      'node.crt': node.certificate,
      'node.key': node.key,
      'config.yml': node.configYaml,
    };
    const outcomes = new Set<string>();
    for (let changeCount = 0; ; changeCount++) {
      for (const [name, text] of Object.entries(oldFiles)) writeFileSync(team.path('acme', name), text);
      const { fs } = dyingAfter(changeCount);
      let isDead = false;
      try {
        await install(fs, node);
      } catch {
        isDead = true;
      }
      const found = files();
      for (const name of NAMES)
        expect([oldFiles[name], newFiles[name as keyof typeof newFiles]]).toContain(found[name]);
      const isFinished = await finishPendingInstall(folder, undefined);
      const after = files();
      expect([oldFiles, newFiles]).toContainEqual(after);
      expect(existsSync(team.path('acme', '.pending.json'))).toBe(false);
      expect((await openTeam(team.world(), folder)).node.apiToken).toBe(team.acme.nodes.get(1)!.apiToken);
      outcomes.add(
        `${isDead ? 'dead' : 'alive'} ${isFinished ? 'finished' : 'left'} ${after['node.key'] === node.key ? 'new' : 'old'}`,
      );
      if (!isDead) break;
    }
    expect([...outcomes].sort()).toEqual(['alive left new', 'dead finished new', 'dead left new', 'dead left old']);
    expect(readdirSync(team.path('acme')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('in a registration loses neither key nor token once the server has answered', async () => {
    const client = createClient(team.world(), { apiBase: team.server.url, allowsPlainHttp: false, tlsCa: undefined });
    const request = { team: folder.team, nodeName: 'second', lighthouse: undefined };
    const registered = await client.register(request, team.options().credential);
    const { credentials } = await openTeam(team.world(), folder);
    const keyring = new FakeKeyring();
    const options = { keyring, newToken: registered.apiToken, node: registered, keepsConfig: false };
    // Eight changes are enough for the pending file and not for the key.
    const { fs } = dyingAfter(8);
    const pending = { ...credentials, node_id: registered.nodeId };
    await failureOf(() => installNode({ ...options, folder: { ...folder, fs }, credentials: pending }));
    expect(readFileSync(team.path('acme', 'node.key'), 'utf8')).toBe(oldFiles['node.key']);
    expect(await finishPendingInstall(folder, keyring)).toBe(true);
    expect(readFileSync(team.path('acme', 'node.key'), 'utf8')).toBe(registered.key);
    expect((await openTeam(team.world({ keyring }), folder)).node.apiToken).toBe(registered.apiToken);
  });

  it('and whose pending file is damaged is refused, not forgotten', async () => {
    writeFileSync(team.path('acme', '.pending.json'), '{"credentials":');
    const error = await failureOf(() => finishPendingInstall(folder, undefined));
    expect(error.code).toBe('registration/damaged-file');
    expect(files()).toEqual(oldFiles);
  });
});
