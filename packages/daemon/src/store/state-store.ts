/**
 * The state database of a daemon: which teams there are, what the user wants of them, and which processes run; which
 * interfaces there are, and what is being made or removed of them.
 *
 * All of it is in memory; the disk is read once. A change is in memory only after it is on the disk, as one batch.
 *
 * Error contract: a rejected commit has changed nothing in memory, and the store goes on. After a crash the next start may
 * find a change whose commit was rejected or had not ended, never a part of one, and never without one that had resolved
 * before.
 */

import { resolve } from 'node:path';
import type { InstanceLock } from '@heddle/host/instance-lock';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { parseContent } from './entry-reader.ts';
import type { InterfaceRecord, JournalEntry } from './interface-records.ts';
import { type OpenDatabaseOptions, openLevelDatabase, type StoreDatabase } from './level-database.ts';
import { type Meta, type RuntimeRecord, TEAMS_VERSION, type TeamRecord } from './records.ts';
import { applyChange, copyChange, createContent, type StoreChange, type StoreContent } from './store-content.ts';
import { diffEntries, formatContent, isSyncedKey, type StoreEntries, type StoreWrite } from './store-entries.ts';
import { corrupt, newer, toStoreError } from './store-error.ts';
import { claimFolder, inspectFolder, installDatabase, tightenModes } from './store-folder.ts';
import { type CheckedLines, linesOf, planWrites, type WritePlan } from './write-planner.ts';

export interface StoreDeps {
  readonly unixMs: () => number;
  /** A fresh id for a new database, 1–64 letters, digits and hyphens, as of `crypto.randomUUID`. */
  readonly randomId: () => string;
  /** For tests; by default LevelDB. */
  readonly openDatabase?: ((path: string, options: OpenDatabaseOptions) => Promise<StoreDatabase>) | undefined;
}

/** Commits that may wait for the disk at a time. */
export const COMMIT_PENDING_COUNT_MAX = 1024;

interface StoreParts {
  readonly path: string;
  readonly lock: InstanceLock;
  readonly database: StoreDatabase;
  readonly content: StoreContent;
  readonly lines: CheckedLines;
  readonly otherEntries: StoreEntries | undefined;
  readonly openDatabase: NonNullable<StoreDeps['openDatabase']>;
}

/** The identity of a new database. */
export function createMeta(deps: StoreDeps): Meta {
  return { schemaVersion: TEAMS_VERSION, instanceId: deps.randomId(), createdUnixMs: deps.unixMs() };
}

/** An open state database; this process is its owner until `close()`, or until it ends, however it ends. */
export class StateStore {
  /** Absolute. */
  readonly path: string;
  readonly #lock: InstanceLock;
  readonly #openDatabase: StoreParts['openDatabase'];
  /** Undefined while a repair has not come through. */
  #database: StoreDatabase | undefined;
  /** True during a write, and after a failed one: what the disk holds is unknown, and LevelDB's log may be cut. */
  #isSuspect = false;
  #content: StoreContent;
  /** Of the content. */
  #lines: CheckedLines;
  /** The texts on the disk while they are not those of the content, as another version formats them otherwise. */
  #otherEntries: StoreEntries | undefined;
  #queue: Promise<void> = Promise.resolve();
  #pendingCount = 0;
  #closing: Promise<void> | undefined;

  private constructor(parts: StoreParts) {
    this.path = parts.path;
    this.#lock = parts.lock;
    this.#database = parts.database;
    this.#content = parts.content;
    this.#lines = parts.lines;
    this.#otherEntries = parts.otherEntries;
    this.#openDatabase = parts.openDatabase;
  }

