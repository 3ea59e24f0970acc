/** Memory that holds a packet: the arena, or a reassembled datagram. */
export interface PacketMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Why a packet was not processed; each is a counter of the stack. */
export type NetstackDrop =
  | 'ip-short'
  | 'ip-bad-version'
  | 'ip-bad-length'
  | 'ip-bad-checksum'
  | 'ip-bad-source'
  | 'ip-not-for-us'
  | 'ip-bad-extension'
  | 'ip-unknown-protocol'
  | 'fragment-bad'
  | 'fragment-overlap'
  | 'fragment-full'
  | 'fragment-timeout'
  | 'icmp-bad'
  | 'icmp-ignored'
  | 'icmp-rate-limited'
  | 'udp-bad'
  | 'udp-no-port'
  | 'udp-queue-full'
  | 'tcp-bad'
  | 'tcp-bad-checksum'
  | 'tcp-no-connection'
  | 'tcp-half-open-full'
  | 'tcp-connections-full'
  | 'tcp-out-of-window'
  | 'tcp-old-timestamp'
  | 'tcp-challenge-limited'
  | 'tcp-bad-ack'
  | 'tcp-reorder-full'
  | 'output-full'
  | 'event-full';

/** Protocol numbers (IANA) that the stack speaks. */
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;

/** What an IP header says, as offsets into the packet's memory. One instance is reused for every packet. */
export class IpHeader {
  family: 4 | 6 = 4;
  /** First byte of the IP header. */
  start = 0;
  sourceOffset = 0;
  destinationOffset = 0;
  /** Upper-layer protocol, behind all extension headers. */
  protocol = 0;
  payloadOffset = 0;
  payloadLength = 0;
  isFragment = false;
  /** Of the payload in the whole datagram, in bytes. */
  fragmentOffset = 0;
  hasMoreFragments = false;
  fragmentId = 0;
}
