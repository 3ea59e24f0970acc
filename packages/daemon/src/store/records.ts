/**
 * What the state database holds, one JSON text a key. No secret is ever among it: keys and tokens are files of their own.
 *
 * ```
 * meta                 Meta                 check             Check, over these, the teams and the interfaces
 * setting/activeTeam   a team's name        team/NAME         TeamRecord        runtime/NAME   RuntimeRecord
 * tun/NAME             TunRecord            subnet/CIDR       SubnetRecord
 * journal/tun/NAME     JournalEntry         journal/subnet/CIDR   JournalEntry
 * ```
 *
 * Those of the last two lines are in interface-records.ts, and only in a database of {@link INTERFACES_VERSION}.
 */

import {
  flag,
  integerOf,
  listOf,
  nullable,
  objectOf,
  oneOf,
  optional,
  type Shape,
  textLike,
  textOf,
} from '../schema/shape.ts';
import { TEAM_NAME_PATTERN } from '../schema/team-name.ts';

/** The version of a database that never had a record of an interface; every heddle reads it. */
export const TEAMS_VERSION = 1;

/** The version from the first record of an interface, or of the journal, on. */
export const INTERFACES_VERSION = 2;

/** The last version that is read. Grows with every change of the records that an older heddle would misread. */
export const SCHEMA_VERSION: number = INTERFACES_VERSION;

/** Bytes of one value, in UTF-8. The bounds of the fields below keep every record under it. */
export const VALUE_BYTES_MAX = 65_536;

/** Teams of one machine, and as many runtime records. */
export const TEAM_COUNT_MAX = 1024;

/** Who the database is. */
export interface Meta {
  readonly schemaVersion: number;
  /** Made once, by chance; 1–64 letters, digits and hyphens. */
  readonly instanceId: string;
  readonly createdUnixMs: number;
}

export interface Settings {
  /** The team that `switch` chose. Nothing here checks that there is one of this name. */
  readonly activeTeam?: string | undefined;
}

/** What the user wants of a team, and the names and numbers that were chosen for it once. */
export interface TeamRecord {
  readonly name: string;
  readonly kind: 'nebula' | 'tailnet';
  /** The user's own file; at most 4096 characters. */
  readonly configPath: string;
  readonly desired: 'up' | 'down';
  readonly isAutostart: boolean;
  /** Rendered name of the interface, at most 15 bytes. */
  readonly device?: string | undefined;
  /** Rendered UDP port; 0 lets the kernel choose at every start. */
  readonly listenPort?: number | undefined;
  readonly proxyPort?: number | undefined;
  /** Overlay networks, `10.1.0.0/24`; at most 256. */
  readonly networks: readonly string[];
  readonly certNotAfterUnixMs?: number | undefined;
  readonly createdUnixMs: number;
  readonly updatedUnixMs: number;
}

/** How a process ended; one of both is null. */
export interface ExitRecord {
  readonly code: number | null;
  readonly signal: string | null;
}

/**
 * The process of a team as it was last seen: for finding orphans, so it may be stale. `pid` and `startMark` are a
 * `ProcessIdentity` of @heddle/host.
 */
export interface RuntimeRecord {
  readonly team: string;
  readonly pid: number;
  readonly startMark: string;
  /** Of the kernel; empty where it has none. */
  readonly bootId: string;
  /** A word of the supervisor's, `up`. */
  readonly state: string;
  readonly sinceUnixMs: number;
  readonly restarts: number;
  readonly lastExit?: ExitRecord | undefined;
  readonly lastError?: { readonly code: string; readonly message: string } | undefined;
  readonly renderedPath?: string | undefined;
  readonly device?: string | undefined;
}

/** SHA-256 over all synced records: tells when LevelDB has dropped a damaged one. */
export interface Check {
  /** Lower-case hex. */
  readonly digest: string;
}

const unixMs = integerOf(0, 8_640_000_000_000_000);
const path = textOf(1, 4096);
const device = textLike(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/, 'a device name of at most 15 bytes');
const network = textLike(/^[0-9A-Fa-f.:]{2,45}\/[0-9]{1,3}$/, 'a network such as 10.1.0.0/24');

export const teamNameShape: Shape<string> = textLike(TEAM_NAME_PATTERN, 'a name of letters, digits, "-" and "_"');

export const metaShape: Shape<Meta> = objectOf({
  schemaVersion: integerOf(1, 1_000_000),
  instanceId: textLike(/^[A-Za-z0-9-]{1,64}$/, 'letters, digits and hyphens'),
  createdUnixMs: unixMs,
});

export const teamShape: Shape<TeamRecord> = objectOf({
  name: teamNameShape,
  kind: oneOf(['nebula', 'tailnet']),
  configPath: path,
  desired: oneOf(['up', 'down']),
  isAutostart: flag,
  device: optional(device),
  listenPort: optional(integerOf(0, 65_535)),
  proxyPort: optional(integerOf(1, 65_535)),
  networks: listOf(network, 256),
  certNotAfterUnixMs: optional(unixMs),
  createdUnixMs: unixMs,
  updatedUnixMs: unixMs,
});

const exitShape: Shape<ExitRecord> = objectOf({
  code: nullable(integerOf(-2_147_483_648, 4_294_967_295)),
  signal: nullable(textLike(/^SIG[A-Z0-9]{1,12}$/, 'a signal')),
});

export const runtimeShape: Shape<RuntimeRecord> = objectOf({
  team: teamNameShape,
  pid: integerOf(1, 4_294_967_295),
  startMark: textOf(0, 40),
  bootId: textOf(0, 64),
  state: textLike(/^[a-z][a-z_-]{0,31}$/, 'a state'),
  sinceUnixMs: unixMs,
  restarts: integerOf(0, Number.MAX_SAFE_INTEGER),
  lastExit: optional(exitShape),
  lastError: optional(objectOf({ code: textOf(1, 64), message: textOf(0, 1024) })),
  renderedPath: optional(path),
  device: optional(device),
});

export const checkShape: Shape<Check> = objectOf({
  digest: textLike(/^[0-9a-f]{64}$/, 'a SHA-256 in hex'),
});
