/**
 * The state database as a text that people can read and keep, and back. A dump holds no secret, because the database
 * holds none.
 */

import { resolve } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { listOf, objectOf, oneOf, optional, type Shape } from '../schema/shape.ts';
import { INTERFACE_COUNT_MAX, type InterfaceRecord, interfaceKey, interfaceShape } from './interface-records.ts';
import { refuseIfOpen } from './level-database.ts';
import {
  type Meta,
  metaShape,
  type RuntimeRecord,
  runtimeShape,
  SCHEMA_VERSION,
  TEAM_COUNT_MAX,
  type TeamRecord,
  teamNameShape,
  teamShape,
} from './records.ts';
import { createMeta, type StateStore, type StoreDeps } from './state-store.ts';
import { createContent, type StoreContent, withVersion } from './store-content.ts';
import { formatContent } from './store-entries.ts';
import { newer } from './store-error.ts';
import { claimFolder, inspectFolder, installDatabase } from './store-folder.ts';

/** What a restore has done. */
export interface RestoreResult {
  readonly teamCount: number;
  readonly interfaceCount: number;
  /** Where the replaced database is now; undefined when there was none. */
  readonly keptPath: string | undefined;
}

interface Dump {
  readonly format: typeof FORMAT;
  readonly meta?: Meta | undefined;
  readonly activeTeam?: string | undefined;
  readonly teams: readonly TeamRecord[];
  readonly runtimes?: readonly RuntimeRecord[] | undefined;
  /** Left out when there are none. */
  readonly interfaces?: readonly InterfaceRecord[] | undefined;
}

const FORMAT = 'heddle-state-dump';
/** Longest dump that is read back, in UTF-16 units. */
const DUMP_LENGTH_MAX = 67_108_864;

const versionShape: Shape<Pick<Dump, 'meta'>> = objectOf({ meta: optional(metaShape) });

const dumpShape: Shape<Dump> = objectOf({
  format: oneOf([FORMAT]),
  meta: optional(metaShape),
  activeTeam: optional(teamNameShape),
  teams: listOf(teamShape, TEAM_COUNT_MAX),
  runtimes: optional(listOf(runtimeShape, TEAM_COUNT_MAX)),
  interfaces: optional(listOf(interfaceShape, INTERFACE_COUNT_MAX)),
});

/**
 * JSON, indented, ending in a newline; equal contents give equal texts. The journal is left out: it is about the kernel
 * of one machine, at one moment.
 */
export function dumpStore(store: StateStore): string {
  const { meta, activeTeam } = store;
  const interfaces = store.interfaces().length === 0 ? undefined : store.interfaces();
  const dump: Dump = { format: FORMAT, meta, activeTeam, teams: store.teams(), runtimes: store.runtimes(), interfaces };
  return `${JSON.stringify(dump, null, 2)}\n`;
}

/**
 * Puts the content of a dump in place of the database at the path, damaged or not, whole or not at all. The instance is
 * that of the dump; one without `meta` makes a new instance.
 * @throws {TailnetError} `state/bad-dump` (names the field), `state/locked`, `state/foreign`, `state/newer-version`,
 * `state/disk-full`, `state/unwritable`. The database at the path is then what it was.
 */
export async function restoreStore(path: string, jsonText: string, deps: StoreDeps): Promise<RestoreResult> {
  const absolute = resolve(path);
  const content = parseDump(jsonText, deps);
  inspectFolder(absolute);
  const lock = claimFolder(absolute);
  try {
    const state = inspectFolder(absolute);
    if (state === 'sound' || state === 'damaged') await refuseIfOpen(absolute);
    const keptPath = await installDatabase(absolute, formatContent(content));
    return { teamCount: content.teams.size, interfaceCount: content.interfaces.size, keptPath };
  } finally {
    lock.release();
  }
}

function parseDump(jsonText: string, deps: StoreDeps): StoreContent {
  if (jsonText.length > DUMP_LENGTH_MAX) throw badDump(`it has more than ${DUMP_LENGTH_MAX} characters`);
  let json: unknown;
  try {
    json = JSON.parse(jsonText);
  } catch {
    throw badDump('it is not JSON');
  }
  const { meta } = mustFit(versionShape, json);
  if (meta !== undefined && meta.schemaVersion > SCHEMA_VERSION) throw newer('The dump', meta.schemaVersion);
  const dump = mustFit(dumpShape, json);
  return withVersion({
    ...createContent(dump.meta ?? createMeta(deps)),
    settings: dump.activeTeam === undefined ? {} : { activeTeam: dump.activeTeam },
    teams: byName(dump.teams, 'teams', ({ name }) => name),
    runtimes: byName(dump.runtimes ?? [], 'runtimes', ({ team }) => team),
    interfaces: byName(dump.interfaces ?? [], 'interfaces', interfaceKey),
  });
}

function byName<T>(records: readonly T[], field: string, nameOf: (record: T) => string): ReadonlyMap<string, T> {
  const map = new Map<string, T>();
  for (const record of records) {
    if (map.has(nameOf(record))) throw badDump(`"${field}" has "${nameOf(record)}" twice`);
    map.set(nameOf(record), record);
  }
  return map;
}

function mustFit<T>(shape: Shape<T>, json: unknown): T {
  const result = shape(json);
  if (result.kind === 'ok') return result.value;
  throw badDump(`expected ${result.expected}${result.path === '' ? '' : ` as "${result.path}"`}`);
}

function badDump(reason: string): TailnetError {
  return new TailnetError('state/bad-dump', `Cannot read the dump: ${reason}; nothing was changed`);
}
