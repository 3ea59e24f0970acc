/** The content of the state database as values, and the changes that lead from one content to the next. Pure. */

import { optional, type Shape } from '../schema/shape.ts';
import {
  INTERFACE_COUNT_MAX,
  type InterfaceRecord,
  interfaceKey,
  interfaceShape,
  type JournalEntry,
  journalShape,
} from './interface-records.ts';
import {
  INTERFACES_VERSION,
  type Meta,
  type RuntimeRecord,
  runtimeShape,
  type Settings,
  TEAM_COUNT_MAX,
  type TeamRecord,
  teamNameShape,
  teamShape,
} from './records.ts';

/** Never changed in place: what a change does not touch is the same map before and after. */
export interface StoreContent {
  readonly meta: Meta;
  readonly settings: Settings;
  /** By name. */
  readonly teams: ReadonlyMap<string, TeamRecord>;
  /** By the name of the team. */
  readonly runtimes: ReadonlyMap<string, RuntimeRecord>;
  /** By {@link interfaceKey}. */
  readonly interfaces: ReadonlyMap<string, InterfaceRecord>;
  /** By {@link interfaceKey} of the record. */
  readonly journal: ReadonlyMap<string, JournalEntry>;
}

/**
 * One step of a change. A delete of what is not there does nothing; none of them touches other records by itself. `key`
 * is that of {@link interfaceKey}, for the journal as well.
 */
export type StoreChangeItem =
  | { readonly kind: 'put-team'; readonly team: TeamRecord }
  | { readonly kind: 'delete-team'; readonly name: string }
  | { readonly kind: 'put-runtime'; readonly runtime: RuntimeRecord }
  | { readonly kind: 'delete-runtime'; readonly team: string }
  | { readonly kind: 'put-interface'; readonly record: InterfaceRecord }
  | { readonly kind: 'delete-interface'; readonly key: string }
  | { readonly kind: 'put-journal'; readonly entry: JournalEntry }
  | { readonly kind: 'delete-journal'; readonly key: string }
  | { readonly kind: 'set-active-team'; readonly name: string | undefined };

/** Applied in order, and as a whole or not at all. */
export type StoreChange = readonly StoreChangeItem[];

/** Content without teams. */
export function createContent(meta: Meta): StoreContent {
  return { meta, settings: {}, teams: new Map(), runtimes: new Map(), interfaces: new Map(), journal: new Map() };
}

/**
 * Copies a change, with nothing in it but the fields of the records, frozen.
 * @throws {TypeError} when a record is not as `records.ts` and `interface-records.ts` say.
 */
export function copyChange(change: StoreChange): StoreChange {
  return change.map(copyItem);
}

/**
 * The content after a change.
 * @throws {RangeError} when there would be more than {@link TEAM_COUNT_MAX} teams or runtime records, or more than
 * {@link INTERFACE_COUNT_MAX} interfaces or entries of the journal.
 */
export function applyChange(content: StoreContent, change: StoreChange): StoreContent {
  const draft = new Draft(content);
  for (const item of change) draft.apply(item);
  const after = withVersion(draft.content);
  const { teams, runtimes, interfaces, journal } = after;
  if (Math.max(teams.size, runtimes.size) > TEAM_COUNT_MAX) throw new RangeError(`More than ${TEAM_COUNT_MAX} teams`);
  if (Math.max(interfaces.size, journal.size) > INTERFACE_COUNT_MAX) {
    throw new RangeError(`More than ${INTERFACE_COUNT_MAX} interfaces`);
  }
  return after;
}

/** Raises the version of a content to what its records need; never lowers it. */
export function withVersion(content: StoreContent): StoreContent {
  const { meta, interfaces, journal } = content;
  const isPlain = interfaces.size === 0 && journal.size === 0;
  if (isPlain || meta.schemaVersion >= INTERFACES_VERSION) return content;
  return { ...content, meta: { ...meta, schemaVersion: INTERFACES_VERSION } };
}

/**
 * Freezes a record and what is in it: the store compares the next change with what it has handed out. Records nest no
 * deeper than their shapes.
 */
export function freezeRecord<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const field of Object.values(value)) freezeRecord(field);
  return Object.freeze(value);
}

type Section = 'teams' | 'runtimes' | 'interfaces' | 'journal';

/** A content in the making; copies a map before its first change. */
class Draft {
  content: StoreContent;
  readonly #copied = new Set<Section>();

  constructor(content: StoreContent) {
    this.content = content;
  }

  apply(item: StoreChangeItem): void {
    switch (item.kind) {
      case 'put-team':
        this.#mapOf('teams').set(item.team.name, item.team);
        break;
      case 'delete-team':
        this.#delete('teams', item.name);
        break;
      case 'put-runtime':
        this.#mapOf('runtimes').set(item.runtime.team, item.runtime);
        break;
      case 'delete-runtime':
        this.#delete('runtimes', item.team);
        break;
      case 'put-interface':
        this.#mapOf('interfaces').set(interfaceKey(item.record), item.record);
        break;
      case 'delete-interface':
        this.#delete('interfaces', item.key);
        break;
      case 'put-journal':
        this.#mapOf('journal').set(interfaceKey(item.entry.record), item.entry);
        break;
      case 'delete-journal':
        this.#delete('journal', item.key);
        break;
      case 'set-active-team':
        this.content = { ...this.content, settings: item.name === undefined ? {} : { activeTeam: item.name } };
    }
  }

  #delete(section: Section, key: string): void {
    if (this.content[section].has(key)) this.#mapOf(section).delete(key);
  }

  #mapOf<S extends Section>(section: S): Map<string, RecordOf<S>> {
    if (!this.#copied.has(section)) {
      this.content = { ...this.content, [section]: new Map(this.content[section] as ReadonlyMap<string, unknown>) };
      this.#copied.add(section);
    }
    return this.content[section] as unknown as Map<string, RecordOf<S>>;
  }
}

type RecordOf<S extends Section> = StoreContent[S] extends ReadonlyMap<string, infer R> ? R : never;

function copyItem(item: StoreChangeItem): StoreChangeItem {
  switch (item.kind) {
    case 'put-team':
      return { kind: item.kind, team: mustFit(teamShape, item.team, 'team') };
    case 'put-runtime':
      return { kind: item.kind, runtime: mustFit(runtimeShape, item.runtime, 'runtime') };
    case 'put-interface':
      return { kind: item.kind, record: mustFit(interfaceShape, item.record, 'record') };
    case 'put-journal':
      return { kind: item.kind, entry: mustFit(journalShape, item.entry, 'entry') };
    case 'set-active-team':
      return { kind: item.kind, name: mustFit(optional(teamNameShape), item.name, 'name') };
    default:
      return { ...item };
  }
}

function mustFit<T>(shape: Shape<T>, value: unknown, name: string): T {
  const result = shape(value);
  if (result.kind === 'ok') return freezeRecord(result.value);
  throw new TypeError(`Bad ${[name, result.path].filter(Boolean).join('.')}: expected ${result.expected}`);
}
