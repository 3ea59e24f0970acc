import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatBase64, parseBase64 } from '../src/bytes/base64.ts';
import { parseHex } from '../src/bytes/hex.ts';
import { decodeUtf8, encodeUtf8 } from '../src/bytes/utf8.ts';
import { EMPTY_DERP_MAP, updateDerpMap } from '../src/control/derp-map.ts';
import { parseDnsConfig } from '../src/control/dns-config.ts';
import { parseItems } from '../src/control/json-value.ts';
import { NetmapBuilder } from '../src/control/netmap-builder.ts';
import { parseNode, parseNodeId, parseTime } from '../src/control/node-json.ts';
import { parsePingRequest } from '../src/control/ping-request.ts';
import { parseRegisterResponse } from '../src/control/register-response.ts';
import { parseServerKey } from '../src/control/server-key.ts';
import { nobleProvider } from '../src/crypto/noble-provider.ts';
import {
  decodeHealth,
  decodePeerGone,
  decodeRestarting,
  decodeServerKey,
  SERVER_KEY_MAGIC,
} from '../src/derp/frames.ts';
import { decodeClientInfo, decodeServerInfo, encodeClientInfo, encodeServerInfo } from '../src/derp/login.ts';
import { decodeEndpointList, decodeEndpointRecord, encodeEndpointList } from '../src/disco/endpoint-record.ts';
import { decodeDiscoMessage } from '../src/disco/message.ts';
import { decodeRelayMessage } from '../src/disco/relay-message.ts';
import { PacketHeader } from '../src/filter/packet-header.ts';
import { parseFilterRules } from '../src/filter/rules.ts';
import { decodeAddress, parseAddress } from '../src/ip/address.ts';
import { parseEndpoint } from '../src/ip/endpoint.ts';
import { parsePrefix } from '../src/ip/prefix.ts';
import { parsePrivateKey } from '../src/keys/private-key.ts';
import { decodePublicKey, parsePublicKey } from '../src/keys/public-key.ts';
import { decodeIcmp, IcmpMessage } from '../src/netstack/icmp.ts';
import { IpHeader } from '../src/netstack/ip-header.ts';
import { decodeIpv4 } from '../src/netstack/ipv4.ts';
import { decodeIpv6 } from '../src/netstack/ipv6.ts';
import { decodeOptions, SegmentOptions } from '../src/netstack/tcp/options.ts';
import { decodeSegment, Segment } from '../src/netstack/tcp/segment.ts';
import { classifyDatagram } from '../src/path/classify.ts';
import {
  decodeBindingRequest,
  decodeBindingResponse,
  encodeBindingRequest,
  encodeBindingResponse,
} from '../src/stun/stun.ts';
import { decodeTsmp } from '../src/tsmp/tsmp.ts';
import { innerPacketLength } from '../src/wireguard/inner-packet.ts';
import { classifyMessage } from '../src/wireguard/messages.ts';
import { seededRng } from './seeded-rng.ts';

// What every codec owes to bytes of strangers: no throw, and no look behind their end. Their meaning is tested beside
// each codec; the streams (frame readers, Noise records) are cut there too.

const filled = (count: number, value = 7): Uint8Array => new Uint8Array(count).fill(value);
const BOX_KEY = filled(32, 3);
const ENDPOINTS = ['192.0.2.1:41641', '[2001:db8::1]:1'].map((text) => parseEndpoint(text) as never);
const tools = { crypto: nobleProvider, rng: seededRng(1) };

/** A valid IPv4 packet: TSMP ping, ICMP echo or TCP, all with a right header checksum. */
function ipv4(protocol: number, payload: Uint8Array): Uint8Array {
  const packet = Uint8Array.of(
    0x45,
    0,
    0,
    20 + payload.length,
    0,
    0,
    0,
    0,
    64,
    protocol,
    0,
    0,
    100,
    64,
    0,
    1,
    100,
    64,
    0,
    2,
  );
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += ((packet[i] as number) << 8) | (packet[i + 1] as number);
  sum = (sum & 0xffff) + (sum >> 16);
  packet[10] = (~sum >> 8) & 0xff;
  packet[11] = ~sum & 0xff;
  return Uint8Array.of(...packet, ...payload);
}

