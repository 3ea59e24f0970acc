import type { ClassicLevel } from 'classic-level';
import { ENTRY_COUNT_MAX, type StoreEntries, type StoreWrite } from './store-entries.ts';
import { corrupt, toStoreError } from './store-error.ts';

/** A LevelDB that this process has open, and nobody else. */
export interface StoreDatabase {
  /** @throws {TailnetError} `state/corrupt`, also when there is more than a store can hold. */
  readAll(): Promise<StoreEntries>;
  /**
   * One atomic batch. When the promise resolves, a synced one has reached the disk, the others the kernel.
   * @throws {TailnetError} `state/disk-full`, `state/unwritable`: open the folder anew before the next write. After a
   * batch that was cut short, LevelDB goes on with a log that it cannot read back.
   */
  write(writes: readonly StoreWrite[], isSynced: boolean): Promise<void>;
  close(): Promise<void>;
}

export interface OpenDatabaseOptions {
  /** True makes a database, false demands one. */
  readonly isNew: boolean;
}

type Level = ClassicLevel<string, string>;

/**
 * Opens the LevelDB in a folder. The native code is loaded here, by whoever first needs it.
 * @throws {TailnetError} `state/locked`, `state/corrupt`, `state/disk-full`, `state/unwritable`.
 */
export async function openLevelDatabase(path: string, options: OpenDatabaseOptions): Promise<StoreDatabase> {
  const guard = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      throw toStoreError(error, path);
    });
  const level = await guard(openLevel(path, { createIfMissing: options.isNew, errorIfExists: options.isNew }));
  return {
    readAll: () => guard(readAll(level, path)),
    write: (writes, isSynced) => guard(level.batch([...writes], { sync: isSynced })),
    close: () => guard(level.close()),
  };
}

/**
 * Takes LevelDB's own lock, which also holds between containers that share a disk, and gives it back. The database is
 * not opened for that, so a damaged one stays as it is.
 * @throws {TailnetError} `state/locked`.
 */
export async function refuseIfOpen(path: string): Promise<void> {
  try {
    // The lock comes first; then LevelDB refuses, both when there is a database and when there is none.
    await openLevel(path, { createIfMissing: false, errorIfExists: true });
  } catch (error) {
    const mapped = toStoreError(error, path);
    if (mapped.code === 'state/locked') throw mapped;
  }
}

// An instance opens itself a moment after it was made, so the options are the constructor's.
async function openLevel(path: string, options: { createIfMissing: boolean; errorIfExists: boolean }): Promise<Level> {
  const module = await import('classic-level');
  const level = new module.ClassicLevel<string, string>(path, options);
  await level.open();
  return level;
}

async function readAll(level: Level, path: string): Promise<StoreEntries> {
  const entries = await level.iterator({ limit: ENTRY_COUNT_MAX + 1 }).all();
  if (entries.length > ENTRY_COUNT_MAX) throw corrupt(path, `it has more than ${ENTRY_COUNT_MAX} records`);
  return new Map(entries);
}
