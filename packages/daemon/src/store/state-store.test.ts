import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseContent } from './entry-reader.ts';
import { interfaceKey, type JournalEntry, type TunRecord } from './interface-records.ts';
import { openLevelDatabase, type StoreDatabase } from './level-database.ts';
import type { RuntimeRecord, TeamRecord } from './records.ts';
import { COMMIT_PENDING_COUNT_MAX, StateStore, type StoreDeps } from './state-store.ts';
import type { StoreChangeItem } from './store-content.ts';
import { diffEntries, formatContent } from './store-entries.ts';

let root: string;
let path: string;
const open: StateStore[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'heddle-store-'));
  path = join(root, 'lib', 'state.db');
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

function team(name: string, updatedUnixMs = 1): TeamRecord {
  const fields = { kind: 'nebula', desired: 'up', isAutostart: false, networks: ['10.1.0.0/24'] } as const;
  return { name, configPath: `/etc/${name}`, ...fields, createdUnixMs: 1, updatedUnixMs };
}

function runtime(name: string, pid = 1): RuntimeRecord {
  return { team: name, pid, startMark: '1-a', bootId: 'a', state: 'up', sinceUnixMs: 1, restarts: 0 };
}

function tun(name: string, mark: number): TunRecord {
  const fields = { kind: 'tun', address: '10.0.0.1', prefixBits: 24, mtu: 1500, isPersistent: true } as const;
  return { ...fields, name, mark, createdUnixMs: 1 };
}

function making(name: string, mark: number): JournalEntry {
  return { intent: 'make', record: tun(name, mark) };
}

const put = (name: string, updatedUnixMs = 1): StoreChangeItem => ({
  kind: 'put-team',
  team: team(name, updatedUnixMs),
});

describe('a state store', () => {
  it('is made where there is nothing, and is the same after it was opened again', async () => {
    const store = await openStore();
    expect(store.meta).toEqual({ schemaVersion: 1, instanceId: 'an-id', createdUnixMs: 1000 });
    expect([store.teams(), store.runtimes(), store.activeTeam]).toEqual([[], [], undefined]);
    await store.commit([put('b'), put('a'), { kind: 'set-active-team', name: 'b' }]);
    await store.commit([{ kind: 'put-runtime', runtime: runtime('a') }]);
    await store.close();
    const again = await StateStore.open(path, { unixMs: () => 2000, randomId: () => 'other' });
    open.push(again);
    expect(again.meta).toEqual(store.meta);
    expect(again.teams()).toEqual([team('a'), team('b')]);
    expect(again.team('a')).toEqual(team('a'));
    expect(again.team('c')).toBeUndefined();
    expect(again.runtimes()).toEqual([runtime('a')]);
    expect(again.runtime('a')).toEqual(runtime('a'));
    expect(again.activeTeam).toBe('b');
  });

  it('is made in an empty folder as well', async () => {
    mkdirSync(path, { recursive: true });
    const store = await openStore();
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(store.teams()).toEqual([]);
  });

  it('is a folder 0700 of files 0600, whatever the modes were', async () => {
    if (process.platform === 'win32') return;
    const modes = (): number[] => [path, ...readdirSync(path).map((name) => join(path, name))].map(modeOf);
    const store = await openStore();
    expect(modes()).toEqual([0o700, ...readdirSync(path).map(() => 0o600)]);
    await store.commit([put('a')]);
    await store.close();
    expect(modes()).toEqual([0o700, ...readdirSync(path).map(() => 0o600)]);
    chmodSync(path, 0o755);
    for (const name of readdirSync(path)) chmodSync(join(path, name), 0o644);
    await openStore();
    expect(modes()).toEqual([0o700, ...readdirSync(path).map(() => 0o600)]);
    expect(readdirSync(join(path, '..'))).toEqual(['state.db', 'state.db.lock.2']);
  });

  it('does what a map does, through commits, failures and openings', async () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd');
    const item: fc.Arbitrary<StoreChangeItem> = fc.oneof(
      fc.tuple(name, fc.nat(9)).map(([n, t]) => put(n, t)),
      name.map((n) => ({ kind: 'delete-team', name: n }) as const),
      fc.tuple(name, fc.nat(9)).map(([n, p]) => ({ kind: 'put-runtime', runtime: runtime(n, p + 1) }) as const),
      name.map((n) => ({ kind: 'delete-runtime', team: n }) as const),
      fc.option(name, { nil: undefined }).map((n) => ({ kind: 'set-active-team', name: n }) as const),
      fc.tuple(name, fc.nat(9)).map(([n, m]) => ({ kind: 'put-interface', record: tun(n, m + 1) }) as const),
      name.map((n) => ({ kind: 'delete-interface', key: `tun/${n}` }) as const),
      fc.tuple(name, fc.nat(9)).map(([n, m]) => ({ kind: 'put-journal', entry: making(n, m + 1) }) as const),
      name.map((n) => ({ kind: 'delete-journal', key: `tun/${n}` }) as const),
    );
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.array(item, { maxLength: 4 }) },
      { weight: 1, arbitrary: fc.constantFrom('reopen', 'fail' as const) },
    );
    let count = 0;
    const property = fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      path = join(root, `model${count++}`);
      const model = new Map<string, unknown>();
      const fault = new FaultyDatabase();
      let store = await openStore(fault.deps);
      for (const next of steps) {
        if (next === 'reopen') {
          await store.close();
          store = await openStore(fault.deps);
        } else if (next === 'fail') {
          fault.fail('No space left on device', { isWritten: count % 2 === 0 });
          await expect(store.commit([put('lost', count)])).rejects.toMatchObject({ code: 'state/disk-full' });
        } else {
          await store.commit(next);
          for (const one of next) applyToModel(model, one);
        }
        expect(valuesOf(store)).toEqual(model);
      }
      await store.close();
    });
    await fc.assert(property, { numRuns: 40 });
  });
});

