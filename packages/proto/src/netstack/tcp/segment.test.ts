import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LEFT_IPV4, LEFT_IPV6, RIGHT_IPV4, RIGHT_IPV6 } from '../../../test/netstack-world.ts';
import { buildPacket, readPacket } from '../../../test/raw-tcp.ts';
import vectors from '../../../test/vectors/netstack/verified-packets.json' with { type: 'json' };
import { formatHex, parseHex } from '../../bytes/hex.ts';
import { PacketArena } from '../../bytes/packet-arena.ts';
import { createEndpoint } from '../../ip/endpoint.ts';
import { WideChecksum } from '../wide-checksum.ts';
import { Flow } from './flow.ts';
import { Ring } from './ring.ts';
import { decodeSegment, Segment } from './segment.ts';
import { SegmentWriter } from './segment-writer.ts';

const arena = new PacketArena(new Uint8Array(8 * 2048));
const writer = new SegmentWriter(arena, new WideChecksum(arena));

function write(flow: Flow, segment: Segment, ring: Ring | undefined): Uint8Array {
  const slot = writer.write(flow, segment, ring);
  const packet = arena.packet(slot).slice();
  arena.free(slot);
  return packet;
}

function decode(bytes: Uint8Array, start: number): Segment | undefined {
  const segment = new Segment();
  const memory = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
  return decodeSegment(memory, start, bytes.length - start, segment) ? segment : undefined;
}

describe('TCP segments', () => {
  it('are written byte for byte as a builder without tricks writes them, whatever the payload', () => {
    const flow = new Flow(createEndpoint(LEFT_IPV4, 50_000), createEndpoint(RIGHT_IPV4, 443));
    const property = fc.property(
      fc.uint8Array({ maxLength: 1228 }),
      fc.nat(0xffffffff),
      fc.nat(0xffff),
      (payload, seq, window) => {
        const ring = new Ring(seq | 0, 65_536);
        ring.reserve(payload.length, 0);
        ring.store(seq | 0, payload, 0, payload.length);
        const segment = new Segment();
        Object.assign(segment, {
          sequence: seq | 0,
          acknowledgment: 9,
          flags: 0x18,
          window,
          payloadLength: payload.length,
        });
        const expected = buildPacket({
          sourcePort: 50_000,
          destinationPort: 443,
          sequence: seq,
          acknowledgment: 9,
          flags: 'PA',
          window,
          options: [],
          payload,
        });
        expect(formatHex(write(flow, segment, ring))).toBe(formatHex(expected));
      },
    );
    fc.assert(property, { numRuns: 60 });
  });

  it('carry a right checksum in IPv6', () => {
    const flow = new Flow(createEndpoint(LEFT_IPV6, 1), createEndpoint(RIGHT_IPV6, 2));
    const segment = new Segment();
    segment.flags = 0x10;
    const packet = write(flow, segment, undefined);
    expect(readPacket(packet)).toMatchObject({ sourcePort: 1, destinationPort: 2, flags: 'A' });
    expect(formatHex(packet.subarray(0, 40))).toBe(
      `6000000000140640${formatHex(LEFT_IPV6.bytes)}${formatHex(RIGHT_IPV6.bytes)}`,
    );
  });

  it('are read from a SYN that Linux has accepted', () => {
    const segment = decode(parseHex(vectors.tcpSyn) as Uint8Array, 20);
    expect(segment).toMatchObject({ sourcePort: 49_152, destinationPort: 80, sequence: 1, flags: 2, window: 64_240 });
    expect([segment?.payloadLength, segment?.sequenceLength, segment?.options.mss]).toEqual([0, 1, 1240]);
  });

  it('are refused when truncated inside the header', () => {
    const bytes = parseHex(vectors.tcpSyn) as Uint8Array;
    for (let length = 20; length < 60; length++) expect(decode(bytes.slice(0, length), 20)).toBeUndefined();
  });

  it('never throw when they are random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const segment = decode(bytes.slice(), 0);
        if (segment !== undefined) expect(segment.payloadOffset + segment.payloadLength).toBe(bytes.length);
      }),
    );
  });

  it('leave the arena alone when it is exhausted', () => {
    const slots = Array.from({ length: arena.freeCount }, () => arena.allocate());
    const flow = new Flow(createEndpoint(LEFT_IPV4, 1), createEndpoint(RIGHT_IPV4, 2));
    expect(writer.write(flow, new Segment(), undefined)).toBe(-1);
    for (const slot of slots) arena.free(slot);
  });
});