function ipv6(protocol: number, payload: Uint8Array): Uint8Array {
  const head = Uint8Array.of(0x60, 0, 0, 0, 0, payload.length, protocol, 64);
  return Uint8Array.of(...head, ...filled(16, 0xfd), ...filled(16, 0xfc), ...payload);
}

const ICMP = Uint8Array.of(8, 0, 0xf7, 0xff, 0, 0, 0, 0);
const TCP = Uint8Array.of(0, 80, 0, 81, ...filled(8), 0x80, 0x10, 1, 1, 0, 0, 0, 0, 1, 1, 8, 10, ...filled(8));
const PACKETS = [ipv4(1, ICMP), ipv4(6, TCP), ipv4(99, filled(9, 0x70)), ipv6(6, TCP), ipv6(60, filled(16, 0))];

/** A decoder of `memory[start .. start+length)` as one of bytes; what it found is compared by value. */
type At = (bytes: Uint8Array, offset: number, length: number) => unknown;
const memoryOf = (bytes: Uint8Array) => ({
  bytes,
  view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
});
const whole =
  (decode: (bytes: Uint8Array) => unknown): At =>
  (bytes, offset, length) =>
    decode(bytes.subarray(offset, offset + length));
const ip =
  (decode: typeof decodeIpv4): At =>
  (bytes, offset, length) => {
    const header = new IpHeader();
    const result = decode(memoryOf(bytes), offset, length, header);
    return result === 'ok' ? header : result;
  };
const icmp: At = (bytes, offset, length) => {
  const header = new IpHeader();
  const message = new IcmpMessage();
  const memory = memoryOf(bytes);
  const isIp =
    decodeIpv4(memory, offset, length, header) === 'ok' || decodeIpv6(memory, offset, length, header) === 'ok';
  return isIp && decodeIcmp(memory, header, message) && message;
};

const BYTE_CODECS: Readonly<Record<string, readonly [decode: At, ...samples: Uint8Array[]]>> = {
  decodeUtf8: [whole(decodeUtf8), encodeUtf8('Grüße, 世界 🎉')],
  decodeBindingRequest: [whole(decodeBindingRequest), encodeBindingRequest(filled(12))],
  decodeBindingResponse: [
    whole(decodeBindingResponse),
    ...ENDPOINTS.map((endpoint) => encodeBindingResponse(filled(12), endpoint)),
  ],
  decodeDiscoMessage: [
    whole(decodeDiscoMessage),
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((type) => Uint8Array.of(type, 0, ...filled(126))),
  ],
  decodeRelayMessage: [
    whole(decodeRelayMessage),
    ...[4, 5, 6, 7, 8, 9].map((type) => Uint8Array.of(type, 0, ...filled(126))),
  ],
  decodeEndpointList: [
    whole((bytes) => decodeEndpointList(bytes, 0)),
    encoded((out) => encodeEndpointList(ENDPOINTS, out, 0), 36),
  ],
  decodeServerKey: [whole(decodeServerKey), Uint8Array.of(...SERVER_KEY_MAGIC, ...filled(32))],
  decodePeerGone: [whole(decodePeerGone), filled(33, 1)],
  decodeHealth: [whole(decodeHealth), encodeUtf8('duplicate client ∆')],
  decodeRestarting: [whole(decodeRestarting), filled(8)],
  decodeClientInfo: [
    whole((bytes) => decodeClientInfo(bytes, BOX_KEY, nobleProvider)),
    encodeClientInfo(filled(32) as never, BOX_KEY, tools),
  ],
  decodeServerInfo: [
    whole((bytes) => decodeServerInfo(bytes, BOX_KEY, nobleProvider)),
    encodeServerInfo(BOX_KEY, tools),
  ],
  decodeTsmp: [decodeTsmp, ...PACKETS],
  decodeIpv4: [ip(decodeIpv4), ...PACKETS],
  decodeIpv6: [ip(decodeIpv6), ...PACKETS],
  decodeIcmp: [icmp, ...PACKETS],
  decodeSegment: [
    (bytes, offset, length) => {
      const segment = new Segment();
      return decodeSegment(memoryOf(bytes), offset, length, segment) && segment;
    },
    TCP,
  ],
  decodeOptions: [
    (bytes, offset, length) => {
      const options = new SegmentOptions();
      decodeOptions(memoryOf(bytes), offset, length, options);
      return options;
    },
    Uint8Array.of(2, 4, 5, 0, 4, 2, 8, 10, ...filled(8), 1, 3, 3, 7, 5, 18, ...filled(16), 0),
    Uint8Array.of(1, 1, 8, 10, ...filled(8)),
  ],
  PacketHeader: [
    (bytes, offset, length) => {
      const header = new PacketHeader();
      return header.decode(bytes, offset, length) ?? header;
    },
    ...PACKETS,
  ],
  innerPacketLength: [innerPacketLength, ...PACKETS],
  classifyDatagram: [classifyDatagram, encodeBindingRequest(filled(12)), Uint8Array.of(4, 0, 0, 0, ...filled(28))],
  classifyMessage: [
    classifyMessage,
    Uint8Array.of(1, 0, 0, 0, ...filled(144)),
    Uint8Array.of(4, 0, 0, 0, ...filled(28)),
  ],
};

