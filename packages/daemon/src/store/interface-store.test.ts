import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dumpStore, restoreStore } from './dump.ts';
import {
  INTERFACE_COUNT_MAX,
  type InterfaceRecord,
  interfaceKey,
  type SubnetRecord,
  type TunRecord,
} from './interface-records.ts';
import { openLevelDatabase } from './level-database.ts';
import { StateStore, type StoreDeps } from './state-store.ts';
import type { StoreChange } from './store-content.ts';

let root: string;
let path: string;
const open: StateStore[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'heddle-interfaces-'));
  path = join(root, 'state.db');
});
afterEach(async () => {
  for (const store of open.splice(0)) await store.close();
  rmSync(root, { recursive: true, force: true });
});

const deps: StoreDeps = { unixMs: () => 1000, randomId: () => 'an-id' };

async function openStore(more: Partial<StoreDeps> = {}): Promise<StateStore> {
  const store = await StateStore.open(path, { ...deps, ...more });
  open.push(store);
  return store;
}

async function reopen(store: StateStore): Promise<StateStore> {
  await store.close();
  return openStore();
}

function tun(name: string, mark = 1): TunRecord {
  const fields = { kind: 'tun', address: '10.0.0.1', prefixBits: 24, mtu: 1500, isPersistent: true } as const;
  return { ...fields, name, mark, createdUnixMs: 1 };
}

function subnet(third: number, mark = 1): SubnetRecord {
  const fields = { kind: 'subnet', link: 'dummy0', linkKind: 'dummy', mtu: 1500 } as const;
  return { ...fields, cidr: `10.1.${third}.0/24`, address: `10.1.${third}.1`, mark, createdUnixMs: 1 };
}

const put = (record: InterfaceRecord) => ({ kind: 'put-interface', record }) as const;
const journal = (record: InterfaceRecord, intent: 'make' | 'remove' = 'make') =>
  ({ kind: 'put-journal', entry: { intent, record } }) as const;

async function withLevel<T>(use: (level: ClassicLevel<string, string>) => Promise<T>): Promise<T> {
  const level = new ClassicLevel<string, string>(path);
  try {
    return await use(level);
  } finally {
    await level.close();
  }
}

const readAll = (): Promise<Map<string, string>> => withLevel(async (level) => new Map(await level.iterator().all()));

/** What the heddle before interfaces wrote for two teams, one of them running; the check is its own. */
const VERSION_1: Readonly<Record<string, string>> = {
  meta: '{"schemaVersion":1,"instanceId":"an-id","createdUnixMs":1000}',
  'setting/activeTeam': '"acme"',
  'team/acme':
    '{"name":"acme","kind":"nebula","configPath":"/etc/acme.yml","desired":"up","isAutostart":true,"device":"cvpn1","networks":["10.1.0.0/24"],"createdUnixMs":1,"updatedUnixMs":2}',
  'team/Beta':
    '{"name":"Beta","kind":"tailnet","configPath":"/etc/acme.yml","desired":"up","isAutostart":true,"device":"cvpn1","networks":["10.1.0.0/24"],"createdUnixMs":1,"updatedUnixMs":2}',
  'runtime/acme': '{"team":"acme","pid":7,"startMark":"1-a","bootId":"a","state":"up","sinceUnixMs":3,"restarts":0}',
  check: '{"digest":"7327d249f560d3b3dd9006568495b8a3946276afa760daa5c7be8e708d9b513a"}',
};

async function makeVersion1(): Promise<void> {
  await (await openStore()).close();
  await withLevel(async (level) => {
    for (const [key, text] of Object.entries(VERSION_1)) await level.put(key, text);
  });
}

