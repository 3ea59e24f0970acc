import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dumpStore, restoreStore } from './dump.ts';
import type { TeamRecord } from './records.ts';
import { StateStore } from './state-store.ts';

const deps = { unixMs: () => 1, randomId: () => 'test' };

/** Mounts a file system of 512 KiB; undefined where that is not allowed. */
function mountSmall(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined;
  const path = mkdtempSync(join(tmpdir(), 'heddle-full-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k,mode=700', 'heddle-test', path], { stdio: 'ignore' });
    return path;
  } catch {
    rmdirSync(path);
    return undefined;
  }
}

function team(name: string): TeamRecord {
  const networks = Array.from({ length: 40 }, (_, i) => `10.${i}.0.0/24`);
  const fields = { kind: 'nebula', desired: 'up', isAutostart: true, configPath: '/c' } as const;
  return { name, ...fields, networks, createdUnixMs: 1, updatedUnixMs: 1 };
}

async function commitUntilFull(store: StateStore, prefix: string): Promise<string[]> {
  const done: string[] = [];
  for (let i = 0; i < 1000; i++) {
    try {
      await store.commit([{ kind: 'put-team', team: team(`${prefix}${i}`) }]);
      done.push(`${prefix}${i}`);
    } catch (error) {
      expect(error).toMatchObject({ code: 'state/disk-full' });
      return done;
    }
  }
  throw new Error('the disk is not full');
}

function fill(folder: string): void {
  const { bavail, bsize } = statfsSync(folder);
  writeFileSync(join(folder, 'filler'), new Uint8Array(bavail * bsize));
}

const free = (folder: string): void => rmSync(join(folder, 'filler'));
const namesOf = (store: StateStore): string[] => store.teams().map(({ name }) => name);

describe('a file system that is really full', () => {
  it('loses no acknowledged change, before or after there is room again', async (context) => {
    const folder = mountSmall();
    if (folder === undefined) return context.skip('needs root and mount');
    try {
      const path = join(folder, 'state.db');
      const store = await StateStore.open(path, deps);
      await store.commit([{ kind: 'put-team', team: team('first') }]);
      const acked = ['first'];
      for (const round of ['a', 'b', 'c']) {
        fill(folder);
        acked.push(...(await commitUntilFull(store, round)));
        await expect(store.commit([{ kind: 'delete-team', name: 'first' }])).rejects.toMatchObject({
          code: 'state/disk-full',
        });
        expect(namesOf(store)).toEqual([...acked].sort());
        free(folder);
        await store.commit([{ kind: 'put-team', team: team(`${round}-after`) }]);
        acked.push(`${round}-after`);
      }
      await store.close();
      const again = await StateStore.open(path, deps);
      expect(namesOf(again)).toEqual([...acked].sort());
      const dump = dumpStore(again);
      await again.close();
      fill(folder);
      await expect(restoreStore(path, dump, deps)).rejects.toMatchObject({ code: 'state/disk-full' });
      await expect(StateStore.open(join(folder, 'other'), deps)).rejects.toMatchObject({ code: 'state/disk-full' });
      free(folder);
      expect(readdirSync(folder).filter((name) => !name.includes('.lock.'))).toEqual(['state.db']);
      const last = await StateStore.open(path, deps);
      expect(dumpStore(last)).toBe(dump);
      await last.close();
    } finally {
      execFileSync('umount', ['-l', folder]); // Lazily: a failed assertion leaves a database open.
      rmdirSync(folder);
    }
  });
});