const HEX = 'ab'.repeat(32);
const TEXT_CODECS: Readonly<Record<string, readonly [parse: (text: string) => unknown, ...samples: string[]]>> = {
  parseHex: [parseHex, HEX],
  parseBase64: [parseBase64, formatBase64(filled(10))],
  parseAddress: [parseAddress, '100.64.0.1', 'fd7a:115c:a1e0::1', '::ffff:1.2.3.4'],
  parsePrefix: [parsePrefix, '100.64.0.0/10', 'fd7a::/48'],
  parseEndpoint: [parseEndpoint, '192.0.2.1:41641', '[2001:db8::1]:1'],
  parsePublicKey: [(text) => parsePublicKey('node', text), `nodekey:${HEX}`],
  parsePrivateKey: [(text) => parsePrivateKey('node', text, nobleProvider)?.publicKey, `privkey:${HEX}`],
  parseServerKey: [parseServerKey, JSON.stringify({ publicKey: `mkey:${HEX}` })],
  parseTime: [parseTime, '2026-01-02T03:04:05.678Z', '2026-01-02T03:04:05+01:00'],
};

const NODE = {
  ID: 1,
  StableID: 'n1',
  Name: 'one.lab.test.',
  Key: `nodekey:${HEX}`,
  DiscoKey: `discokey:${HEX}`,
  KeyExpiry: '2030-01-01T00:00:00Z',
  Addresses: ['100.64.0.1/32'],
  AllowedIPs: ['100.64.0.1/32'],
  Endpoints: ['192.0.2.1:41641'],
  HomeDERP: 1,
  Hostinfo: { OS: 'linux', Hostname: 'one', Services: [{ Proto: 'peerapi4', Port: 1 }] },
  CapMap: { 'https://example.com/cap': [1] },
  PrimaryRoutes: ['10.0.0.0/8'],
  Tags: ['tag:a'],
  Online: true,
};
const DERP_MAP = {
  Regions: {
    1: {
      RegionID: 1,
      RegionCode: 'a',
      RegionName: 'A',
      Nodes: [{ Name: '1a', RegionID: 1, HostName: 'a.test', DERPPort: 443 }],
    },
  },
  HomeParams: { RegionScore: { 1: 0.5 } },
  OmitDefaultRegions: false,
};
const DNS = {
  Proxied: true,
  Domains: ['lab.test'],
  Resolvers: [{ Addr: '1.1.1.1' }],
  Routes: { 'a.test.': [{ Addr: '1.1.1.1' }] },
  ExtraRecords: [{ Name: 'x.test', Type: 'A', Value: '1.2.3.4' }],
};
const FILTER = [
  {
    SrcIPs: ['*'],
    DstPorts: [{ IP: '*', Ports: { First: 0, Last: 65535 } }],
    IPProto: [6],
    CapGrant: [{ Dsts: ['10.0.0.0/8'], CapMap: { a: [1] } }],
  },
];
const PING = { URL: 'https://a.test/c2n', Types: 'TSMP', IP: '100.64.0.1', Payload: 'AAAA', URLIsNoise: true };
const MAP_RESPONSE = {
  Node: NODE,
  Peers: [{ ...NODE, ID: 2 }],
  PeersChanged: [{ ...NODE, ID: 3 }],
  PeersRemoved: [2],
  PeersChangedPatch: [
    { NodeID: 3, DERPRegion: 2, Endpoints: ['192.0.2.1:1'], Online: false, LastSeen: '2026-01-01T00:00:00Z' },
  ],
  PeerSeenChange: { 3: true },
  OnlineChange: { 3: true },
  DERPMap: DERP_MAP,
  DNSConfig: DNS,
  PacketFilter: FILTER,
  PacketFilters: { base: FILTER },
  PingRequest: PING,
  Health: ['x'],
  DisplayMessages: { a: { Title: 't', Text: 'x', Severity: 'low' } },
  Debug: { SleepSeconds: 1 },
  ControlTime: '2026-01-01T00:00:00Z',
  Domain: 'lab.test',
  KeepAlive: false,
};

