import {
  chownSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { ClassicLevel } from 'classic-level';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseContent } from './entry-reader.ts';
import type { TeamRecord } from './records.ts';
import { StateStore, type StoreDeps } from './state-store.ts';
import type { StoreChangeItem } from './store-content.ts';
import { formatContent } from './store-entries.ts';

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

const put = (name: string, updatedUnixMs = 1): StoreChangeItem => ({
  kind: 'put-team',
  team: team(name, updatedUnixMs),
});

/** What openings are refused with; the message is one line and names the path. */
async function refusal(): Promise<string> {
  try {
    await openStore();
  } catch (error) {
    expect(error).toBeInstanceOf(TailnetError);
    expect((error as TailnetError).message).toMatch(/^[^\n]+$/);
    expect((error as TailnetError).message).toContain(`"${path}`);
    return (error as TailnetError).code;
  }
  return 'none';
}

/** Name, size, mode and time of change of everything below a folder. */
function listing(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { size, mode, mtimeMs } = lstatSync(join(folder, name));
      return `${name} ${size} ${mode} ${mtimeMs}`;
    });
}

async function withLevel(use: (level: ClassicLevel<string, string>) => Promise<unknown>): Promise<void> {
  const level = new ClassicLevel<string, string>(path);
  await use(level);
  await level.close();
}

