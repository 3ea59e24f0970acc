import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import vectors from '../../test/vectors/netstack/verified-packets.json' with { type: 'json' };
import { formatHex, parseHex } from '../bytes/hex.ts';
import { addToChecksum, finishChecksum } from '../ip/checksum.ts';
import { IpHeader, type PacketMemory } from './ip-header.ts';
import { decodeIpv4, encodeIpv4 } from './ipv4.ts';

const packet = parseHex(vectors.tcpSyn) as Uint8Array;

function memoryOf(bytes: Uint8Array): PacketMemory {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

describe('IPv4', () => {
  it('reads the header of a packet that Linux has accepted', () => {
    const header = new IpHeader();
    expect(decodeIpv4(memoryOf(packet), 0, packet.length, header)).toBe('ok');
    expect(header).toMatchObject({ family: 4, protocol: 6, payloadOffset: 20, payloadLength: 40, isFragment: false });
    expect([header.sourceOffset, header.destinationOffset]).toEqual([12, 16]);
  });

  it('writes the same header', () => {
    const bytes = new Uint8Array(20);
    encodeIpv4(memoryOf(bytes), 0, {
      source: packet.subarray(12, 16),
      destination: packet.subarray(16, 20),
      protocol: 6,
      payloadLength: 40,
      identification: 0,
      fragmentWord: 0,
    });
    expect(formatHex(bytes)).toBe(vectors.tcpSyn.slice(0, 40));
  });

  it('refuses a packet truncated at any length', () => {
    for (let length = 0; length < packet.length; length++) {
      const verdict = decodeIpv4(memoryOf(packet), 0, length, new IpHeader());
      expect(verdict).toBe(length < 20 ? 'ip-short' : 'ip-bad-length');
    }
  });

  it('refuses a header with any one bit wrong', () => {
    for (let bit = 0; bit < 160; bit++) {
      const wrong = packet.slice();
      wrong[bit >> 3] = (wrong[bit >> 3] as number) ^ (1 << (bit & 7));
      // The version is the caller's business.
      if (bit >> 3 === 0 && (bit & 7) > 3) continue;
      expect(decodeIpv4(memoryOf(wrong), 0, wrong.length, new IpHeader())).not.toBe('ok');
    }
  });

  it('reads back what it writes, fragments too, and ignores bytes behind the packet', () => {
    const property = fc.property(
      fc.nat(1000),
      fc.nat(255),
      fc.nat(0x1fff),
      fc.boolean(),
      (length, protocol, offset, more) => {
        const bytes = new Uint8Array(1100);
        const fragmentWord = offset | (more ? 0x2000 : 0);
        const address = Uint8Array.of(100, 64, 0, 1);
        const fields = { source: address, destination: address, protocol, payloadLength: length };
        encodeIpv4(memoryOf(bytes), 0, { ...fields, identification: 77, fragmentWord });
        const header = new IpHeader();
        expect(decodeIpv4(memoryOf(bytes), 0, 1100, header)).toBe('ok');
        expect(header).toMatchObject({
          protocol,
          payloadLength: length,
          fragmentOffset: offset * 8,
          hasMoreFragments: more,
        });
        expect(header.isFragment).toBe(more || offset > 0);
      },
    );
    fc.assert(property);
  });

  it('skips options', () => {
    const bytes = new Uint8Array(28);
    bytes.set([0x46, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0, 100, 64, 0, 1, 100, 64, 0, 2, 1, 1, 1, 1]);
    const sum = finishChecksum(addToChecksum(0, bytes, 0, 24));
    bytes.set([sum >> 8, sum & 255], 10);
    const header = new IpHeader();
    const verdict = decodeIpv4(memoryOf(bytes), 0, 28, header);
    expect([verdict, header.payloadOffset, header.payloadLength]).toEqual(['ok', 24, 4]);
  });

  it('never throws at random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        decodeIpv4(memoryOf(bytes), 0, bytes.length, new IpHeader());
      }),
    );
  });
});