const JSON_CODECS: Readonly<Record<string, readonly [parse: (json: unknown) => unknown, sample: unknown]>> = {
  parseNode: [parseNode, NODE],
  parseNodeId: [parseNodeId, 1],
  parseItems: [(json) => parseItems(json, parseAddress), ['1.2.3.4', '::1']],
  parseDnsConfig: [parseDnsConfig, DNS],
  parseFilterRules: [parseFilterRules, FILTER],
  parsePingRequest: [parsePingRequest, PING],
  parseRegisterResponse: [
    parseRegisterResponse,
    {
      User: { ID: 1 },
      Login: {},
      NodeKeyExpired: false,
      MachineAuthorized: true,
      AuthURL: 'https://a.test',
      Error: '',
    },
  ],
  updateDerpMap: [(json) => updateDerpMap(EMPTY_DERP_MAP, json), DERP_MAP],
  NetmapBuilder: [
    (json) => {
      const builder = new NetmapBuilder(() => 1_800_000_000_000);
      builder.apply(MAP_RESPONSE);
      builder.apply(json);
      return builder.handleTimeout();
    },
    MAP_RESPONSE,
  ],
};

/** Decoders whose caller has checked the length, as their comments say. */
const OF_CHECKED_LENGTH = ['decodeAddress', 'decodeEndpointRecord', 'decodePublicKey'];

describe('a decoder of bytes', () => {
  const cases = Object.entries(BYTE_CODECS).map(([name, [decode, ...samples]]) => ({ name, decode, samples }));

  it.each(cases)('$name: a truncation at any length neither throws nor reads behind it', ({ decode, samples }) => {
    for (const sample of samples) {
      for (let length = 0; length <= sample.length; length++)
        expectSameWhateverFollows(decode, sample.subarray(0, length));
    }
  });

  it.each(cases)('$name: random bytes neither throw nor make it read behind them', ({ decode, samples }) => {
    const sample = fc.constantFrom(...samples);
    const damaged = fc.tuple(sample, fc.nat(), fc.nat(255)).map(([bytes, at, value]) => {
      const copy = bytes.slice();
      copy[at % copy.length] = value;
      return copy;
    });
    const any = fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged);
    fc.assert(fc.property(any, (bytes) => expectSameWhateverFollows(decode, bytes)));
  });
});