describe('an opening', () => {
  it('is refused while another store is open, with the pid of its owner, and works when that is closed', async () => {
    const first = await openStore();
    await expect(openStore()).rejects.toMatchObject({
      code: 'state/locked',
      message: `State "${path}" is in use by process ${process.pid}`,
    });
    await first.commit([put('a')]);
    expect((await reopen(first)).teams()).toEqual([team('a')]);
  });

  it('is refused while another program has the files open', async () => {
    await (await openStore()).close();
    await withLevel(async (level) => {
      await level.open();
      await expect(openStore()).rejects.toMatchObject({
        code: 'state/locked',
        message: expect.stringMatching(/another process$/),
      });
    });
    expect(await refusal()).toBe('none');
  });

  it('leaves what is not its own as it is', async () => {
    const withFile = (name: string, text: string) => (): void => {
      mkdirSync(path);
      writeFileSync(join(path, name), text);
    };
    const cases: [string, () => void | Promise<void>][] = [
      ['file', () => writeFileSync(path, 'x')],
      ['link', () => symlinkSync(root, path)],
      ['leveldb', () => withLevel((level) => level.put('key', 'value'))],
      ['folder', withFile('diary.txt', 'x')],
      ['format', withFile('FORMAT', 'something else 1\n')],
      ['huge', withFile('FORMAT', 'x'.repeat(100_000))],
    ];
    if (process.getuid?.() === 0) {
      const makeForOther = (): void => {
        mkdirSync(path);
        chownSync(path, 12_345, 12_345);
      };
      cases.push(['user', makeForOther]);
    }
    for (const [name, make] of cases) {
      path = join(root, name, 'state.db');
      mkdirSync(join(root, name));
      await make();
      const before = listing(join(root, name));
      expect([name, await refusal()]).toEqual([name, 'state/foreign']);
      expect(listing(join(root, name))).toEqual(before);
    }
  });

  it('leaves what a later heddle wrote as it is', async () => {
    await (await openStore()).close();
    writeFileSync(join(path, 'FORMAT'), 'heddle teams 2\n');
    const before = listing(root);
    expect(await refusal()).toBe('state/newer-version');
    expect(listing(root)).toEqual(before);
  });

  it('refuses a later schema that only the records tell', async () => {
    await (await openStore()).close();
    await withLevel((level) => level.put('meta', '{"schemaVersion":3,"instanceId":"a","createdUnixMs":1}'));
    expect(await refusal()).toBe('state/newer-version');
  });

  it('names the record that cannot be read, every time, and leaves it there', async () => {
    const store = await openStore();
    await store.commit([put('a'), put('b')]);
    await store.close();
    await withLevel((level) => level.put('team/a', '{"name":"a"'));
    for (let i = 0; i < 2; i++) {
      await expect(openStore()).rejects.toMatchObject({
        code: 'state/corrupt',
        message: expect.stringMatching(/cannot read "team\/a", it is not JSON; restore a dump/),
      });
    }
    await withLevel(async (level) => expect(JSON.parse((await level.get('team/b')) ?? '')).toEqual(team('b')));
  });

  it('notices a record that LevelDB dropped because its bytes had changed', async () => {
    const store = await openStore();
    // Several blocks of the log: LevelDB drops the rest of the block with the damage, and goes on with the next.
    for (let i = 0; i < 400; i++) await store.commit([put(`t${i}`)]);
    await store.close();
    const log = join(path, readdirSync(path).find((name) => name.endsWith('.log')) ?? '');
    const bytes = readFileSync(log);
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    writeFileSync(log, bytes);
    for (let i = 0; i < 2; i++) expect(await refusal()).toBe('state/corrupt');
  });

  it('never begins anew when files of the database are gone or damaged', async () => {
    const store = await openStore();
    await store.commit([put('a')]);
    const again = await reopen(store); // Now there is a table.
    await again.commit([put('b')]);
    await again.close();
    const sound = `${path}.sound`;
    cpSync(path, sound, { recursive: true });
    const outcomes: Record<string, string> = {};
    for (const name of readdirSync(sound)) {
      for (const [how, damage] of DAMAGES) {
        rmSync(path, { recursive: true, force: true });
        cpSync(sound, path, { recursive: true });
        damage(join(path, name));
        const code = await refusal();
        const teams = open.at(-1)?.teams() ?? [];
        await open.pop()?.close();
        outcomes[`${how} ${name.replace(/[0-9]+/, 'N')}`] =
          code === 'none' ? teams.map((one) => one.name).join() : code;
      }
    }
    // The newest log cannot be told from one that a loss of power cut short.
    expect(outcomes).toMatchInlineSnapshot(`
      {
        "emptied CURRENT": "state/corrupt",
        "emptied FORMAT": "state/foreign",
        "emptied LOCK": "a,b",
        "emptied LOG": "a,b",
        "emptied LOG.old": "a,b",
        "emptied MANIFEST-N": "state/corrupt",
        "emptied N.ldb": "state/corrupt",
        "emptied N.log": "a",
        "garbled CURRENT": "state/corrupt",
        "garbled FORMAT": "state/foreign",
        "garbled LOCK": "a,b",
        "garbled LOG": "a,b",
        "garbled LOG.old": "a,b",
        "garbled MANIFEST-N": "state/corrupt",
        "garbled N.ldb": "state/corrupt",
        "garbled N.log": "a",
        "removed CURRENT": "state/corrupt",
        "removed FORMAT": "state/foreign",
        "removed LOCK": "a,b",
        "removed LOG": "a,b",
        "removed LOG.old": "a,b",
        "removed MANIFEST-N": "state/corrupt",
        "removed N.ldb": "state/corrupt",
        "removed N.log": "a",
      }
    `);
  });

  it('reads records with fields of another version, and the next commit keeps them readable', async () => {
    const store = await openStore();
    await store.commit([put('a')]);
    await store.close();
    await withLevel(async (level) => {
      const entries = new Map(await level.iterator().all());
      const parsed = parseContent(entries);
      if (parsed.kind !== 'ok') throw new Error('unreadable');
      const strange = new Map(parsed.content.teams);
      strange.set('a', { ...team('a'), colour: 'blue' } as TeamRecord);
      for (const [key, text] of formatContent({ ...parsed.content, teams: strange })) await level.put(key, text);
    });
    const again = await openStore();
    expect(again.teams()).toEqual([team('a')]);
    await again.commit([put('b')]);
    expect((await reopen(again)).teams()).toEqual([team('a'), team('b')]);
  });

  it('does what the end of a killed restore left to do', async () => {
    const store = await openStore();
    await store.commit([put('a')]);
    await store.close();
    cpSync(path, `${path}.new`, { recursive: true });
    cpSync(path, `${path}.restored`, { recursive: true });
    const names = (): string[] => readdirSync(join(path, '..')).filter((name) => !name.includes('.lock.'));
    await reopen(await openStore());
    expect(names()).toEqual(['state.db']);
    await open.pop()?.close();
    cpSync(path, `${path}.restored`, { recursive: true });
    rmSync(path, { recursive: true });
    expect((await openStore()).teams()).toEqual([team('a')]);
    expect(names()).toEqual(['state.db']);
  });

  it('removes what an owner left that was killed while it released the lock', async () => {
    await (await openStore()).close();
    symlinkSync('released', `${path}.lock.1.released`);
    await openStore();
    expect(readdirSync(join(path, '..'))).toEqual(['state.db', 'state.db.lock.2']);
  });

  it('empties no folder of a stranger that has one of its names', async () => {
    mkdirSync(`${path}.new`, { recursive: true });
    writeFileSync(join(`${path}.new`, 'diary.txt'), 'x');
    expect(await refusal()).toBe('state/foreign');
    expect(readdirSync(`${path}.new`)).toEqual(['diary.txt']);
  });
});

const DAMAGES: [string, (file: string) => void][] = [
  ['removed', (file) => unlinkSync(file)],
  ['emptied', (file) => writeFileSync(file, '')],
  [
    'garbled',
    (file) =>
      writeFileSync(
        file,
        readFileSync(file).map((byte) => byte ^ 0x55),
      ),
  ],
];
