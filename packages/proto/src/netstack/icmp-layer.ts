import { decodeAddress, type IpAddress } from '../ip/address.ts';
import { createEndpoint } from '../ip/endpoint.ts';
import type { EventQueue } from './events.ts';
import { decodeIcmp, encodeEcho, encodePortUnreachable, IcmpMessage, icmpProtocol } from './icmp.ts';
import { type IpHeader, type NetstackDrop, type PacketMemory, PROTOCOL_TCP } from './ip-header.ts';
import type { DatagramRoute, IpOutput } from './ip-output.ts';
import type { LocalAddresses } from './local-addresses.ts';
import type { Tcp } from './tcp/tcp.ts';
import { TokenBucket } from './token-bucket.ts';

/** Errors and echo replies a second and at once: a flood of either is answered in part. */
const ERRORS_PER_SECOND = 100;
const ERRORS_BURST = 20;
const ECHOES_PER_SECOND = 1000;
const ECHOES_BURST = 200;
/** Echo requests that wait for a reply; the oldest is forgotten. Replies that match none are dropped. */
export const ECHOES_PENDING_MAX = 1024;
/** Lowest MTU that a path may report (RFC 791, RFC 8200 §5). */
const MTU_MIN_IPV4 = 576;
const MTU_MIN_IPV6 = 1280;

/** What the ICMP layer is made of. */
export interface IcmpOptions {
  readonly addresses: LocalAddresses;
  readonly output: IpOutput;
  readonly events: EventQueue;
  readonly tcp: Tcp;
  readonly count: (drop: NetstackDrop) => void;
}

/** Answers pings, sends ours, refuses datagrams to closed ports, and tells TCP what routers say. */
export class IcmpLayer {
  readonly #options: IcmpOptions;
  readonly #message: IcmpMessage = new IcmpMessage();
  readonly #pending: Set<string> = new Set<string>();
  readonly #errors: TokenBucket = new TokenBucket(ERRORS_PER_SECOND, ERRORS_BURST);
  readonly #echoes: TokenBucket = new TokenBucket(ECHOES_PER_SECOND, ECHOES_BURST);

  constructor(options: IcmpOptions) {
    this.#options = options;
  }

  /** Sends a ping; false when there is no own address of the family or no room. */
  sendEcho(echo: { remote: IpAddress; identifier: number; sequence: number; payload: Uint8Array }): boolean {
    const { remote } = echo;
    const source = this.#options.addresses.ofFamily(remote.family);
    if (source === undefined) return false;
    const route = routeBetween(remote.family, source.bytes, remote.bytes);
    if (!this.#options.output.send(route, encodeEcho(route, { ...echo, isReply: false }))) return false;
    if (this.#pending.size >= ECHOES_PENDING_MAX) {
      for (const oldest of this.#pending) {
        this.#pending.delete(oldest);
        break;
      }
    }
    this.#pending.add(keyOf(remote, echo.identifier, echo.sequence));
    return true;
  }

  handle(memory: PacketMemory, header: IpHeader, nowMs: number): void {
    const message = this.#message;
    if (!decodeIcmp(memory, header, message)) {
      this.#options.count('icmp-bad');
      return;
    }
    switch (message.kind) {
      case 'echo-request':
        this.#answerEcho(memory, header, nowMs);
        return;
      case 'echo-reply':
        this.#takeReply(memory, header);
        return;
      case 'unreachable':
      case 'port-unreachable':
      case 'too-big':
        this.#takeError(memory, message);
        return;
      case 'other':
        this.#options.count('icmp-ignored');
    }
  }

  /** Answers a datagram to a closed port. `header` describes the whole packet in `memory`. */
  refuseDatagram(memory: PacketMemory, header: IpHeader, nowMs: number): void {
    if (!this.#errors.take(nowMs)) {
      this.#options.count('icmp-rate-limited');
      return;
    }
    const route = answerRoute(memory, header);
    const end = header.payloadOffset + header.payloadLength;
    this.#options.output.send(route, encodePortUnreachable(route, memory.bytes.subarray(header.start, end)));
  }

  #answerEcho(memory: PacketMemory, header: IpHeader, nowMs: number): void {
    if (!this.#echoes.take(nowMs)) {
      this.#options.count('icmp-rate-limited');
      return;
    }
    const { identifier, sequence, bodyOffset, bodyLength } = this.#message;
    const payload = memory.bytes.subarray(bodyOffset, bodyOffset + bodyLength);
    const route = answerRoute(memory, header);
    this.#options.output.send(route, encodeEcho(route, { isReply: true, identifier, sequence, payload }));
  }

