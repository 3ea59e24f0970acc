import { mkdirSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dumpStore, restoreStore } from './dump.ts';
import type { RuntimeRecord, TeamRecord } from './records.ts';
import { StateStore, type StoreDeps } from './state-store.ts';
import type { StoreChange } from './store-content.ts';

let root: string;
let path: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'heddle-dump-'));
  path = join(root, 'state.db');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const deps: StoreDeps = { unixMs: () => 1000, randomId: () => 'an-id' };

const team: TeamRecord = {
  name: 'acme',
  kind: 'nebula',
  configPath: '/etc/catalyst-networks/acme/config.yml',
  desired: 'up',
  isAutostart: true,
  device: 'cvpn1',
  networks: ['10.1.0.0/24'],
  createdUnixMs: 1,
  updatedUnixMs: 2,
};
const runtime: RuntimeRecord = {
  team: 'acme',
  pid: 7,
  startMark: '1-a',
  bootId: 'a',
  state: 'up',
  sinceUnixMs: 3,
  restarts: 0,
};
const CHANGE: StoreChange = [
  { kind: 'put-team', team },
  { kind: 'put-team', team: { ...team, name: 'Beta', device: 'cvpn2' } },
  { kind: 'put-runtime', runtime },
  { kind: 'set-active-team', name: 'acme' },
];

