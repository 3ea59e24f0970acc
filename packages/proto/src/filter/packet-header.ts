/**
 * What the packet filter reads of an IP packet (RFC 791 §3.1, RFC 8200 §3; offsets in bytes):
 *
 * | IPv4 | IPv6 | field                                                                  |
 * |------|------|------------------------------------------------------------------------|
 * | 0    | 0    | version in the high four bits; IPv4: header length in 32-bit words     |
 * | 2    | 4    | length, u16: of the whole packet (IPv4), of what follows byte 40 (IPv6) |
 * | 6    | -    | u16: 0x2000 more fragments, 0x1fff fragment offset in 8-byte blocks    |
 * | 9    | 6    | protocol, next header                                                  |
 * | 12   | 8    | source                                                                 |
 * | 16   | 24   | destination                                                            |
 *
 * Behind the header: TCP, UDP and SCTP begin with both ports, TCP has its flags at 13; ICMP has type and code.
 */
import { IP_PROTOCOL } from './protocols.ts';

/** Why bytes are no packet that a filter could judge. */
export type HeaderError = 'short' | 'bad-version' | 'malformed';

const FLAG_SYN = 0x02;
const FLAG_ACK = 0x10;
const MORE_FRAGMENTS = 0x2000;
const FRAGMENT_OFFSET_MASK = 0x1fff;
// A fragment must not end or begin inside the largest IPv4 and TCP header (60 + 20 bytes): hiding the ports or the
// flags from a filter is the only use of such fragments (RFC 1858 §3). docs/spec/filter.md#fragments
const FRAGMENT_BYTES_MIN = 80;

/** The decoded header of one packet at a time: one object is reused, so that deciding allocates nothing. */
export class PacketHeader {
  family: 4 | 6 = 4;
  /** IP protocol number; of a later fragment the filter must not look at it. */
  protocol = 0;
  /** True for IPv4 fragments that carry no ports: those with an offset. */
  isLaterFragment = false;
  /** Zero for protocols without ports. */
  sourcePort = 0;
  destinationPort = 0;
  /** TCP that opens a connection: SYN without ACK, whatever else is set. */
  isSyn = false;
  icmpType = 0;
  icmpCode = 0;
  /** Big-endian 32-bit words: four of IPv6; of IPv4 the first, the others zero. */
  readonly source: Uint32Array = new Uint32Array(4);
  readonly destination: Uint32Array = new Uint32Array(4);

  /** Reads the packet; after an error the fields mean nothing. Bytes behind the IP length are ignored. */
  decode(bytes: Uint8Array, offset: number, length: number): HeaderError | undefined {
    if (length < 20) return 'short';
    this.sourcePort = 0;
    this.destinationPort = 0;
    this.isSyn = false;
    this.isLaterFragment = false;
    const version = (bytes[offset] as number) >> 4;
    if (version === 4) return this.#decodeIpv4(bytes, offset, length);
    if (version === 6) return this.#decodeIpv6(bytes, offset, length);
    return 'bad-version';
  }

  #decodeIpv4(bytes: Uint8Array, offset: number, length: number): HeaderError | undefined {
    this.family = 4;
    this.protocol = bytes[offset + 9] as number;
    clearTail(this.source);
    clearTail(this.destination);
    this.source[0] = readUint32(bytes, offset + 12);
    this.destination[0] = readUint32(bytes, offset + 16);
    const headerLength = ((bytes[offset] as number) & 0x0f) * 4;
    const totalLength = readUint16(bytes, offset + 2);
    if (headerLength < 20 || totalLength < headerLength || totalLength > length) return 'malformed';
    const payloadLength = totalLength - headerLength;
    const fragment = readUint16(bytes, offset + 6);
    const fragmentOffset = (fragment & FRAGMENT_OFFSET_MASK) * 8;
    if (fragmentOffset > 0) {
      this.isLaterFragment = true;
      return fragmentOffset < FRAGMENT_BYTES_MIN ? 'malformed' : undefined;
    }
    if ((fragment & MORE_FRAGMENTS) !== 0 && payloadLength < FRAGMENT_BYTES_MIN) return 'malformed';
    return this.#decodePayload(bytes, offset + headerLength, payloadLength);
  }

  /** DEVIATION: extension headers are not skipped; like the reference, their number counts as the protocol. */
  #decodeIpv6(bytes: Uint8Array, offset: number, length: number): HeaderError | undefined {
    if (length < 40) return 'short';
    this.family = 6;
    this.protocol = bytes[offset + 6] as number;
    for (let i = 0; i < 4; i++) {
      this.source[i] = readUint32(bytes, offset + 8 + 4 * i);
      this.destination[i] = readUint32(bytes, offset + 24 + 4 * i);
    }
    const payloadLength = readUint16(bytes, offset + 4);
    if (payloadLength + 40 > length) return 'malformed';
    return this.#decodePayload(bytes, offset + 40, payloadLength);
  }

  #decodePayload(bytes: Uint8Array, offset: number, length: number): HeaderError | undefined {
    if (length < payloadBytesMin(this.protocol)) return 'malformed';
    switch (this.protocol) {
      case IP_PROTOCOL.tcp: {
        const flags = bytes[offset + 13] as number;
        this.isSyn = (flags & (FLAG_SYN | FLAG_ACK)) === FLAG_SYN;
        this.#decodePorts(bytes, offset);
        return undefined;
      }
      case IP_PROTOCOL.udp:
      case IP_PROTOCOL.sctp:
        this.#decodePorts(bytes, offset);
        return undefined;
      case IP_PROTOCOL.icmpv4:
      case IP_PROTOCOL.icmpv6:
        this.icmpType = bytes[offset] as number;
        this.icmpCode = bytes[offset + 1] as number;
        return undefined;
      default:
        return undefined;
    }
  }

  #decodePorts(bytes: Uint8Array, offset: number): void {
    this.sourcePort = readUint16(bytes, offset);
    this.destinationPort = readUint16(bytes, offset + 2);
  }
}

/** The shortest payload whose fields can be trusted. */
function payloadBytesMin(protocol: number): number {
  switch (protocol) {
    case IP_PROTOCOL.tcp:
      return 20;
    case IP_PROTOCOL.sctp:
      return 12;
    case IP_PROTOCOL.udp:
    case IP_PROTOCOL.icmpv4:
    case IP_PROTOCOL.icmpv6:
      return 8;
    default:
      return 0;
  }
}

function clearTail(words: Uint32Array): void {
  words[1] = 0;
  words[2] = 0;
  words[3] = 0;
}

function readUint16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] as number) << 8) | (bytes[offset + 1] as number);
}

function readUint32(bytes: Uint8Array, offset: number): number {
  return ((readUint16(bytes, offset) << 16) | readUint16(bytes, offset + 2)) >>> 0;
}
