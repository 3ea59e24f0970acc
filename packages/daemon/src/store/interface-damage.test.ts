import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JournalEntry, SubnetRecord, TunRecord } from './interface-records.ts';
import { StateStore } from './state-store.ts';
import type { StoreChangeItem } from './store-content.ts';

let root: string;
let path: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'heddle-damage-'));
  path = join(root, 'state.db');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const openStore = (): Promise<StateStore> => StateStore.open(path, { unixMs: () => 1000, randomId: () => 'an-id' });

function tun(name: string, mark = 1): TunRecord {
  const fields = { kind: 'tun', address: '10.0.0.1', prefixBits: 24, mtu: 1500, isPersistent: true } as const;
  return { ...fields, name, mark, createdUnixMs: 1 };
}

function subnet(third: number, mark = 1): SubnetRecord {
  const fields = { kind: 'subnet', link: 'dummy0', linkKind: 'dummy', mtu: 1500 } as const;
  return { ...fields, cidr: `10.1.${third}.0/24`, address: `10.1.${third}.1`, mark, createdUnixMs: 1 };
}

const removalOf = (record: JournalEntry['record']): StoreChangeItem => ({
  kind: 'put-journal',
  entry: { intent: 'remove', record },
});

async function withLevel<T>(use: (level: ClassicLevel<string, string>) => Promise<T>): Promise<T> {
  const level = new ClassicLevel<string, string>(path);
  try {
    return await use(level);
  } finally {
    await level.close();
  }
}

const readAll = (): Promise<Map<string, string>> => withLevel(async (level) => new Map(await level.iterator().all()));

/** Two TUN devices and a subnet; one of each is being removed. */
async function makeSound(): Promise<void> {
  const store = await openStore();
  const records = [tun('a'), tun('b'), subnet(0)];
  await store.commit([...records.map((record) => ({ kind: 'put-interface', record }) as const), removalOf(tun('a'))]);
  await store.commit([removalOf(subnet(0))]);
  await store.close();
}

/** What an opening says after one key got another text; undefined removes it. The key is then as before. */
async function openDamaged(key: string, text: string | undefined): Promise<string> {
  const sound = (await readAll()).get(key);
  await withLevel((level) => (text === undefined ? level.del(key) : level.put(key, text)));
  const message = await openStore().then(
    (store) => store.close().then(() => 'sound'),
    (error: { code: string; message: string }) => `${error.code} ${error.message}`,
  );
  await withLevel((level) => (sound === undefined ? level.del(key) : level.put(key, sound)));
  return message;
}

describe('damage to records of interfaces', () => {
  const KEYS = ['tun/a', 'tun/b', 'subnet/10.1.0.0/24', 'journal/tun/a', 'journal/subnet/10.1.0.0/24'] as const;

  it('is noticed wherever a text is cut', async () => {
    await makeSound();
    const entries = await readAll();
    for (const key of KEYS) {
      const text = entries.get(key) ?? '';
      expect(text.length).toBeGreaterThan(50);
      for (let length = 0; length < text.length; length += 41) {
        expect(await openDamaged(key, text.slice(0, length))).toMatch(
          new RegExp(`^state/corrupt .*cannot read "${key}", it is not JSON`),
        );
      }
    }
  });

  it('is noticed when a synced record is gone, came back, or is another', async () => {
    await makeSound();
    const corrupt = /^state\/corrupt .*"check"/;
    for (const key of ['tun/a', 'tun/b', 'subnet/10.1.0.0/24']) {
      expect(await openDamaged(key, undefined)).toMatch(corrupt);
    }
    expect(await openDamaged('tun/c', JSON.stringify(tun('c')))).toMatch(corrupt);
    expect(await openDamaged('tun/a', JSON.stringify(tun('a', 2)))).toMatch(corrupt);
    expect(await openDamaged('subnet/10.1.0.0/24', JSON.stringify(subnet(0, 2)))).toMatch(corrupt);
  });

  it('is noticed when a record cannot be that of its key', async () => {
    await makeSound();
    const cases: readonly (readonly [string, unknown, RegExp])[] = [
      ['tun/a', tun('b'), /"tun\/a", it holds the record of another interface/],
      ['tun/a', subnet(0), /"tun\/a", it holds the record of another interface/],
      ['tun/a', { ...tun('a'), mtu: 1 }, /"tun\/a", expected .* as "mtu"/],
      ['subnet/10.1.0.0/24', subnet(1), /it holds the record of another interface/],
      ['journal/tun/a', { intent: 'make', record: tun('b') }, /"journal\/tun\/a", it holds/],
      ['journal/tun/a', tun('a'), /"journal\/tun\/a", expected .* as "intent"/],
      ['journal/tun/c', { intent: 'undo', record: tun('c') }, /as "intent"/],
      ['journal/', { intent: 'make', record: tun('a') }, /"journal\/", it holds/],
      ['tap/a', tun('a'), /"tap\/a", no record has this name/],
    ];
    for (const [key, value, reason] of cases) {
      const message = await openDamaged(key, JSON.stringify(value));
      expect(message).toMatch(/^state\/corrupt /);
      expect(message).toMatch(reason);
    }
  });

  it('cannot be told in the journal, which may go with the power', async () => {
    await makeSound();
    expect(await openDamaged('journal/tun/a', undefined)).toBe('sound');
    expect(await openDamaged('journal/tun/b', JSON.stringify({ intent: 'make', record: tun('b') }))).toBe('sound');
  });

  it('is what interfaces in a database of version 1 are', async () => {
    await (await openStore()).close();
    for (const key of ['tun/a', 'subnet/10.1.0.0/24', 'journal/tun/a']) {
      expect(await openDamaged(key, '{}')).toMatch(/^state\/corrupt .*no record has this name/);
    }
  });
});
