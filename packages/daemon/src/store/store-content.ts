/**
 * The content of the state database as values, and as the texts that lie in it. Pure: what is written is always the
 * difference between two sets of texts, so a commit, a first creation and a repair are one mechanism.
 */

import { createHash } from 'node:crypto';
import { optional, type Shape } from '../schema/shape.ts';
import {
  checkShape,
  type Meta,
  metaShape,
  type RuntimeRecord,
  runtimeShape,
  SCHEMA_VERSION,
  type Settings,
  TEAM_COUNT_MAX,
  type TeamRecord,
  teamNameShape,
  teamShape,
  VALUE_BYTES_MAX,
} from './records.ts';

/** Never changed in place. */
export interface StoreContent {
  readonly meta: Meta;
  readonly settings: Settings;
  /** By name. */
  readonly teams: ReadonlyMap<string, TeamRecord>;
  /** By the name of the team. */
  readonly runtimes: ReadonlyMap<string, RuntimeRecord>;
}

/** One step of a change. A delete of what is not there does nothing; none of them touches other records by itself. */
export type StoreChangeItem =
  | { readonly kind: 'put-team'; readonly team: TeamRecord }
  | { readonly kind: 'delete-team'; readonly name: string }
  | { readonly kind: 'put-runtime'; readonly runtime: RuntimeRecord }
  | { readonly kind: 'delete-runtime'; readonly team: string }
  | { readonly kind: 'set-active-team'; readonly name: string | undefined };

/** Applied in order, and as a whole or not at all. */
export type StoreChange = readonly StoreChangeItem[];

/** Key → JSON text. */
export type StoreEntries = ReadonlyMap<string, string>;

export type StoreWrite =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'del'; readonly key: string };

export type ContentResult =
  | { readonly kind: 'ok'; readonly content: StoreContent }
  | { readonly kind: 'newer'; readonly schemaVersion: number }
  /** `key` is the first that cannot be read. */
  | { readonly kind: 'bad'; readonly key: string; readonly reason: string };

const META = 'meta';
const CHECK = 'check';
const ACTIVE_TEAM = 'setting/activeTeam';
const TEAM = 'team/';
const RUNTIME = 'runtime/';

/** Entries of the largest content. */
export const ENTRY_COUNT_MAX: number = 2 * TEAM_COUNT_MAX + 3;

/** Content without teams. */
export function createContent(meta: Meta): StoreContent {
  return { meta, settings: {}, teams: new Map(), runtimes: new Map() };
}

/**
 * Copies a change, with nothing in it but the fields of the records.
 * @throws {TypeError} when a record is not as `records.ts` says.
 */
export function copyChange(change: StoreChange): StoreChange {
  return change.map(copyItem);
}

/** @throws {RangeError} when there would be more than {@link TEAM_COUNT_MAX} teams or runtime records. */
export function applyChange(content: StoreContent, change: StoreChange): StoreContent {
  const teams = new Map(content.teams);
  const runtimes = new Map(content.runtimes);
  let settings = content.settings;
  for (const item of change) {
    if (item.kind === 'put-team') teams.set(item.team.name, item.team);
    else if (item.kind === 'delete-team') teams.delete(item.name);
    else if (item.kind === 'put-runtime') runtimes.set(item.runtime.team, item.runtime);
    else if (item.kind === 'delete-runtime') runtimes.delete(item.team);
    else settings = item.name === undefined ? {} : { activeTeam: item.name };
  }
  if (Math.max(teams.size, runtimes.size) > TEAM_COUNT_MAX) throw new RangeError(`More than ${TEAM_COUNT_MAX} teams`);
  return { meta: content.meta, settings, teams, runtimes };
}

/** The texts of a content, the check over them included. */
export function formatContent(content: StoreContent): StoreEntries {
  const entries = new Map<string, string>([[META, JSON.stringify(content.meta)]]);
  const { activeTeam } = content.settings;
  if (activeTeam !== undefined) entries.set(ACTIVE_TEAM, JSON.stringify(activeTeam));
  for (const [name, team] of content.teams) entries.set(TEAM + name, JSON.stringify(team));
  for (const [name, runtime] of content.runtimes) entries.set(RUNTIME + name, JSON.stringify(runtime));
  return entries.set(CHECK, JSON.stringify({ digest: digestOf(entries) }));
}

