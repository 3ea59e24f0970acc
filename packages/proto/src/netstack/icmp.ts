/*
 * ICMP, RFC 792 and RFC 4443 (docs/spec/netstack.md#icmp). IPv4 type / IPv6 type
 *   0  1  type      echo request 8 / 128 | echo reply 0 / 129
 *   1  1  code      unreachable 3 / 1 (port: code 3 / 4) | too big: type 3 code 4 / type 2
 *   2  2  checksum  over the message; ICMPv6 adds the pseudo-header
 *   4  4  echo: identifier, sequence | too big: MTU (IPv4 in the last two bytes) | unreachable: zero
 *   8  …  echo: payload | errors: the offending packet from its IP header on
 */
import { addToChecksum, finishChecksum } from '../ip/checksum.ts';
import { type IpHeader, type PacketMemory, PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from './ip-header.ts';
import { type DatagramRoute, sumPseudoHeader } from './ip-output.ts';

export const ICMP_HEADER_BYTES = 8;
/** An error quotes what fits the smallest MTU: RFC 1812 §4.3.2.3 and RFC 4443 §2.4. */
const ERROR_PACKET_MAX_IPV4 = 576;
const ERROR_PACKET_MAX_IPV6 = 1280;

/** What a message is; one record is reused. */
export class IcmpMessage {
  kind: 'echo-request' | 'echo-reply' | 'unreachable' | 'port-unreachable' | 'too-big' | 'other' = 'other';
  /** Of an echo: identifier and sequence. Of 'too-big': the MTU in `value`. */
  identifier = 0;
  sequence = 0;
  mtuBytes = 0;
  /** Echo payload, or the quoted packet of an error. */
  bodyOffset = 0;
  bodyLength = 0;
}

/** Reads the message behind `header`; false when it is short or its checksum is wrong. */
export function decodeIcmp(memory: PacketMemory, header: IpHeader, out: IcmpMessage): boolean {
  const { bytes, view } = memory;
  const { payloadOffset: at, payloadLength: length } = header;
  if (length < ICMP_HEADER_BYTES) return false;
  let sum = 0;
  if (header.family === 6) sum = addToChecksum(PROTOCOL_ICMPV6 + length, bytes, header.sourceOffset, 32);
  if (finishChecksum(addToChecksum(sum, bytes, at, length)) !== 0) return false;
  const type = bytes[at] as number;
  const code = bytes[at + 1] as number;
  out.kind = header.family === 4 ? kindOfIpv4(type, code) : kindOfIpv6(type, code);
  out.identifier = view.getUint16(at + 4);
  out.sequence = view.getUint16(at + 6);
  out.mtuBytes = header.family === 4 ? out.sequence : view.getUint32(at + 4);
  out.bodyOffset = at + ICMP_HEADER_BYTES;
  out.bodyLength = length - ICMP_HEADER_BYTES;
  return true;
}

function kindOfIpv4(type: number, code: number): IcmpMessage['kind'] {
  if (type === 8 && code === 0) return 'echo-request';
  if (type === 0 && code === 0) return 'echo-reply';
  if (type !== 3) return 'other';
  if (code === 4) return 'too-big';
  // RFC 1122 §4.2.3.9: protocol and port are final; RFC 792's others say that the host cannot be reached.
  return code === 2 || code === 3 ? 'port-unreachable' : 'unreachable';
}

function kindOfIpv6(type: number, code: number): IcmpMessage['kind'] {
  if (type === 128 && code === 0) return 'echo-request';
  if (type === 129 && code === 0) return 'echo-reply';
  if (type === 2) return 'too-big';
  if (type !== 1) return 'other';
  return code === 4 ? 'port-unreachable' : 'unreachable';
}

/** Builds an echo request or reply. */
export function encodeEcho(
  route: DatagramRoute,
  echo: { isReply: boolean; identifier: number; sequence: number; payload: Uint8Array },
): Uint8Array {
  const message = new Uint8Array(ICMP_HEADER_BYTES + echo.payload.length);
  const view = new DataView(message.buffer);
  if (route.family === 4) message[0] = echo.isReply ? 0 : 8;
  else message[0] = echo.isReply ? 129 : 128;
  view.setUint16(4, echo.identifier);
  view.setUint16(6, echo.sequence);
  message.set(echo.payload, ICMP_HEADER_BYTES);
  return finish(route, message);
}

/** Builds the error for a datagram to a closed port: as much of `packet`, IP header first, as RFCs allow. */
export function encodePortUnreachable(route: DatagramRoute, packet: Uint8Array): Uint8Array {
  const room = route.family === 4 ? ERROR_PACKET_MAX_IPV4 - 20 : ERROR_PACKET_MAX_IPV6 - 40;
  const quote = packet.subarray(0, room - ICMP_HEADER_BYTES);
  const message = new Uint8Array(ICMP_HEADER_BYTES + quote.length);
  message[0] = route.family === 4 ? 3 : 1;
  message[1] = route.family === 4 ? 3 : 4;
  message.set(quote, ICMP_HEADER_BYTES);
  return finish(route, message);
}

/** The protocol number of the family's ICMP. */
export function icmpProtocol(family: 4 | 6): number {
  return family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
}

function finish(route: DatagramRoute, message: Uint8Array): Uint8Array {
  const pseudo = route.family === 6 ? sumPseudoHeader(route, message.length) : 0;
  const checksum = finishChecksum(addToChecksum(pseudo, message, 0, message.length));
  new DataView(message.buffer).setUint16(2, checksum);
  return message;
}