describe('a parser of text', () => {
  const cases = Object.entries(TEXT_CODECS).map(([name, [parse, ...samples]]) => ({ name, parse, samples }));

  it.each(cases)('$name: any text, and any piece of a good one, never throws', ({ parse, samples }) => {
    for (const text of samples) {
      expect(parse(text)).toBeDefined();
      for (let length = 0; length < text.length; length++) parse(text.slice(0, length));
    }
    const spliced = fc
      .tuple(fc.constantFrom(...samples), fc.nat(80), fc.string({ unit: 'binary', maxLength: 3 }))
      .map(([text, at, piece]) => text.slice(0, at) + piece + text.slice(at));
    fc.assert(fc.property(fc.oneof(fc.string({ unit: 'binary' }), spliced), (text) => void parse(text)));
  });
});

describe('a parser of JSON', () => {
  const cases = Object.entries(JSON_CODECS).map(([name, [parse, sample]]) => ({ name, parse, sample }));
  // Names that mean something to JavaScript: an object with its own `toString` cannot be turned into a number or a text.
  const names = fc.constantFrom('toString', 'valueOf', '__proto__', 'constructor', 'length', 'ID', '0');
  const odd = fc.oneof(
    fc.constantFrom(null, true, '', 'x', -1, 0.5, 1e300, 2 ** 53, [], {}, [null], [[]], JSON.parse('{"__proto__":1}')),
    fc.dictionary(names, fc.jsonValue({ maxDepth: 1 })),
    fc.jsonValue(),
  );

  it.each(cases)('$name: any value, and any other value in place of one field, never throws', ({ parse, sample }) => {
    expect(() => parse(sample)).not.toThrow();
    for (const json of [undefined, { toString: 1, valueOf: 1 }]) parse(json);
    fc.assert(fc.property(odd, (json) => void parse(json)));
    const paths = pathsOf(sample);
    fc.assert(
      fc.property(fc.constantFrom(...paths), odd, (path, json) => void parse(replaced(sample, path, json))),
      { numRuns: 1000 },
    );
    for (const path of paths) parse(replaced(sample, path, { toString: 1, valueOf: 1 }));
  });
});

describe('the lists above', () => {
  it('have every decoder and parser of this package', () => {
    const source = fileURLToPath(new URL('../src/', import.meta.url));
    const names = readdirSync(source, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
      .flatMap((path) => [...readFileSync(source + path, 'utf8').matchAll(/^export function ((?:decode|parse)\w+)/gm)])
      .map((match) => match[1] as string);
    const listed = [BYTE_CODECS, TEXT_CODECS, JSON_CODECS].flatMap(Object.keys);
    expect(names.filter((name) => !listed.includes(name)).sort()).toEqual(OF_CHECKED_LENGTH);
  });

  it('leave out only what is told a length that is there', () => {
    expect(decodeAddress(filled(4, 1), 0, 4).text).toBe('1.1.1.1');
    expect(decodeEndpointRecord(filled(18, 1), 0).port).toBe(0x0101);
    for (let length = 0; length < 32; length++)
      expect(() => decodePublicKey('node', filled(length))).toThrow(RangeError);
  });
});

/** Decodes the bytes in the middle of zeros and in the middle of ones: the answer must be the same. */
function expectSameWhateverFollows(decode: At, bytes: Uint8Array): void {
  const results = [0x00, 0xff].map((value) => {
    const around = filled(8 + bytes.length + 64, value);
    around.set(bytes, 8);
    return decode(around, 8, bytes.length);
  });
  expect(results[0]).toEqual(results[1]);
}

function encoded(write: (out: Uint8Array) => void, length: number): Uint8Array {
  const out = new Uint8Array(length);
  write(out);
  return out;
}

type Path = readonly string[];

function pathsOf(json: unknown): Path[] {
  if (typeof json !== 'object' || json === null) return [[]];
  return [[], ...Object.entries(json).flatMap(([name, value]) => pathsOf(value).map((path) => [name, ...path]))];
}

function replaced(json: unknown, [name, ...rest]: Path, value: unknown): unknown {
  if (name === undefined) return value;
  const copy = (Array.isArray(json) ? [...json] : { ...(json as object) }) as Record<string, unknown>;
  copy[name] = replaced(copy[name], rest, value);
  return copy;
}