async function reopenAfter(change: readonly StoreChangeItem[]): Promise<StateStore> {
  const store = await openStore();
  await store.commit(change);
  return reopen(store);
}

/** Gives every team a field that this version does not know. */
async function writeStrangely(): Promise<void> {
  const database = await openLevelDatabase(path, { isNew: false });
  const entries = await database.readAll();
  const parsed = parseContent(entries);
  if (parsed.kind !== 'ok') throw new Error('unreadable');
  const teams = new Map([...parsed.content.teams].map(([name, one]) => [name, { ...one, colour: 'blue' }]));
  await database.write(diffEntries(entries, formatContent({ ...parsed.content, teams })), true);
  await database.close();
}

function modeOf(file: string): number {
  return statSync(file).mode & 0o777;
}

function applyToModel(model: Map<string, unknown>, item: StoreChangeItem): void {
  switch (item.kind) {
    case 'put-team':
      return void model.set(`team ${item.team.name}`, item.team);
    case 'delete-team':
      return void model.delete(`team ${item.name}`);
    case 'put-runtime':
      return void model.set(`runtime ${item.runtime.team}`, item.runtime);
    case 'delete-runtime':
      return void model.delete(`runtime ${item.team}`);
    case 'put-interface':
      return void model.set(interfaceKey(item.record), item.record);
    case 'delete-interface':
      return void model.delete(item.key);
    case 'put-journal':
      return void model.set(`journal ${interfaceKey(item.entry.record)}`, item.entry);
    case 'delete-journal':
      return void model.delete(`journal ${item.key}`);
    case 'set-active-team':
      return void (item.name === undefined ? model.delete('active') : model.set('active', item.name));
  }
}

function valuesOf(store: StateStore): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const record of store.teams()) values.set(`team ${record.name}`, record);
  for (const record of store.runtimes()) values.set(`runtime ${record.team}`, record);
  for (const record of store.interfaces()) values.set(interfaceKey(record), record);
  for (const entry of store.journal()) values.set(`journal ${interfaceKey(entry.record)}`, entry);
  if (store.activeTeam !== undefined) values.set('active', store.activeTeam);
  return values;
}

