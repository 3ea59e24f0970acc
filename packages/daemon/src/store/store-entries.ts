/**
 * The content of the state database as the texts that lie in it, key by key. Pure: what is written is always the
 * difference between two sets of texts, so a commit, a first creation and a repair are one mechanism.
 */

import { createHash } from 'node:crypto';
import { INTERFACE_COUNT_MAX, interfaceKey } from './interface-records.ts';
import { TEAM_COUNT_MAX } from './records.ts';
import type { StoreChangeItem, StoreContent } from './store-content.ts';

/** Key → JSON text. */
export type StoreEntries = ReadonlyMap<string, string>;

export type StoreWrite =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'del'; readonly key: string };

/** The keys of the database, or what they begin with; those of the interfaces are in interface-records.ts. */
export const KEYS = {
  meta: 'meta',
  check: 'check',
  activeTeam: 'setting/activeTeam',
  team: 'team/',
  runtime: 'runtime/',
  tun: 'tun/',
  subnet: 'subnet/',
  journal: 'journal/',
} as const;

/** Entries of the largest content. */
export const ENTRY_COUNT_MAX: number = 2 * TEAM_COUNT_MAX + 2 * INTERFACE_COUNT_MAX + 3;

/** The texts of a content, the check over them included. */
export function formatContent(content: StoreContent): StoreEntries {
  const entries = new Map<string, string>([[KEYS.meta, JSON.stringify(content.meta)]]);
  const { activeTeam } = content.settings;
  if (activeTeam !== undefined) entries.set(KEYS.activeTeam, JSON.stringify(activeTeam));
  for (const [name, team] of content.teams) entries.set(KEYS.team + name, JSON.stringify(team));
  for (const [name, runtime] of content.runtimes) entries.set(KEYS.runtime + name, JSON.stringify(runtime));
  for (const [key, record] of content.interfaces) entries.set(key, JSON.stringify(record));
  for (const [key, entry] of content.journal) entries.set(KEYS.journal + key, JSON.stringify(entry));
  return entries.set(KEYS.check, formatCheck(digestOf(entries)));
}

/** The text of one key as {@link formatContent} has it; undefined when it has none, and for the check. */
export function formatEntry(content: StoreContent, key: string): string | undefined {
  const value = recordAt(content, key);
  return value === undefined ? undefined : JSON.stringify(value);
}

/** The key whose text a step of a change may change, besides those of the identity and the check. */
export function keyOfItem(item: StoreChangeItem): string {
  switch (item.kind) {
    case 'put-team':
      return KEYS.team + item.team.name;
    case 'delete-team':
      return KEYS.team + item.name;
    case 'put-runtime':
      return KEYS.runtime + item.runtime.team;
    case 'delete-runtime':
      return KEYS.runtime + item.team;
    case 'put-interface':
      return interfaceKey(item.record);
    case 'delete-interface':
      return item.key;
    case 'put-journal':
      return KEYS.journal + interfaceKey(item.entry.record);
    case 'delete-journal':
      return KEYS.journal + item.key;
    case 'set-active-team':
      return KEYS.activeTeam;
  }
}

/** What turns `before` into `after`; empty when they are equal. */
export function diffEntries(before: StoreEntries, after: StoreEntries): readonly StoreWrite[] {
  const writes: StoreWrite[] = [];
  for (const key of before.keys()) if (!after.has(key)) writes.push({ type: 'del', key });
  for (const [key, value] of after) if (before.get(key) !== value) writes.push({ type: 'put', key, value });
  return writes;
}

/**
 * False for records of processes and of the journal: they may be lost with the power, because what they tell of is lost
 * with it too.
 */
export function isSyncedKey(key: string): boolean {
  return !key.startsWith(KEYS.runtime) && !key.startsWith(KEYS.journal);
}

/**
 * Lower-case hex: SHA-256 over all synced entries but the check itself, by key. The others are left out because a loss of
 * power may take some of them and leave later ones.
 */
export function digestOf(entries: StoreEntries): string {
  const hash = createHash('sha256');
  for (const key of [...entries.keys()].sort()) {
    if (isCheckedKey(key)) hash.update(formatCheckedLine(key, entries.get(key) ?? ''));
  }
  return hash.digest('hex');
}

/** True for the entries that the digest is over. */
export function isCheckedKey(key: string): boolean {
  return key !== KEYS.check && isSyncedKey(key);
}

/** What one entry adds to the text that the digest is over. */
export function formatCheckedLine(key: string, text: string): string {
  return `${key}\n${text}\n`;
}

/** The text of the check. */
export function formatCheck(digest: string): string {
  return JSON.stringify({ digest });
}

function recordAt(content: StoreContent, key: string): unknown {
  if (key === KEYS.meta) return content.meta;
  if (key === KEYS.activeTeam) return content.settings.activeTeam;
  if (key.startsWith(KEYS.team)) return content.teams.get(key.slice(KEYS.team.length));
  if (key.startsWith(KEYS.runtime)) return content.runtimes.get(key.slice(KEYS.runtime.length));
  if (key.startsWith(KEYS.journal)) return content.journal.get(key.slice(KEYS.journal.length));
  return content.interfaces.get(key);
}
