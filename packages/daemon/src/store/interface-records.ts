/** What heddle's interfaces are to be, and the journal of what is being made or removed. */

import { type IpAddress, parseAddress } from '@heddle/proto/ip/address';
import { formatPrefix, type IpPrefix, isInPrefix, parsePrefix } from '@heddle/proto/ip/prefix';
import { LINK_NAME_PATTERN, MTU_MAX, MTU_MIN } from '../schema/interface-api.ts';
import { flag, integerOf, objectOf, oneOf, optional, type Shape, taggedBy, textLike } from '../schema/shape.ts';

/** TUN devices and subnets of one machine together, and as many entries of the journal. */
export const INTERFACE_COUNT_MAX = 4096;

/** A TUN device that heddle is to have. */
export interface TunRecord {
  readonly kind: 'tun';
  /** As `LINK_NAME_PATTERN`. */
  readonly name: string;
  /** IPv4, canonical. */
  readonly address: string;
  /** 8–30. */
  readonly prefixBits: number;
  /** IPv6, canonical; with `prefixBits6` or not at all. */
  readonly address6?: string | undefined;
  /** 48–126. */
  readonly prefixBits6?: number | undefined;
  /** In bytes, 576–65535. */
  readonly mtu: number;
  /** Who may attach without being root. */
  readonly ownerUid?: number | undefined;
  /** False: the daemon itself holds the device open. */
  readonly isPersistent: boolean;
  /** 1–0x7fffffff, random. The link has it as its group (IFLA_GROUP), which tells it from a look-alike. */
  readonly mark: number;
  /** Undefined for the holder of the token. */
  readonly createdByUid?: number | undefined;
  readonly createdUnixMs: number;
}

/** A local subnet that heddle is to have. */
export interface SubnetRecord {
  readonly kind: 'subnet';
  /** Canonical, host bits clear. */
  readonly cidr: string;
  /** Of this machine, inside of `cidr`; canonical. */
  readonly address: string;
  /** Linux: `dummyN` and the like; macOS: `lo0:N`. */
  readonly link: string;
  readonly linkKind: 'dummy' | 'bridge' | 'ifb' | 'tun' | 'alias';
  /** In bytes, 576–65535. */
  readonly mtu: number;
  /** As of {@link TunRecord}. */
  readonly mark: number;
  /** Undefined for the holder of the token. */
  readonly createdByUid?: number | undefined;
  readonly createdUnixMs: number;
}

export type InterfaceRecord = TunRecord | SubnetRecord;

/** Written before the kernel is touched, removed with the change that ends it. */
export interface JournalEntry {
  readonly intent: 'make' | 'remove';
  readonly record: InterfaceRecord;
}

/** `tun/NAME` or `subnet/CIDR`: what a record is called in the database and in changes of it. */
export function interfaceKey(record: InterfaceRecord): string {
  return record.kind === 'tun' ? `tun/${record.name}` : `subnet/${record.cidr}`;
}

const unixMs = integerOf(0, 8_640_000_000_000_000);
const uid = integerOf(0, 4_294_967_294);
const mark = integerOf(1, 0x7fff_ffff);
const mtu = integerOf(MTU_MIN, MTU_MAX);
const address4 = textThat('an IPv4 address', (text) => canonicalAddress(text)?.family === 4);
const address6 = textThat('an IPv6 address in its shortest form', (text) => canonicalAddress(text)?.family === 6);
const anyAddress = textThat('an address in its shortest form', (text) => canonicalAddress(text) !== undefined);
const network = textThat('a network without host bits, in its shortest form', (text) => {
  const prefix = parsePrefix(text);
  return prefix !== undefined && formatPrefix(prefix) === text && hasNoHostBits(prefix);
});
const linkName = textLike(LINK_NAME_PATTERN, 'a name of a link');
const linkOrAlias = textThat('a name of a link, or lo0:N', (text) => {
  return LINK_NAME_PATTERN.test(text) || /^lo0:(?:0|[1-9][0-9]{0,8})$/.test(text);
});

const tunFields: Shape<TunRecord> = objectOf<TunRecord>({
  kind: oneOf(['tun']),
  name: linkName,
  address: address4,
  prefixBits: integerOf(8, 30),
  address6: optional(address6),
  prefixBits6: optional(integerOf(48, 126)),
  mtu,
  ownerUid: optional(uid),
  isPersistent: flag,
  mark,
  createdByUid: optional(uid),
  createdUnixMs: unixMs,
});

const subnetFields: Shape<SubnetRecord> = objectOf<SubnetRecord>({
  kind: oneOf(['subnet']),
  cidr: network,
  address: anyAddress,
  link: linkOrAlias,
  linkKind: oneOf(['dummy', 'bridge', 'ifb', 'tun', 'alias']),
  mtu,
  mark,
  createdByUid: optional(uid),
  createdUnixMs: unixMs,
});

const tunShape = checked(tunFields, 'prefixBits6', 'it with "address6", or neither', (tun) => {
  return (tun.address6 === undefined) === (tun.prefixBits6 === undefined);
});

const subnetShape = checked(subnetFields, 'address', 'an address inside of "cidr"', ({ cidr, address }) => {
  const prefix = parsePrefix(cidr);
  const own = parseAddress(address);
  return prefix !== undefined && own !== undefined && isInPrefix(prefix, own);
});

/** Reads a record of either kind. */
export const interfaceShape: Shape<InterfaceRecord> = taggedBy<InterfaceRecord>('kind', {
  tun: tunShape,
  subnet: subnetShape,
});

/** Reads an entry of the journal. */
export const journalShape: Shape<JournalEntry> = objectOf<JournalEntry>({
  intent: oneOf(['make', 'remove']),
  record: interfaceShape,
});

/** The longest text that is looked at. */
const TEXT_LENGTH_MAX = 64;

function textThat(expected: string, isFit: (text: string) => boolean): Shape<string> {
  return (value) => {
    const isText = typeof value === 'string' && value.length <= TEXT_LENGTH_MAX;
    return isText && isFit(value) ? { kind: 'ok', value } : { kind: 'bad', path: '', expected };
  };
}

function checked<T>(shape: Shape<T>, path: string, expected: string, isFit: (value: T) => boolean): Shape<T> {
  return (value) => {
    const result = shape(value);
    return result.kind === 'bad' || isFit(result.value) ? result : { kind: 'bad', path, expected };
  };
}

function canonicalAddress(text: string): IpAddress | undefined {
  const address = parseAddress(text);
  return address?.text === text ? address : undefined;
}

function hasNoHostBits({ address, bits }: IpPrefix): boolean {
  return address.bytes.every((byte, i) => (byte & (0xff >> Math.min(8, Math.max(0, bits - i * 8)))) === 0);
}
