import type { Shape } from '../schema/shape.ts';
import {
  type InterfaceRecord,
  interfaceKey,
  interfaceShape,
  type JournalEntry,
  journalShape,
} from './interface-records.ts';
import {
  checkShape,
  INTERFACES_VERSION,
  type Meta,
  metaShape,
  type RuntimeRecord,
  runtimeShape,
  SCHEMA_VERSION,
  type Settings,
  type TeamRecord,
  teamNameShape,
  teamShape,
  VALUE_BYTES_MAX,
} from './records.ts';
import { freezeRecord, type StoreContent } from './store-content.ts';
import { digestOf, KEYS, type StoreEntries } from './store-entries.ts';

export type ContentResult =
  | { readonly kind: 'ok'; readonly content: StoreContent }
  | { readonly kind: 'newer'; readonly schemaVersion: number }
  /** `key` is the first that cannot be read. */
  | { readonly kind: 'bad'; readonly key: string; readonly reason: string };

/** Reads what `formatContent` wrote. Everything is checked: one unreadable record makes the whole bad. */
export function parseContent(entries: StoreEntries): ContentResult {
  const meta = parseEntry(entries, KEYS.meta, metaShape);
  if (meta.kind === 'bad') return meta;
  if (meta.value.schemaVersion > SCHEMA_VERSION) return { kind: 'newer', schemaVersion: meta.value.schemaVersion };
  const draft = createDraft(meta.value);
  for (const key of [...entries.keys()].sort()) {
    const misfit = takeEntry(entries, key, draft);
    if (misfit !== undefined) return misfit;
  }
  const check = parseEntry(entries, KEYS.check, checkShape);
  if (check.kind === 'bad') return check;
  if (check.value.digest === digestOf(entries)) return { kind: 'ok', content: draft };
  return bad(KEYS.check, 'a record is missing or is not the last one written');
}

type Misfit = Extract<ContentResult, { kind: 'bad' }>;

interface Draft extends StoreContent {
  settings: Settings;
  readonly teams: Map<string, TeamRecord>;
  readonly runtimes: Map<string, RuntimeRecord>;
  readonly interfaces: Map<string, InterfaceRecord>;
  readonly journal: Map<string, JournalEntry>;
}

interface Section<T> {
  readonly prefix: string;
  readonly shape: Shape<T>;
  /** The key of the record without the prefix. */
  readonly nameOf: (record: T) => string;
  readonly records: Map<string, T>;
  readonly what: 'team' | 'interface';
}

function createDraft(meta: Meta): Draft {
  return { meta, settings: {}, teams: new Map(), runtimes: new Map(), interfaces: new Map(), journal: new Map() };
}

function takeEntry(entries: StoreEntries, key: string, draft: Draft): Misfit | undefined {
  if (key === KEYS.meta || key === KEYS.check) return undefined;
  if (key === KEYS.activeTeam) {
    const active = parseEntry(entries, key, teamNameShape);
    if (active.kind === 'bad') return active;
    draft.settings = { activeTeam: active.value };
    return undefined;
  }
  if (key.startsWith(KEYS.team)) return takeRecord(entries, key, teamsOf(draft));
  if (key.startsWith(KEYS.runtime)) return takeRecord(entries, key, runtimesOf(draft));
  if (draft.meta.schemaVersion < INTERFACES_VERSION) return bad(key, NO_RECORD);
  if (key.startsWith(KEYS.journal)) return takeRecord(entries, key, journalOf(draft));
  if (key.startsWith(KEYS.tun) || key.startsWith(KEYS.subnet)) return takeRecord(entries, key, interfacesOf(draft));
  return bad(key, NO_RECORD);
}

const NO_RECORD = 'no record has this name';

function teamsOf({ teams: records }: Draft): Section<TeamRecord> {
  return { prefix: KEYS.team, shape: teamShape, nameOf: ({ name }) => name, records, what: 'team' };
}

function runtimesOf({ runtimes: records }: Draft): Section<RuntimeRecord> {
  return { prefix: KEYS.runtime, shape: runtimeShape, nameOf: ({ team }) => team, records, what: 'team' };
}

function interfacesOf({ interfaces: records }: Draft): Section<InterfaceRecord> {
  return { prefix: '', shape: interfaceShape, nameOf: interfaceKey, records, what: 'interface' };
}

function journalOf({ journal: records }: Draft): Section<JournalEntry> {
  const nameOf = ({ record }: JournalEntry): string => interfaceKey(record);
  return { prefix: KEYS.journal, shape: journalShape, nameOf, records, what: 'interface' };
}

function takeRecord<T>(entries: StoreEntries, key: string, section: Section<T>): Misfit | undefined {
  const record = parseEntry(entries, key, section.shape);
  if (record.kind === 'bad') return record;
  const name = section.nameOf(record.value);
  section.records.set(name, record.value);
  return key === section.prefix + name ? undefined : bad(key, `it holds the record of another ${section.what}`);
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
  if (result.kind === 'ok') return { kind: 'ok', value: freezeRecord(result.value) };
  return bad(key, `expected ${result.expected}${result.path === '' ? '' : ` as "${result.path}"`}`);
}

function bad(key: string, reason: string): Misfit {
  return { kind: 'bad', key, reason };
}