  /**
   * Opens the database at the path, a folder that is made when it is missing or empty.
   * @throws {TailnetError} `state/locked` (names the owner's pid), `state/foreign`, `state/newer-version`, `state/corrupt` (names
   * the key), `state/disk-full`, `state/unwritable`. What is foreign has not been touched then, and what is newer
   * holds the records that it held.
   */
  static async open(path: string, deps: StoreDeps): Promise<StateStore> {
    const absolute = resolve(path);
    inspectFolder(absolute); // Before the lock is made: no trace beside what is not ours.
    const lock = claimFolder(absolute);
    try {
      await makeReady(absolute, deps);
      const openDatabase = deps.openDatabase ?? openLevelDatabase;
      const database = await openDatabase(absolute, { isNew: false });
      const read = await readContent(absolute, database);
      return new StateStore({ path: absolute, lock, database, openDatabase, ...read });
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  get meta(): Meta {
    return this.#content.meta;
  }

  /** Sorted by name, in the order of their character codes. */
  teams(): readonly TeamRecord[] {
    return sorted(this.#content.teams);
  }

  team(name: string): TeamRecord | undefined {
    return this.#content.teams.get(name);
  }

  /** Sorted by the name of the team. */
  runtimes(): readonly RuntimeRecord[] {
    return sorted(this.#content.runtimes);
  }

  runtime(team: string): RuntimeRecord | undefined {
    return this.#content.runtimes.get(team);
  }

  /** Sorted by key. */
  interfaces(): readonly InterfaceRecord[] {
    return sorted(this.#content.interfaces);
  }

  /** @param key As of `interfaceKey`. */
  interface(key: string): InterfaceRecord | undefined {
    return this.#content.interfaces.get(key);
  }

  /** Sorted by the key of the record. */
  journal(): readonly JournalEntry[] {
    return sorted(this.#content.journal);
  }

  get activeTeam(): string | undefined {
    return this.#content.settings.activeTeam;
  }

  /**
   * Applies a change as a whole, after those committed before it. Resolves when it has reached the disk; one of nothing
   * but runtime records and journal when it has reached the kernel: it survives this process, not a loss of power.
   * @throws {TailnetError} `state/disk-full`, `state/unwritable`, `state/busy` (too many wait), `state/corrupt`.
   * @throws {TypeError | RangeError} for a bad record, too many of them, or a closed store.
   */
  async commit(change: StoreChange): Promise<void> {
    if (this.#closing !== undefined) throw new TypeError('State store is closed');
    if (this.#pendingCount >= COMMIT_PENDING_COUNT_MAX) {
      const message = `State "${this.path}" does not keep up: ${this.#pendingCount} changes wait for the disk`;
      throw new TailnetError('state/busy', message, { isRetryable: true });
    }
    const copy = copyChange(change);
    this.#pendingCount++;
    const turn = this.#queue.then(() => this.#apply(copy));
    this.#queue = turn.catch(() => {}).then(() => void this.#pendingCount--);
    await turn;
  }

  /** Waits for the commits, then gives the database free; further calls return the same promise. */
  close(): Promise<void> {
    this.#closing ??= this.#queue.then(() => this.#release());
    return this.#closing;
  }

  async #apply(change: StoreChange): Promise<void> {
    const content = applyChange(this.#content, change);
    try {
      if (this.#isSuspect) await this.#repair();
      const { writes, lines } = this.#plan(change, content);
      await this.#write(writes);
      this.#content = content;
      this.#lines = lines;
      this.#otherEntries = undefined;
    } catch (error) {
      throw toStoreError(error, this.path);
    }
  }

  #plan(change: StoreChange, after: StoreContent): WritePlan {
    if (this.#otherEntries === undefined) {
      return planWrites({ before: this.#content, after, change, lines: this.#lines });
    }
    const entries = formatContent(after);
    return { writes: diffEntries(this.#otherEntries, entries), lines: linesOf(entries) };
  }

  async #write(writes: readonly StoreWrite[]): Promise<void> {
    if (writes.length === 0) return;
    this.#isSuspect = true;
    await this.#database?.write(
      writes,
      writes.some(({ key }) => isSyncedKey(key)),
    );
    this.#isSuspect = false;
  }

  // LevelDB appends to a log whose last record may be cut short, and acknowledges what it will not be able to read
  // (docs/adr/0004-state-store.md#a-full-disk). Opening begins a new log; then the disk gets what memory holds.
  async #repair(): Promise<void> {
    await this.#database?.close().catch(() => {});
    this.#database = undefined;
    const database = await this.#openDatabase(this.path, { isNew: false });
    this.#database = database;
    const writes = diffEntries(await database.readAll(), formatContent(this.#content));
    if (writes.length > 0) await database.write(writes, true);
    this.#otherEntries = undefined;
    tightenModes(this.path);
    this.#isSuspect = false;
  }

  async #release(): Promise<void> {
    try {
      // So that the next start does not find a change whose commit was rejected.
      if (this.#isSuspect) await this.#repair().catch(() => {});
      await this.#database?.close();
      tightenModes(this.path);
    } finally {
      this.#lock.release();
    }
  }
}

async function makeReady(path: string, deps: StoreDeps): Promise<void> {
  const state = inspectFolder(path);
  if (state === 'damaged') throw corrupt(path, 'its file CURRENT is missing');
  if (state === 'sound') return tightenModes(path);
  await installDatabase(path, formatContent(createContent(createMeta(deps))));
}

async function readContent(
  path: string,
  database: StoreDatabase,
): Promise<Pick<StoreParts, 'content' | 'lines' | 'otherEntries'>> {
  try {
    tightenModes(path); // What LevelDB has made on opening.
    const entries = await database.readAll();
    const result = parseContent(entries);
    if (result.kind === 'ok') return withTexts(result.content, entries);
    if (result.kind === 'newer') throw newer(`State "${path}"`, result.schemaVersion);
    throw corrupt(path, `cannot read "${result.key}", ${result.reason}`);
  } catch (error) {
    await database.close().catch(() => {});
    throw error;
  }
}

function withTexts(
  content: StoreContent,
  entries: StoreEntries,
): Pick<StoreParts, 'content' | 'lines' | 'otherEntries'> {
  const own = formatContent(content);
  const otherEntries = diffEntries(entries, own).length === 0 ? undefined : entries;
  return { content, lines: linesOf(own), otherEntries };
}

/** Lists that were asked for before, by their map, which never changes. */
const sortedLists = new WeakMap<object, readonly unknown[]>();

function sorted<T>(records: ReadonlyMap<string, T>): readonly T[] {
  const known = sortedLists.get(records);
  if (known !== undefined) return known as readonly T[];
  const list = [...records].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, record]) => record);
  sortedLists.set(records, Object.freeze(list));
  return list;
}