describe('interfaces in a store', () => {
  it('are found by key and listed in its order, also after an opening', async () => {
    const store = await openStore();
    expect([store.interfaces(), store.journal(), store.interface('tun/a')]).toEqual([[], [], undefined]);
    await store.commit([put(tun('b')), put(subnet(2)), put(tun('a')), put(subnet(10))]);
    await store.commit([journal(tun('c')), journal(subnet(2), 'remove')]);
    for (const one of [store, await reopen(store)]) {
      expect(one.interfaces().map(interfaceKey)).toEqual([
        'subnet/10.1.10.0/24',
        'subnet/10.1.2.0/24',
        'tun/a',
        'tun/b',
      ]);
      expect(one.interface('subnet/10.1.2.0/24')).toEqual(subnet(2));
      expect(one.journal()).toEqual([
        { intent: 'remove', record: subnet(2) },
        { intent: 'make', record: tun('c') },
      ]);
    }
  });

  it('are replaced and deleted by key, apart from the journal', async () => {
    const store = await openStore();
    await store.commit([put(tun('a', 1)), journal(tun('a', 1))]);
    const before = store.interfaces();
    await store.commit([put(tun('a', 2)), { kind: 'delete-journal', key: 'tun/a' }]);
    expect([store.interfaces(), store.journal(), before]).toEqual([[tun('a', 2)], [], [tun('a', 1)]]);
    await store.commit([journal(tun('a', 2), 'remove')]);
    await store.commit([
      { kind: 'delete-interface', key: 'tun/a' },
      { kind: 'delete-interface', key: 'tun/none' },
      { kind: 'delete-journal', key: 'journal/tun/a' },
    ]);
    const again = await reopen(store);
    expect([again.interfaces(), again.journal()]).toEqual([[], [{ intent: 'remove', record: tun('a', 2) }]]);
  });

  it('are synced, and their journal alone is not', async () => {
    const writes: [string, boolean][] = [];
    const openDatabase: StoreDeps['openDatabase'] = async (folder, options) => {
      const database = await openLevelDatabase(folder, options);
      const write: typeof database.write = (list, isSynced) => {
        writes.push([list.map(({ type, key }) => `${type} ${key}`).join(', '), isSynced]);
        return database.write(list, isSynced);
      };
      return { ...database, write };
    };
    const store = await openStore({ openDatabase });
    const runtime = { team: 'a', pid: 1, startMark: '', bootId: '', state: 'up', sinceUnixMs: 1, restarts: 0 };
    const finish: StoreChange = [put(tun('a')), { kind: 'delete-journal', key: 'tun/a' }];
    for (const change of [[journal(tun('a'))], finish, finish]) await store.commit(change);
    await store.commit([journal(tun('a'), 'remove'), { kind: 'put-runtime', runtime }]);
    await store.commit([{ kind: 'delete-journal', key: 'tun/a' }]);
    await store.commit([{ kind: 'delete-interface', key: 'tun/a' }]);
    expect(writes).toEqual([
      ['put meta, put journal/tun/a, put check', true],
      ['put tun/a, del journal/tun/a, put check', true],
      ['put journal/tun/a, put runtime/a', false],
      ['del journal/tun/a', false],
      ['del tun/a, put check', true],
    ]);
  });

  it('cannot be changed through what the store hands out', async () => {
    const store = await openStore();
    await store.commit([put(tun('a')), journal(tun('b'))]);
    const record = store.interface('tun/a') as { mark: number };
    const pending = store.journal()[0]?.record as { mark: number };
    const list = store.interfaces() as InterfaceRecord[];
    for (const attempt of [() => list.pop(), () => (record.mark = 9), () => (pending.mark = 9)]) {
      expect(attempt).toThrow(TypeError);
    }
    expect((await reopen(store)).interfaces()).toEqual([tun('a')]);
  });

  it('that are bad or too many are the mistake of the caller, and change nothing', async () => {
    const store = await openStore();
    const bad = { ...tun('a'), mark: 0 };
    await expect(store.commit([put(tun('b')), put(bad)])).rejects.toThrow(/^Bad record\.mark: /);
    await expect(store.commit([journal(bad)])).rejects.toThrow(/^Bad entry\.record\.mark: /);
    const many = Array.from({ length: INTERFACE_COUNT_MAX }, (_, i) => tun(`t${i}`));
    for (const fill of [put, journal] as const) {
      await store.commit(many.map((record) => fill(record)));
      await expect(store.commit([fill(tun('more'))])).rejects.toThrow(RangeError);
    }
    const again = await reopen(store);
    expect([again.interfaces().length, again.journal().length]).toEqual([INTERFACE_COUNT_MAX, INTERFACE_COUNT_MAX]);
  });
});