/** LevelDB, whose next write fails: with its batch on the disk nevertheless, or without. */
class FaultyDatabase {
  readonly writes: { readonly keys: readonly string[]; readonly isSynced: boolean }[] = [];
  openCount = 0;
  #fault: { readonly message: string; readonly isWritten: boolean } | undefined;
  #gate: Promise<void> = Promise.resolve();
  readonly deps: StoreDeps = { ...deps, openDatabase: (folder, options) => this.#open(folder, options) };

  fail(message: string, { isWritten }: { readonly isWritten: boolean }): void {
    this.#fault = { message, isWritten };
  }

  /** Lets no write through until the returned function is called. */
  hold(): () => void {
    let release = (): void => {};
    this.#gate = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  async #open(folder: string, options: { readonly isNew: boolean }): Promise<StoreDatabase> {
    this.openCount++;
    const database = await openLevelDatabase(folder, options);
    return {
      ...database,
      write: async (writes, isSynced) => {
        await this.#gate;
        this.writes.push({ keys: writes.map(({ key }) => key), isSynced });
        const fault = this.#fault;
        this.#fault = undefined;
        if (fault === undefined || fault.isWritten) await database.write(writes, isSynced);
        if (fault !== undefined)
          throw Object.assign(new Error(`IO error: ${fault.message}`), { code: 'LEVEL_IO_ERROR' });
      },
    };
  }
}

describe('a commit', () => {
  it('is synced, unless it is of runtime records alone, and is not written when nothing changes', async () => {
    const database = new FaultyDatabase();
    const store = await openStore(database.deps);
    await store.commit([put('a'), { kind: 'put-runtime', runtime: runtime('a') }]);
    await store.commit([{ kind: 'put-runtime', runtime: runtime('a', 2) }]);
    await store.commit([{ kind: 'delete-runtime', team: 'a' }]);
    await store.commit([{ kind: 'set-active-team', name: 'a' }]);
    await store.commit([{ kind: 'set-active-team', name: 'a' }, put('a'), { kind: 'delete-team', name: 'x' }]);
    expect(database.writes).toEqual([
      { keys: ['team/a', 'runtime/a', 'check'], isSynced: true },
      { keys: ['runtime/a'], isSynced: false },
      { keys: ['runtime/a'], isSynced: false },
      { keys: ['setting/activeTeam', 'check'], isSynced: true },
    ]);
  });

  it('is seen only when it is on the disk, in order', async () => {
    const database = new FaultyDatabase();
    const store = await openStore(database.deps);
    const release = database.hold();
    const both = Promise.all([store.commit([put('a', 1)]), store.commit([put('a', 2), put('b', 2)])]);
    expect(store.teams()).toEqual([]);
    release();
    await both;
    expect(store.teams()).toEqual([team('a', 2), team('b', 2)]);
  });

  it('that finds the disk full changes nothing, and the next one works', async () => {
    for (const isWritten of [false, true]) {
      const database = new FaultyDatabase();
      let store = await openStore(database.deps);
      await store.commit([put('a', 1)]);
      database.fail('No space left on device', { isWritten });
      const failed = store.commit([put('a', 2), put('b', 2)]);
      const after = store.commit([put('c', 3)]);
      await expect(failed).rejects.toMatchObject({ code: 'state/disk-full', isRetryable: true });
      await after;
      expect(database.openCount).toBe(2);
      expect(store.teams()).toEqual([team('a', 1), team('c', 3)]);
      store = await reopen(store);
      expect(store.teams()).toEqual([team('a', 1), team('c', 3)]);
      await store.close();
      path = join(root, 'second');
    }
  });

  it('that fails as the first over the texts of another version leaves a store that works', async () => {
    for (const isWritten of [false, true]) {
      path = join(root, `other${isWritten}`);
      await (await reopenAfter([put('a'), put('b')])).close();
      await writeStrangely();
      const database = new FaultyDatabase();
      const store = await openStore(database.deps);
      database.fail('No space left on device', { isWritten });
      await expect(store.commit([put('c')])).rejects.toMatchObject({ code: 'state/disk-full' });
      await store.commit([{ kind: 'delete-team', name: 'a' }]);
      expect(store.teams()).toEqual([team('b')]);
      expect((await reopen(store)).teams()).toEqual([team('b')]);
    }
  });

  it('keeps failing, and changes nothing, while the repair fails', async () => {
    const database = new FaultyDatabase();
    let isBroken = false;
    const openDatabase: StoreDeps['openDatabase'] = (folder, options) => {
      if (isBroken) return Promise.reject(new TailnetError('state/disk-full', 'x'));
      return (database.deps.openDatabase ?? openLevelDatabase)(folder, options);
    };
    const store = await openStore({ openDatabase });
    await store.commit([put('a')]);
    database.fail('Input/output error', { isWritten: false });
    await expect(store.commit([put('b')])).rejects.toMatchObject({ code: 'state/unwritable' });
    isBroken = true;
    for (const name of ['c', 'd']) {
      await expect(store.commit([put(name)])).rejects.toMatchObject({ code: 'state/disk-full' });
    }
    isBroken = false;
    await store.commit([put('e')]);
    expect((await reopen(store)).teams().map(({ name }) => name)).toEqual(['a', 'e']);
  });

  it('with a bad record is refused and costs the others nothing', async () => {
    const store = await openStore();
    const bad = { ...team('a'), desired: 'sideways' } as unknown as TeamRecord;
    await expect(store.commit([put('b'), { kind: 'put-team', team: bad }])).rejects.toThrow(TypeError);
    await store.commit([put('c')]);
    expect(store.teams()).toEqual([team('c')]);
  });

  it('is refused when too many wait, and after the end', async () => {
    const database = new FaultyDatabase();
    const store = await openStore(database.deps);
    const release = database.hold();
    const waiting = Array.from({ length: COMMIT_PENDING_COUNT_MAX }, () => store.commit([]));
    waiting.push(store.commit([]).catch((error: TailnetError) => expect(error.code).toBe('state/busy')));
    release();
    await Promise.all(waiting);
    const last = store.commit([put('last')]);
    const closed = store.close();
    expect(store.close()).toBe(closed);
    await expect(store.commit([])).rejects.toThrow(TypeError);
    await last;
    expect((await reopen(store)).team('last')).toEqual(team('last'));
  });
});
