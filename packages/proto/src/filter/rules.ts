import { type IpAddress, parseAddress } from '../ip/address.ts';
import { type IpPrefix, parsePrefix } from '../ip/prefix.ts';

/** Addresses `first` to `last`, both included, of one family. Never reversed. */
export interface AddressRange {
  readonly family: 4 | 6;
  /** 4 or 16 bytes in network order; must not be changed. */
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

/** Where a rule lets packets go. Ports are inclusive; `firstPort` behind `lastPort` matches nothing. */
export interface FilterDestination {
  readonly range: AddressRange;
  readonly firstPort: number;
  readonly lastPort: number;
}

/** One permission of the tailnet's policy. Rules only allow, so their order means nothing. */
export interface FilterRule {
  /** IP protocol numbers 0–255; an empty list matches nothing. */
  readonly protocols: readonly number[];
  readonly sources: readonly AddressRange[];
  /** Node capabilities: a peer that has one of them is a source too. */
  readonly sourceCapabilities: readonly string[];
  /** Empty for rules that grant application capabilities only: they let no packet in. */
  readonly destinations: readonly FilterDestination[];
}

// docs/spec/filter.md#protocols
const DEFAULT_PROTOCOLS = [6, 17, 1, 58] as const;

/**
 * Reads the `FilterRule` list of a MapResponse (docs/spec/filter.md#rules). Never throws: an entry that cannot be read
 * is left out and the rest kept, so an error can only close what the policy meant to open. A rule with the legacy
 * SrcBits or Bits field would mean *wider* blocks than its addresses say: then the whole list is refused, as `[]`.
 * The size is bounded by the message the list came in.
 */
export function parseFilterRules(json: unknown): FilterRule[] {
  if (!Array.isArray(json)) return [];
  const rules: FilterRule[] = [];
  for (const item of json) {
    if (!isRecord(item)) continue;
    if (hasLegacyBits(item)) return [];
    rules.push(parseRule(item));
  }
  return rules;
}

/** The range of a CIDR block; host bits of its address are ignored. */
export function rangeOfPrefix(prefix: IpPrefix): AddressRange {
  const first = prefix.address.bytes.slice();
  const last = prefix.address.bytes.slice();
  for (let i = 0; i < first.length; i++) {
    const fixedBits = Math.min(8, Math.max(0, prefix.bits - 8 * i));
    const hostMask = 0xff >> fixedBits;
    first[i] = (first[i] as number) & ~hostMask;
    last[i] = (last[i] as number) | hostMask;
  }
  return { family: prefix.address.family, first, last };
}

/** Compares the addresses at two offsets as big-endian numbers: negative, zero or positive. */
export function compareBytes(a: Uint8Array, aOffset: number, b: Uint8Array, bOffset: number, length: number): number {
  for (let i = 0; i < length; i++) {
    const difference = (a[aOffset + i] as number) - (b[bOffset + i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

function parseRule(item: Record<string, unknown>): FilterRule {
  const sources: AddressRange[] = [];
  const sourceCapabilities: string[] = [];
  for (const entry of listOf(item['SrcIPs'])) {
    if (typeof entry !== 'string') continue;
    if (entry.startsWith('cap:')) sourceCapabilities.push(entry.slice(4));
    else sources.push(...parseRanges(entry));
  }
  return {
    protocols: parseProtocols(item['IPProto']),
    sources,
    sourceCapabilities,
    destinations: listOf(item['DstPorts']).flatMap(parseDestination),
  };
}

function parseProtocols(json: unknown): readonly number[] {
  const list = listOf(json);
  if (list.length === 0) return DEFAULT_PROTOCOLS;
  return list.filter((p): p is number => typeof p === 'number' && Number.isInteger(p) && p >= 0 && p <= 255);
}

function parseDestination(item: unknown): FilterDestination[] {
  if (!isRecord(item) || typeof item['IP'] !== 'string') return [];
  const ports = isRecord(item['Ports']) ? item['Ports'] : {};
  const firstPort = parsePort(ports['First']);
  const lastPort = parsePort(ports['Last']);
  if (firstPort === undefined || lastPort === undefined) return [];
  return parseRanges(item['IP']).map((range) => ({ range, firstPort, lastPort }));
}

/** An absent number is Go's zero value. */
function parsePort(json: unknown): number | undefined {
  if (json === undefined || json === null) return 0;
  return typeof json === 'number' && Number.isInteger(json) && json >= 0 && json <= 0xffff ? json : undefined;
}

/** `*`, an address, a block without host bits, or `first-last`; the empty list for any other text. */
function parseRanges(text: string): AddressRange[] {
  if (text === '*') return [rangeOfBlock('0.0.0.0/0'), rangeOfBlock('::/0')];
  const range = text.includes('-') ? parseSpan(text) : parseBlock(text);
  return range === undefined ? [] : [range];
}

function parseSpan(text: string): AddressRange | undefined {
  const [firstText, lastText, extra] = text.split('-');
  const first = parseAddress(firstText ?? '');
  const last = parseAddress(lastText ?? '');
  if (first === undefined || last === undefined || extra !== undefined) return undefined;
  if (first.family !== last.family || isBehind(first, last)) return undefined;
  return { family: first.family, first: first.bytes, last: last.bytes };
}

function parseBlock(text: string): AddressRange | undefined {
  const prefix = parsePrefix(text);
  if (prefix === undefined) return undefined;
  const range = rangeOfPrefix(prefix);
  // Host bits show that the writer meant something else than the block; which, nobody can know.
  return compareBytes(range.first, 0, prefix.address.bytes, 0, range.first.length) === 0 ? range : undefined;
}

function rangeOfBlock(text: string): AddressRange {
  return rangeOfPrefix(parsePrefix(text) as IpPrefix);
}

function isBehind(first: IpAddress, last: IpAddress): boolean {
  return compareBytes(first.bytes, 0, last.bytes, 0, first.bytes.length) > 0;
}

function hasLegacyBits(item: Record<string, unknown>): boolean {
  if (listOf(item['SrcBits']).length > 0) return true;
  return listOf(item['DstPorts']).some((d) => isRecord(d) && d['Bits'] !== undefined && d['Bits'] !== null);
}

function listOf(json: unknown): readonly unknown[] {
  return Array.isArray(json) ? json : [];
}

function isRecord(json: unknown): json is Record<string, unknown> {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}