describe('the version of a database', () => {
  it('without interfaces is 1, and its texts are those of the heddle before them', async () => {
    await makeVersion1();
    const store = await openStore();
    expect(store.teams().map(({ name }) => name)).toEqual(['Beta', 'acme']);
    expect([store.activeTeam, store.runtime('acme')?.pid, store.interfaces()]).toEqual(['acme', 7, []]);
    const team = store.team('Beta');
    if (team === undefined) throw new Error('no team');
    await store.commit([{ kind: 'delete-team', name: 'Beta' }]);
    await store.commit([{ kind: 'put-team', team }]);
    await store.close();
    expect(Object.fromEntries(await readAll())).toEqual(VERSION_1);
  });

  it('is 2 from the first interface or journal on, and stays 2', async () => {
    for (const [i, first] of [put(tun('a')), journal(tun('a'))].entries()) {
      path = join(root, `state${i}`);
      await makeVersion1();
      const store = await openStore();
      await store.commit([first, { kind: 'set-active-team', name: undefined }]);
      await store.commit([
        { kind: 'delete-interface', key: 'tun/a' },
        { kind: 'delete-journal', key: 'tun/a' },
      ]);
      expect((await reopen(store)).meta).toEqual({ schemaVersion: 2, instanceId: 'an-id', createdUnixMs: 1000 });
    }
  });

  it('stays 1 when a change takes back what it put', async () => {
    const store = await openStore();
    await store.commit([put(tun('a')), { kind: 'delete-interface', key: 'tun/a' }]);
    expect((await reopen(store)).meta.schemaVersion).toBe(1);
  });

  it('does not stand in the file of the folder, which older ones read as well', async () => {
    const store = await openStore();
    await store.commit([put(tun('a'))]);
    await store.close();
    expect(readFileSync(join(path, 'FORMAT'), 'utf8')).toBe('heddle teams 1\n');
  });
});

describe('a dump of interfaces', () => {
  it('restored is the same store without its journal', async () => {
    const store = await openStore();
    await store.commit([put(tun('b')), put(subnet(1)), put({ ...tun('a'), address6: 'fd00::1', prefixBits6: 64 })]);
    await store.commit([journal(tun('c'))]);
    const text = dumpStore(store);
    const interfaces = store.interfaces();
    await store.close();
    expect(text).not.toMatch(/journal|"c"/);
    const other = join(root, 'other');
    for (const place of [path, other]) {
      const result = await restoreStore(place, text, deps);
      expect(result).toMatchObject({ teamCount: 0, interfaceCount: 3 });
      path = place;
      const again = await openStore();
      expect([again.interfaces(), again.journal(), again.meta]).toEqual([interfaces, [], store.meta]);
      expect(dumpStore(again)).toBe(text);
      await again.close();
    }
  });

  it('gets the version that it needs, and one without interfaces keeps its own', async () => {
    const base = { format: 'heddle-state-dump', teams: [] };
    const meta = { schemaVersion: 1, instanceId: 'old', createdUnixMs: 1 };
    const cases = [
      [{ ...base, meta, interfaces: [tun('a')] }, 2],
      [{ ...base, interfaces: [tun('a')] }, 2],
      [{ ...base, meta, interfaces: [] }, 1],
      [{ ...base, meta }, 1],
      [{ ...base, meta: { ...meta, schemaVersion: 2 } }, 2],
    ] as const;
    for (const [dump, version] of cases) {
      await restoreStore(path, JSON.stringify(dump), deps);
      const store = await openStore();
      expect(store.meta.schemaVersion).toBe(version);
      await store.close();
    }
  });

  it('with a bad record, or with one twice, is refused', async () => {
    const dumpOf = (interfaces: unknown): string =>
      JSON.stringify({ format: 'heddle-state-dump', teams: [], interfaces });
    const cases: readonly (readonly [unknown, RegExp])[] = [
      [{}, /expected a list as "interfaces"/],
      [[tun('a'), { ...tun('b'), name: '/' }], /as "interfaces.1.name"/],
      [[tun('a'), tun('a', 2)], /"interfaces" has "tun\/a" twice/],
      [[{ intent: 'make', record: tun('a') }], /as "interfaces.0.kind"/],
      [Array(INTERFACE_COUNT_MAX + 1).fill(tun('a')), /at most 4096 as "interfaces"/],
    ];
    for (const [interfaces, message] of cases) {
      await expect(restoreStore(path, dumpOf(interfaces), deps)).rejects.toMatchObject({
        code: 'state/bad-dump',
        message: expect.stringMatching(message),
      });
    }
  });
});
