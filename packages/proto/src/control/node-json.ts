import { type Endpoint, parseEndpoint } from '../ip/endpoint.ts';
import { type IpPrefix, parsePrefix } from '../ip/prefix.ts';
import { type DiscoPublicKey, isZeroKey, type NodePublicKey, parsePublicKey } from '../keys/public-key.ts';
import { normaliseFqdn } from './dns-config.ts';
import {
  integerOf,
  isRecord,
  type JsonRecord,
  optionalBooleanOf,
  parseItems,
  recordOf,
  textOf,
  textsOf,
} from './json-value.ts';
import type { NetmapNode } from './netmap.ts';

// docs/spec/control.md#node

/** Endpoints of one node that are kept; more are left out. A node has a handful. */
const ENDPOINT_COUNT_MAX = 64;
/** Prefixes of one list of one node that are kept. */
const PREFIX_COUNT_MAX = 4096;

/**
 * Reads one `Node`. `undefined` when it has no usable id or node key, or an address that cannot be read: such a node
 * cannot be told apart, reached or attributed. A damaged value of another field counts as absent.
 */
export function parseNode(json: unknown): NetmapNode | undefined {
  if (!isRecord(json)) return undefined;
  const id = parseNodeId(json['ID']);
  const key = parseNodeKey(json['Key']);
  const addresses = parsePrefixes(json['Addresses']);
  if (id === undefined || key === undefined || addresses === undefined) return undefined;
  const hostinfo = recordOf(json['Hostinfo']);
  return {
    id,
    stableId: textOf(json['StableID']),
    name: normaliseFqdn(textOf(json['Name'])),
    key,
    discoKey: parseDiscoKey(json['DiscoKey']),
    addresses,
    allowedIps: parseAllowedIps(json['AllowedIPs'], json['Addresses'], addresses),
    endpoints: parseEndpoints(json['Endpoints']),
    homeDerp: parseHomeDerp(json),
    isOnline: optionalBooleanOf(json['Online']),
    isExpired: json['Expired'] === true,
    keyExpiryUnixMs: parseTime(json['KeyExpiry']),
    isJailed: json['IsJailed'] === true,
    isWireGuardOnly: json['IsWireGuardOnly'] === true,
    capabilities: parseCapabilities(json),
    hostname: textOf(hostinfo['Hostname']),
    os: textOf(hostinfo['OS']),
    primaryRoutes: parsePrefixes(json['PrimaryRoutes']) ?? [],
    tags: textsOf(json['Tags']),
  };
}

/**
 * Applies one `PeerChange`: absent fields keep their value. `undefined` when the change is damaged, and then nothing
 * of it may be used.
 */
export function patchNode(node: NetmapNode, change: JsonRecord): NetmapNode | undefined {
  const patch: { -readonly [K in keyof NetmapNode]?: NetmapNode[K] } = {};
  if (isPresent(change['Key'])) {
    const key = parseNodeKey(change['Key']);
    if (key === undefined) return undefined;
    patch.key = key;
  }
  if (isPresent(change['DiscoKey'])) patch.discoKey = parseDiscoKey(change['DiscoKey']);
  if (isPresent(change['Endpoints'])) patch.endpoints = parseEndpoints(change['Endpoints']);
  if (integerOf(change['DERPRegion']) > 0) patch.homeDerp = integerOf(change['DERPRegion']);
  if (typeof change['Online'] === 'boolean') patch.isOnline = change['Online'];
  if (isPresent(change['KeyExpiry'])) patch.keyExpiryUnixMs = parseTime(change['KeyExpiry']);
  if (isRecord(change['CapMap'])) patch.capabilities = new Set(Object.keys(change['CapMap']));
  return { ...node, ...patch };
}

/**
 * A node id: Go's int64, not zero. Servers count from 1, but testcontrol draws 64 random bits for its fake nodes: such
 * an id is rounded, the same way in every message, so only ids that differ by less than 1024 would be confused.
 */
export function parseNodeId(json: unknown): number | undefined {
  return typeof json === 'number' && Number.isInteger(json) && json !== 0 ? json : undefined;
}

/** RFC 3339 to Unix milliseconds; Go's zero time and any other text are `undefined`. */
export function parseTime(json: unknown): number | undefined {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))$/.exec(textOf(json));
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as number[];
  if (year === 1 || (month as number) < 1 || (month as number) > 12) return undefined;
  const days = daysFromEpoch(year as number, month as number, day as number);
  const offsetMinutes = (match[8] === '-' ? -1 : 1) * (Number(match[9] ?? 0) * 60 + Number(match[10] ?? 0));
  const minutes = days * 1440 + (hour as number) * 60 + (minute as number) - offsetMinutes;
  return minutes * 60_000 + (second as number) * 1000 + Number((match[7] ?? '').slice(0, 3).padEnd(3, '0'));
}

/** Days since 1970-01-01 in the proleptic Gregorian calendar; years are counted from March, so leap days come last. */
function daysFromEpoch(year: number, month: number, day: number): number {
  const marchYear = month > 2 ? year : year - 1;
  const marchMonth = (month + 9) % 12;
  const leapDays = Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  return marchYear * 365 + leapDays + Math.floor((marchMonth * 306 + 5) / 10) + day - 719_469;
}

function isPresent(json: unknown): boolean {
  return json !== undefined && json !== null;
}

function parseNodeKey(json: unknown): NodePublicKey | undefined {
  const key = parsePublicKey('node', textOf(json));
  return key === undefined || isZeroKey(key) ? undefined : key;
}

/** Null, the zero key and damage all mean that no direct path is possible. */
function parseDiscoKey(json: unknown): DiscoPublicKey | undefined {
  const key = parsePublicKey('disco', textOf(json));
  return key === undefined || isZeroKey(key) ? undefined : key;
}

/** Absent is empty; `undefined` when an entry cannot be read. */
function parsePrefixes(json: unknown): readonly IpPrefix[] | undefined {
  const texts = textsOf(json).slice(0, PREFIX_COUNT_MAX);
  const prefixes = parseItems(texts, parsePrefix);
  return prefixes.length === texts.length ? prefixes : undefined;
}

/**
 * From capability version 112 on, null means "the addresses". An unreadable entry is left out: less is allowed. Most
 * nodes repeat their addresses here, which are then the same objects: it halves the work of a big netmap.
 */
function parseAllowedIps(json: unknown, addressesJson: unknown, addresses: readonly IpPrefix[]): readonly IpPrefix[] {
  if (!isPresent(json)) return addresses;
  const known = textsOf(addressesJson);
  const texts = textsOf(json).slice(0, PREFIX_COUNT_MAX);
  if (texts.length === known.length && texts.every((text, i) => text === known[i])) return addresses;
  return parseItems(texts, (text) => addresses[known.indexOf(text)] ?? parsePrefix(text));
}

function parseEndpoints(json: unknown): readonly Endpoint[] {
  return parseItems(json, parseEndpoint).slice(0, ENDPOINT_COUNT_MAX);
}

/** `HomeDERP`, else the region in the legacy `DERP` text `127.3.3.40:<region>`. */
function parseHomeDerp(json: JsonRecord): number {
  const modern = integerOf(json['HomeDERP']);
  if (modern > 0) return modern;
  const legacy = /^127\.3\.3\.40:(\d{1,9})$/.exec(textOf(json['DERP']));
  return legacy === null ? 0 : Number(legacy[1]);
}

function parseCapabilities(json: JsonRecord): ReadonlySet<string> {
  return new Set([...textsOf(json['Capabilities']), ...Object.keys(recordOf(json['CapMap']))]);
}
