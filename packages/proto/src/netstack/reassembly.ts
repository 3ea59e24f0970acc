import type { IpHeader, NetstackDrop, PacketMemory } from './ip-header.ts';

/** Datagrams being put together, and the bytes they may take in all; the oldest gives way to a new one. */
export const REASSEMBLY_DATAGRAMS_MAX = 64;
export const REASSEMBLY_BYTES_MAX = 0x100000;
/** RFC 1122 §3.3.2 asks for 60 to 120 s, Linux waits 30; RFC 8200 §4.5 says 60. */
const TIMEOUT_IPV4_MS = 30_000;
const TIMEOUT_IPV6_MS = 60_000;
const DATAGRAM_BYTES_MAX = 0xffff;
/** More parts than a 64 KiB datagram has at the smallest sensible MTU. */
const FRAGMENTS_MAX = 128;

interface Fragment {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

interface Partial {
  readonly fragments: Fragment[];
  readonly deadlineMs: number;
  /** Source and destination of the packet, for the header of the whole. */
  readonly addresses: Uint8Array;
  readonly family: 4 | 6;
  readonly protocol: number;
  /** -1 until the last fragment has come. */
  totalBytes: number;
  receivedBytes: number;
  bufferedBytes: number;
}

/** A whole datagram: `header` describes it within `memory`, addresses in front of the payload. */
export interface ReassembledDatagram {
  readonly memory: PacketMemory;
  readonly addressesAt: number;
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly payloadAt: number;
  readonly payloadLength: number;
}

/** Puts fragments together (RFC 791 §3.2, RFC 8200 §4.5). An overlap drops the whole datagram (RFC 5722 §4). */
export class Reassembly {
  readonly #partials: Map<string, Partial> = new Map<string, Partial>();
  readonly #count: (drop: NetstackDrop) => void;
  #bufferedBytes = 0;

  constructor(count: (drop: NetstackDrop) => void) {
    this.#count = count;
  }

  /** When the oldest datagram is given up, or infinity. */
  get nextTimeoutMs(): number {
    let nextAtMs = Number.POSITIVE_INFINITY;
    for (const partial of this.#partials.values()) nextAtMs = Math.min(nextAtMs, partial.deadlineMs);
    return nextAtMs;
  }

  handleTimeout(nowMs: number): void {
    for (const [key, partial] of this.#partials) {
      if (partial.deadlineMs > nowMs) continue;
      this.#count('fragment-timeout');
      this.#drop(key, partial);
    }
  }

  /** Copies the fragment; returns the datagram when it was the last that lacked. */
  add(memory: PacketMemory, header: IpHeader, nowMs: number): ReassembledDatagram | undefined {
    const { payloadLength, fragmentOffset } = header;
    const isOdd = header.hasMoreFragments && (payloadLength & 7) !== 0;
    if (payloadLength === 0 || isOdd || fragmentOffset + payloadLength > DATAGRAM_BYTES_MAX) {
      this.#count('fragment-bad');
      return undefined;
    }
    const key = keyOf(memory, header);
    const partial = this.#partials.get(key) ?? this.#begin(key, memory, header, nowMs);
    const verdict = insert(partial, memory, header);
    if (verdict === 'duplicate') return undefined;
    if (verdict !== 'ok') {
      this.#count(verdict);
      this.#drop(key, partial);
      return undefined;
    }
    this.#bufferedBytes += payloadLength;
    if (partial.receivedBytes === partial.totalBytes) {
      this.#drop(key, partial);
      return join(partial);
    }
    this.#makeRoom(key);
    return undefined;
  }

  #begin(key: string, memory: PacketMemory, header: IpHeader, nowMs: number): Partial {
    const addressBytes = header.family === 4 ? 8 : 32;
    const partial: Partial = {
      fragments: [],
      deadlineMs: nowMs + (header.family === 4 ? TIMEOUT_IPV4_MS : TIMEOUT_IPV6_MS),
      addresses: memory.bytes.slice(header.sourceOffset, header.sourceOffset + addressBytes),
      family: header.family,
      protocol: header.protocol,
      totalBytes: -1,
      receivedBytes: 0,
      bufferedBytes: 0,
    };
    this.#partials.set(key, partial);
    return partial;
  }

  #makeRoom(newest: string): void {
    for (const [key, partial] of this.#partials) {
      const isFull = this.#partials.size > REASSEMBLY_DATAGRAMS_MAX || this.#bufferedBytes > REASSEMBLY_BYTES_MAX;
      if (!isFull || key === newest) return;
      this.#count('fragment-full');
      this.#drop(key, partial);
    }
  }

  #drop(key: string, partial: Partial): void {
    this.#partials.delete(key);
    this.#bufferedBytes -= partial.bufferedBytes;
  }
}

function keyOf(memory: PacketMemory, header: IpHeader): string {
  const addressBytes = header.family === 4 ? 8 : 32;
  const addresses = memory.bytes.subarray(header.sourceOffset, header.sourceOffset + addressBytes);
  return `${addresses.join('.')}/${header.family === 4 ? header.protocol : 6}/${header.fragmentId}`;
}

function insert(partial: Partial, memory: PacketMemory, header: IpHeader): NetstackDrop | 'ok' | 'duplicate' {
  const { fragmentOffset: offset, payloadLength } = header;
  const end = offset + payloadLength;
  const { fragments } = partial;
  if (fragments.some((other) => other.offset === offset && other.bytes.length === payloadLength)) return 'duplicate';
  if (fragments.length === FRAGMENTS_MAX) return 'fragment-bad';
  if (fragments.some((other) => offset < other.offset + other.bytes.length && other.offset < end)) {
    return 'fragment-overlap';
  }
  if (header.hasMoreFragments ? partial.totalBytes >= 0 && end > partial.totalBytes : partial.totalBytes >= 0) {
    return 'fragment-bad';
  }
  if (!header.hasMoreFragments) partial.totalBytes = end;
  if (fragments.some((other) => partial.totalBytes >= 0 && other.offset + other.bytes.length > partial.totalBytes)) {
    return 'fragment-bad';
  }
  const { payloadOffset } = header;
  fragments.push({ offset, bytes: memory.bytes.slice(payloadOffset, payloadOffset + payloadLength) });
  partial.receivedBytes += payloadLength;
  partial.bufferedBytes += payloadLength;
  return 'ok';
}

function join(partial: Partial): ReassembledDatagram {
  const payloadAt = partial.addresses.length;
  const bytes = new Uint8Array(payloadAt + partial.totalBytes);
  bytes.set(partial.addresses, 0);
  for (const fragment of partial.fragments) bytes.set(fragment.bytes, payloadAt + fragment.offset);
  return {
    memory: { bytes, view: new DataView(bytes.buffer) },
    addressesAt: 0,
    family: partial.family,
    protocol: partial.protocol,
    payloadAt,
    payloadLength: partial.totalBytes,
  };
}
