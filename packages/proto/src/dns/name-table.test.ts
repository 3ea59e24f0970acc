import { describe, expect, test } from 'vitest';
import { EMPTY_DERP_MAP } from '../control/derp-map.ts';
import { type DnsConfig, parseDnsConfig } from '../control/dns-config.ts';
import type { Netmap, NetmapNode } from '../control/netmap.ts';
import { type IpAddress, parseAddress } from '../ip/address.ts';
import { parsePrefix } from '../ip/prefix.ts';
import { decodePublicKey } from '../keys/public-key.ts';
import { isTailnetAddress, NameTable } from './name-table.ts';

function createNode(id: number, name: string, ...addresses: readonly string[]): NetmapNode {
  const prefixes = addresses.map((text) => parsePrefix(text)!);
  return {
    id,
    stableId: `${id}`,
    name,
    key: decodePublicKey('node', new Uint8Array(32).fill(id)),
    discoKey: undefined,
    addresses: prefixes,
    allowedIps: prefixes,
    endpoints: [],
    homeDerp: 0,
    isOnline: true,
    isExpired: false,
    keyExpiryUnixMs: undefined,
    isJailed: false,
    isWireGuardOnly: false,
    capabilities: new Set(),
    hostname: '',
    os: 'linux',
    primaryRoutes: [],
    tags: [],
  };
}

function createNetmap(dns: DnsConfig, self: NetmapNode, ...peers: readonly NetmapNode[]): Netmap {
  return {
    self,
    peers: new Map(peers.map((peer) => [peer.id, peer])),
    derpMap: EMPTY_DERP_MAP,
    dns,
    filterRules: [],
    health: [],
    domain: '',
  };
}

const DNS = parseDnsConfig({
  Proxied: true,
  Domains: ['ts.test', 'corp.example'],
  Routes: { 'split.example': [{ Addr: '10.0.0.1' }], 'local.example.': [] },
  ExtraRecords: [
    { Name: 'grafana.corp.example', Type: 'A', Value: '100.64.0.9' },
    { Name: 'grafana.corp.example', Type: 'AAAA', Value: 'fd7a:115c:a1e0::9' },
    { Name: 'Plain.example.', Value: '10.1.2.3' },
    { Name: 'text.example', Type: 'TXT', Value: 'hello' },
    { Name: 'node-b.ts.test', Type: 'A', Value: '100.64.0.200' },
  ],
});
const SELF = createNode(1, 'node-a.ts.test.', '100.64.0.1/32', 'fd7a:115c:a1e0::1/128');
const PEER = createNode(2, 'node-b.ts.test.', 'fd7a:115c:a1e0::2/128', '100.64.0.2/32');
const SHARED = createNode(3, 'other.elsewhere.test.', '100.64.0.3/32');

function table(): NameTable {
  return new NameTable(createNetmap(DNS, SELF, PEER, SHARED));
}

function texts(addresses: readonly IpAddress[]): string[] {
  return addresses.map(({ text }) => text);
}

describe('resolve', () => {
  test.each([
    ['other.elsewhere.test', ['100.64.0.3']],
    ['other.elsewhere.test.', ['100.64.0.3']],
    ['node-a', ['100.64.0.1', 'fd7a:115c:a1e0::1']],
    ['NODE-A.', ['100.64.0.1', 'fd7a:115c:a1e0::1']],
    ['Node-A.TS.Test.', ['100.64.0.1', 'fd7a:115c:a1e0::1']],
    ['grafana', ['100.64.0.9', 'fd7a:115c:a1e0::9']],
    ['grafana.corp.example', ['100.64.0.9', 'fd7a:115c:a1e0::9']],
    ['plain.example', ['10.1.2.3']],
    ['192.0.2.7', ['192.0.2.7']],
    ['2001:DB8::1', ['2001:db8::1']],
    ['text.example', []],
    ['other', []],
    ['unknown.ts.test', []],
    ['ts.test', []],
    ['', []],
    ['.', []],
    ['node-a..', []],
  ])('%s', (host, expected) => {
    expect(texts(table().resolve(host))).toEqual(expected);
  });

  test('puts IPv4 first and adds records to nodes', () => {
    expect(texts(table().resolve('node-b'))).toEqual(['100.64.0.2', '100.64.0.200', 'fd7a:115c:a1e0::2']);
  });

  test('a peer called localhost is not reached by that word alone', () => {
    const names = new NameTable(createNetmap(DNS, SELF, createNode(4, 'localhost.ts.test.', '100.64.0.4/32')));
    expect(names.resolve('localhost')).toEqual([]);
    expect(texts(names.resolve('localhost.ts.test'))).toEqual(['100.64.0.4']);
  });

  test('of two nodes with one name the first is meant', () => {
    const names = new NameTable(createNetmap(DNS, SELF, PEER, createNode(5, 'node-b.ts.test.', '100.64.0.5/32')));
    expect(texts(names.resolve('node-b'))).not.toContain('100.64.0.5');
  });

  test('works without search domains, from the own name', () => {
    const names = new NameTable(createNetmap(parseDnsConfig(null), SELF, PEER));
    expect(texts(names.resolve('node-b'))).toEqual(['100.64.0.2', 'fd7a:115c:a1e0::2']);
  });

  test('an expired node knows no names, but still reads addresses', () => {
    const names = new NameTable(createNetmap(DNS, { ...SELF, isExpired: true }, PEER));
    expect(names.resolve('node-b')).toEqual([]);
    expect(texts(names.resolve('100.64.0.2'))).toEqual(['100.64.0.2']);
    expect(names.isInTailnet('node-b.ts.test')).toBe(true);
  });
});

test('nameOf gives the full name of nodes only', () => {
  const nameOf = (text: string) => table().nameOf(parseAddress(text)!);
  expect(nameOf('100.64.0.2')).toBe('node-b.ts.test');
  expect(nameOf('fd7a:115c:a1e0::1')).toBe('node-a.ts.test');
  expect(nameOf('100.64.0.9')).toBeUndefined();
});

test.each([
  ['node-b', true],
  ['unknown.ts.test', true],
  ['ts.test.', true],
  ['nots.test', false],
  ['a.local.example', true],
  ['a.split.example', false],
  ['plain.example', true],
  ['example.com', false],
  ['printer', false],
  ['localhost', false],
  ['100.64.0.77', true],
  ['100.115.92.7', false],
  ['10.0.0.1', false],
  ['fd7a:115c:a1e0::53', true],
  ['fd7a:115c:a1e1::53', false],
])('isInTailnet(%s) is %s', (host, expected) => {
  expect(table().isInTailnet(host)).toBe(expected);
});

test('isTailnetAddress knows both ranges and the exception', () => {
  expect(isTailnetAddress(parseAddress('100.127.255.255')!)).toBe(true);
  expect(isTailnetAddress(parseAddress('100.128.0.0')!)).toBe(false);
  expect(isTailnetAddress(parseAddress('100.115.93.255')!)).toBe(false);
  expect(isTailnetAddress(parseAddress('100.115.94.0')!)).toBe(true);
});