/** Reads what {@link formatContent} wrote. Everything is checked: one unreadable record makes the whole bad. */
export function parseContent(entries: StoreEntries): ContentResult {
  const meta = parseEntry(entries, META, metaShape);
  if (meta.kind === 'bad') return meta;
  if (meta.value.schemaVersion > SCHEMA_VERSION) return { kind: 'newer', schemaVersion: meta.value.schemaVersion };
  const draft: Draft = { meta: meta.value, settings: {}, teams: new Map(), runtimes: new Map() };
  for (const key of [...entries.keys()].sort()) {
    const misfit = takeEntry(entries, key, draft);
    if (misfit !== undefined) return misfit;
  }
  const check = parseEntry(entries, CHECK, checkShape);
  if (check.kind === 'bad') return check;
  if (check.value.digest !== digestOf(entries)) return bad(CHECK, 'a record is missing or is not the last one written');
  return { kind: 'ok', content: draft };
}

/** What turns `before` into `after`; empty when they are equal. */
export function diffEntries(before: StoreEntries, after: StoreEntries): readonly StoreWrite[] {
  const writes: StoreWrite[] = [];
  for (const key of before.keys()) if (!after.has(key)) writes.push({ type: 'del', key });
  for (const [key, value] of after) if (before.get(key) !== value) writes.push({ type: 'put', key, value });
  return writes;
}

/** True when only runtime records change, which may be lost with the power. */
export function isRuntimeOnly(writes: readonly StoreWrite[]): boolean {
  return writes.every(({ key }) => key.startsWith(RUNTIME));
}

type Misfit = Extract<ContentResult, { kind: 'bad' }>;

interface Draft extends StoreContent {
  settings: Settings;
  readonly teams: Map<string, TeamRecord>;
  readonly runtimes: Map<string, RuntimeRecord>;
}

function takeEntry(entries: StoreEntries, key: string, draft: Draft): Misfit | undefined {
  if (key === META || key === CHECK) return undefined;
  if (key.startsWith(TEAM)) {
    const team = parseEntry(entries, key, teamShape);
    if (team.kind === 'bad') return team;
    draft.teams.set(team.value.name, team.value);
    return key === TEAM + team.value.name ? undefined : bad(key, OTHER_TEAM);
  }
  if (key.startsWith(RUNTIME)) {
    const runtime = parseEntry(entries, key, runtimeShape);
    if (runtime.kind === 'bad') return runtime;
    draft.runtimes.set(runtime.value.team, runtime.value);
    return key === RUNTIME + runtime.value.team ? undefined : bad(key, OTHER_TEAM);
  }
  if (key !== ACTIVE_TEAM) return bad(key, 'no record has this name');
  const active = parseEntry(entries, key, teamNameShape);
  if (active.kind === 'bad') return active;
  draft.settings = { activeTeam: active.value };
  return undefined;
}

const OTHER_TEAM = 'it holds the record of another team';

function copyItem(item: StoreChangeItem): StoreChangeItem {
  switch (item.kind) {
    case 'put-team':
      return { kind: item.kind, team: mustFit(teamShape, item.team, 'team') };
    case 'delete-team':
      return { kind: item.kind, name: item.name };
    case 'put-runtime':
      return { kind: item.kind, runtime: mustFit(runtimeShape, item.runtime, 'runtime') };
    case 'delete-runtime':
      return { kind: item.kind, team: item.team };
    case 'set-active-team':
      return { kind: item.kind, name: mustFit(optional(teamNameShape), item.name, 'name') };
  }
}

function parseEntry<T>(entries: StoreEntries, key: string, shape: Shape<T>): { kind: 'ok'; value: T } | Misfit {
  const text = entries.get(key);
  if (text === undefined) return bad(key, 'it is missing');
  if (Buffer.byteLength(text) > VALUE_BYTES_MAX) return bad(key, `it has more than ${VALUE_BYTES_MAX} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return bad(key, 'it is not JSON');
  }
  const result = shape(json);
  if (result.kind === 'ok') return { kind: 'ok', value: result.value };
  return bad(key, `expected ${result.expected}${result.path === '' ? '' : ` as "${result.path}"`}`);
}

// Runtime records are left out: they are not synced, so a loss of power may take some of them and leave later ones.
function digestOf(entries: StoreEntries): string {
  const hash = createHash('sha256');
  for (const key of [...entries.keys()].sort()) {
    if (key !== CHECK && !key.startsWith(RUNTIME)) hash.update(`${key}\n${entries.get(key)}\n`);
  }
  return hash.digest('hex');
}

function mustFit<T>(shape: Shape<T>, value: unknown, name: string): T {
  const result = shape(value);
  if (result.kind === 'ok') return result.value;
  throw new TypeError(`Bad ${[name, result.path].filter(Boolean).join('.')}: expected ${result.expected}`);
}

function bad(key: string, reason: string): Misfit {
  return { kind: 'bad', key, reason };
}
