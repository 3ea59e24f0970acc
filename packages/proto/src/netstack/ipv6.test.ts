import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import vectors from '../../test/vectors/netstack/verified-packets.json' with { type: 'json' };
import { formatHex, parseHex } from '../bytes/hex.ts';
import { IpHeader, type PacketMemory } from './ip-header.ts';
import { decodeIpv6, encodeIpv6, encodeIpv6Fragment } from './ipv6.ts';

const packet = parseHex(vectors.echoIpv6) as Uint8Array;

function memoryOf(bytes: Uint8Array): PacketMemory {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

/** A packet with these extension headers, given as [type, bytes behind the next-header byte], and 8 payload bytes. */
function withExtensions(extensions: readonly (readonly [number, readonly number[]])[]): Uint8Array {
  const bodies = extensions.flatMap(([, rest], i) => [extensions[i + 1]?.[0] ?? 17, ...rest]);
  const bytes = new Uint8Array(40 + bodies.length + 8);
  bytes[0] = 0x60;
  bytes[5] = bodies.length + 8;
  bytes[6] = extensions[0]?.[0] ?? 17;
  bytes.set(bodies, 40);
  return bytes;
}

function decode(bytes: Uint8Array): { verdict: string; header: IpHeader } {
  const header = new IpHeader();
  return { verdict: decodeIpv6(memoryOf(bytes), 0, bytes.length, header), header };
}

const PADDING = [0, 1, 4, 0, 0, 0, 0];

describe('IPv6', () => {
  it('reads and writes the header of a packet that Linux has accepted', () => {
    const { verdict, header } = decode(packet);
    expect(verdict).toBe('ok');
    expect(header).toMatchObject({ family: 6, protocol: 58, payloadOffset: 40, payloadLength: 16, isFragment: false });
    const bytes = new Uint8Array(40);
    const addresses = { source: packet.subarray(8, 24), destination: packet.subarray(24, 40) };
    encodeIpv6(memoryOf(bytes), 0, { ...addresses, nextHeader: 58, payloadLength: 16 });
    expect(formatHex(bytes)).toBe(vectors.echoIpv6.slice(0, 80));
  });

  it('refuses a packet truncated at any length', () => {
    for (let length = 0; length < packet.length; length++) {
      expect(decodeIpv6(memoryOf(packet), 0, length, new IpHeader())).not.toBe('ok');
    }
  });

  it('walks hop-by-hop, destination and used-up routing headers', () => {
    const routing = [0, 0, 0, 0, 0, 0, 0];
    const { verdict, header } = decode(
      withExtensions([
        [0, PADDING],
        [43, routing],
        [60, PADDING],
      ]),
    );
    expect(verdict).toBe('ok');
    expect(header).toMatchObject({ protocol: 17, payloadOffset: 64, payloadLength: 8 });
  });

  it('refuses a routing header with segments left, which would make it a router', () => {
    expect(decode(withExtensions([[43, [0, 0, 1, 0, 0, 0, 0]]])).verdict).toBe('ip-bad-extension');
  });

  it('refuses a chain of more headers or bytes than anyone needs, and one that leaves the packet', () => {
    const many = Array.from({ length: 9 }, () => [60, PADDING] as const);
    expect(decode(withExtensions(many)).verdict).toBe('ip-bad-extension');
    expect(decode(withExtensions([[60, [32, ...new Array<number>(262).fill(0)]]])).verdict).toBe('ip-bad-extension');
    expect(decode(withExtensions([[60, [9, 0, 0, 0, 0, 0, 0]]])).verdict).toBe('ip-bad-extension');
  });

  it('reads back the fragment header it writes', () => {
    const property = fc.property(fc.nat(0x1fff), fc.boolean(), fc.nat(0xffffffff), (units, hasMore, id) => {
      const bytes = new Uint8Array(56);
      const memory = memoryOf(bytes);
      const addresses = { source: packet.subarray(8, 24), destination: packet.subarray(24, 40) };
      encodeIpv6(memory, 0, { ...addresses, nextHeader: 44, payloadLength: 16 });
      encodeIpv6Fragment(memory, 40, { nextHeader: 17, offset: units * 8, hasMore, id });
      const { verdict, header } = decode(bytes);
      expect(verdict).toBe('ok');
      expect(header).toMatchObject({
        protocol: 17,
        fragmentOffset: units * 8,
        hasMoreFragments: hasMore,
        fragmentId: id,
      });
      expect(header.isFragment).toBe(hasMore || units > 0);
    });
    fc.assert(property);
  });

  it('never throws at random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        decode(bytes);
      }),
    );
  });
});