async function withStore<T>(use: (store: StateStore) => T | Promise<T>): Promise<T> {
  const store = await StateStore.open(path, deps);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

const dumpOf = (change: StoreChange): Promise<string> =>
  withStore(async (store) => {
    await store.commit(change);
    return dumpStore(store);
  });
const dumpNow = (): Promise<string> => withStore(dumpStore);
const restore = (text: string, more: Partial<StoreDeps> = {}) => restoreStore(path, text, { ...deps, ...more });
const names = (): string[] => readdirSync(root).filter((name) => !name.includes('.lock.'));

describe('a dump', () => {
  it('is JSON for people, always in the same order', async () => {
    const text = await dumpOf(CHANGE);
    expect(text).toMatchInlineSnapshot(`
      "{
        "format": "heddle-state-dump",
        "meta": {
          "schemaVersion": 1,
          "instanceId": "an-id",
          "createdUnixMs": 1000
        },
        "activeTeam": "acme",
        "teams": [
          {
            "name": "Beta",
            "kind": "nebula",
            "configPath": "/etc/catalyst-networks/acme/config.yml",
            "desired": "up",
            "isAutostart": true,
            "device": "cvpn2",
            "networks": [
              "10.1.0.0/24"
            ],
            "createdUnixMs": 1,
            "updatedUnixMs": 2
          },
          {
            "name": "acme",
            "kind": "nebula",
            "configPath": "/etc/catalyst-networks/acme/config.yml",
            "desired": "up",
            "isAutostart": true,
            "device": "cvpn1",
            "networks": [
              "10.1.0.0/24"
            ],
            "createdUnixMs": 1,
            "updatedUnixMs": 2
          }
        ],
        "runtimes": [
          {
            "team": "acme",
            "pid": 7,
            "startMark": "1-a",
            "bootId": "a",
            "state": "up",
            "sinceUnixMs": 3,
            "restarts": 0
          }
        ]
      }
      "
    `);
    expect(await dumpOf([...CHANGE].reverse())).toBe(text);
  });

  it('restored is the same store, and the replaced one is kept', async () => {
    const text = await dumpOf(CHANGE);
    await dumpOf([{ kind: 'delete-team', name: 'acme' }]);
    expect(await restore(text)).toEqual({ teamCount: 2, interfaceCount: 0, keptPath: `${path}.before-restore` });
    expect(await dumpNow()).toBe(text);
    expect(names()).toEqual(['state.db', 'state.db.before-restore']);
    await restore(text);
    expect(names()).toEqual(['state.db', 'state.db.before-restore']);
    path = `${path}.before-restore`;
    expect(await dumpNow()).toBe(text);
  });

  it('restored where there is nothing makes the store', async () => {
    const text = await dumpOf(CHANGE);
    path = join(root, 'new', 'state.db');
    expect(await restore(text)).toEqual({ teamCount: 2, interfaceCount: 0, keptPath: undefined });
    expect(await dumpNow()).toBe(text);
  });

  it('without meta makes a new instance', async () => {
    await restore('{"format":"heddle-state-dump","teams":[]}', { randomId: () => 'fresh' });
    expect(await withStore((store) => store.meta)).toEqual({
      schemaVersion: 1,
      instanceId: 'fresh',
      createdUnixMs: 1000,
    });
  });
});

describe('a restore', () => {
  it('of a bad dump says what is wrong and changes nothing', async () => {
    const text = await dumpOf(CHANGE);
    const edit = (fields: object): string => JSON.stringify({ ...JSON.parse(text), ...fields });
    const cases: [string, RegExp][] = [
      ['', /not JSON/],
      [text.slice(0, -3), /not JSON/],
      ['[]', /expected an object;/],
      ['{}', /"format"/],
      [edit({ format: 'other' }), /"format"/],
      [edit({ teams: undefined }), /expected a list as "teams"/],
      [edit({ teams: [team, { ...team, name: '/' }] }), /as "teams.1.name"/],
      [edit({ teams: [team, team] }), /"teams" has "acme" twice/],
      [edit({ runtimes: [runtime, runtime] }), /"runtimes" has "acme" twice/],
      [edit({ activeTeam: 7 }), /"activeTeam"/],
      [edit({ meta: { schemaVersion: 0 } }), /"meta.schemaVersion"/],
    ];
    for (const [bad, message] of cases) {
      await expect(restore(bad)).rejects.toMatchObject({
        code: 'state/bad-dump',
        message: expect.stringMatching(message),
      });
    }
    expect(names()).toEqual(['state.db']);
    expect(await dumpNow()).toBe(text);
  });

  it('of any text restores it or refuses it as a bad dump', async () => {
    const json = JSON.parse(await dumpOf(CHANGE)) as Record<string, unknown>;
    const field = fc.constantFrom(...Object.keys(json), '__proto__');
    await fc.assert(
      fc.asyncProperty(field, fc.jsonValue(), async (name, value) => {
        const done = await restore(JSON.stringify({ ...json, [name]: value })).catch(
          (error: { code: string }) => error,
        );
        if ('code' in done) expect(done.code).toBe('state/bad-dump');
      }),
      { numRuns: 50 },
    );
    await dumpNow();
  });

  it('of a dump, or over a database, of a later heddle is refused', async () => {
    const text = await dumpOf(CHANGE);
    const later = { ...JSON.parse(text), meta: { schemaVersion: 3, instanceId: 'a', createdUnixMs: 1 }, teams: 'new' };
    await expect(restore(JSON.stringify(later))).rejects.toMatchObject({
      code: 'state/newer-version',
      message: expect.stringMatching(/^The dump was/),
    });
    writeFileSync(join(path, 'FORMAT'), 'heddle teams 2\n');
    await expect(restore(text)).rejects.toMatchObject({ code: 'state/newer-version' });
    expect(names()).toEqual(['state.db']);
  });

  it('is refused while the store has an owner', async () => {
    const text = await dumpOf(CHANGE);
    await withStore(async () => {
      await expect(restore(text)).rejects.toMatchObject({
        code: 'state/locked',
        message: expect.stringMatching(/process [0-9]+$/),
      });
    });
    const level = new ClassicLevel(path);
    await level.open();
    await expect(restore(text)).rejects.toMatchObject({
      code: 'state/locked',
      message: expect.stringMatching(/another process$/),
    });
    await level.close();
    expect(names()).toEqual(['state.db']);
    expect(await dumpNow()).toBe(text);
  });

  it('replaces a damaged database and keeps it', async () => {
    const text = await dumpOf(CHANGE);
    unlinkSync(join(path, 'CURRENT'));
    await expect(dumpNow()).rejects.toMatchObject({ code: 'state/corrupt' });
    await restore(text);
    expect(await dumpNow()).toBe(text);
    expect(readdirSync(`${path}.before-restore`)).not.toContain('CURRENT');
  });

  it('does not replace what is not its own', async () => {
    const text = await dumpOf(CHANGE);
    path = join(root, 'other');
    mkdirSync(path);
    writeFileSync(join(path, 'diary.txt'), 'x');
    await expect(restore(text)).rejects.toMatchObject({ code: 'state/foreign' });
    expect(readdirSync(path)).toEqual(['diary.txt']);
    expect(readdirSync(root).filter((name) => name.startsWith('other'))).toEqual(['other']);
  });
});