  #takeReply(memory: PacketMemory, header: IpHeader): void {
    const { identifier, sequence, bodyOffset, bodyLength } = this.#message;
    const remote = decodeAddress(memory.bytes, header.sourceOffset, header.family === 4 ? 4 : 16);
    if (!this.#pending.delete(keyOf(remote, identifier, sequence))) {
      this.#options.count('icmp-ignored');
      return;
    }
    const payload = memory.bytes.slice(bodyOffset, bodyOffset + bodyLength);
    const isQueued = this.#options.events.raiseEcho({ kind: 'echo-reply', remote, identifier, sequence, payload });
    if (!isQueued) this.#options.count('event-full');
  }

  /** The quoted packet must be one of ours: TCP checks further that its sequence is in flight (RFC 5927 §4). */
  #takeError(memory: PacketMemory, message: IcmpMessage): void {
    const quoted = readQuotedTcp(memory, message);
    const machine = quoted && this.#options.tcp.find(quoted.local, quoted.remote);
    if (quoted === undefined || machine === undefined) {
      this.#options.count('icmp-ignored');
    } else if (message.kind === 'too-big') {
      const mtuMin = quoted.local.address.family === 4 ? MTU_MIN_IPV4 : MTU_MIN_IPV6;
      machine.handleSmallerPath(quoted.sequence, Math.max(mtuMin, message.mtuBytes));
    } else {
      machine.handleUnreachable(quoted.sequence, message.kind === 'port-unreachable');
    }
  }
}

function readQuotedTcp(memory: PacketMemory, message: IcmpMessage) {
  const { bytes, view } = memory;
  const { bodyOffset: at, bodyLength } = message;
  const family = bodyLength > 0 && (bytes[at] as number) >> 4 === 6 ? 6 : 4;
  const headerBytes = family === 6 ? 40 : ((bytes[at] as number) & 0x0f) << 2;
  if (headerBytes < 20 || bodyLength < headerBytes + 8) return undefined;
  if ((bytes[at + (family === 6 ? 6 : 9)] as number) !== PROTOCOL_TCP) return undefined;
  const size = family === 6 ? 16 : 4;
  const source = at + (family === 6 ? 8 : 12);
  const tcp = at + headerBytes;
  return {
    local: createEndpoint(decodeAddress(bytes, source, size), view.getUint16(tcp)),
    remote: createEndpoint(decodeAddress(bytes, source + size, size), view.getUint16(tcp + 2)),
    sequence: view.getInt32(tcp + 4),
  };
}

function answerRoute(memory: PacketMemory, header: IpHeader): DatagramRoute {
  const size = header.family === 4 ? 4 : 16;
  const source = memory.bytes.slice(header.destinationOffset, header.destinationOffset + size);
  return routeBetween(header.family, source, memory.bytes.slice(header.sourceOffset, header.sourceOffset + size));
}

function routeBetween(family: 4 | 6, source: Uint8Array, destination: Uint8Array): DatagramRoute {
  return { family, source, destination, protocol: icmpProtocol(family) };
}

function keyOf(remote: IpAddress, identifier: number, sequence: number): string {
  return `${remote.text} ${identifier} ${sequence}`;
}
