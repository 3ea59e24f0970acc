import type { NodePublicKey } from '../keys/public-key.ts';
import { FrameOutput } from './frame-output.ts';
import { FrameReader } from './frame-reader.ts';
import { encodePeerGone, FrameType, KEY_BYTES, type PeerGoneReason } from './frames.ts';
import type { RegistryEntry } from './server-registry.ts';
import { TokenBucket } from './token-bucket.ts';

/** Also the bound of ClientInfo; anything longer is no client. */
const FRAME_BYTES_MAX = 0x40000;
/** Bytes laid out for a socket that takes them at once; beyond it packets queue. */
const OUTPUT_BYTES_MAX = 0x40000;
const OUTPUT_BYTES_RESERVE = 0x4000;
/** Packets that wait for a slow reader, and as many disco packets. Full: the oldest is dropped. */
export const CLIENT_QUEUE_MAX = 32;

/** The first bytes of a disco packet: path discovery must pass where data is dropped (docs/spec/disco.md). */
const DISCO_MAGIC: readonly number[] = [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac];

/** "Not here" answers: one a second, three at once. */
const NOT_HERE = { perSecond: 1, burst: 3 };

type Login =
  | { readonly kind: 'awaiting-client-info'; readonly endsAtMs: number }
  | { readonly kind: 'ready'; readonly entry: RegistryEntry<ServerConnection> };

interface QueuedPacket {
  readonly source: NodePublicKey;
  readonly packet: Uint8Array;
}

/** Returns true when the packet at `offset` is a disco message. */
export function isDisco(bytes: Uint8Array, offset: number, length: number): boolean {
  return length >= DISCO_MAGIC.length && DISCO_MAGIC.every((byte, i) => bytes[offset + i] === byte);
}

/** One client of the server machine: what it has sent so far, and what waits for it. */
export class ServerConnection {
  readonly id: number;
  readonly reader: FrameReader = new FrameReader(FRAME_BYTES_MAX);
  readonly notHereBucket: TokenBucket;
  readonly keepAliveMs: number;
  login: Login;
  keepAliveAtMs: number;
  /** Since when its socket takes no more bytes. */
  congestedAtMs: number | undefined;
  /** Packets dropped because it reads too slowly. */
  dropCount = 0;
  readonly #output = new FrameOutput();
  readonly #queues: readonly [disco: QueuedPacket[], data: QueuedPacket[]] = [[], []];

  constructor(o: {
    readonly id: number;
    readonly nowMs: number;
    readonly loginTimeoutMs: number;
    readonly keepAliveMs: number;
  }) {
    this.id = o.id;
    this.login = { kind: 'awaiting-client-info', endsAtMs: o.nowMs + o.loginTimeoutMs };
    this.keepAliveMs = o.keepAliveMs;
    this.keepAliveAtMs = o.nowMs + o.keepAliveMs;
    this.notHereBucket = new TokenBucket({ ...NOT_HERE, nowMs: o.nowMs });
  }

  /** Queues a frame of the server's own. */
  send(type: number, payload: Uint8Array): void {
    const at = this.#output.begin(type, payload.length, OUTPUT_BYTES_MAX + OUTPUT_BYTES_RESERVE);
    if (at >= 0) this.#output.bytes.set(payload, at);
    else this.dropCount++;
  }

  sendPeerGone(peer: Uint8Array, reason: PeerGoneReason): void {
    const payload = new Uint8Array(KEY_BYTES + 1);
    encodePeerGone(payload, 0, peer, reason);
    this.send(FrameType.peerGone, payload);
  }

  /** Lays a packet out, or queues a copy while the socket is full. */
  forward(source: NodePublicKey, bytes: Uint8Array, offset: number, length: number): void {
    const packet = bytes.subarray(offset, offset + length);
    const isBehind = this.congestedAtMs !== undefined || this.#queues.some((queue) => queue.length > 0);
    if (!isBehind && this.#writePacket(source, packet)) return;
    const queue = this.#queues[isDisco(bytes, offset, length) ? 0 : 1];
    if (queue.length === CLIENT_QUEUE_MAX) {
      queue.shift();
      this.dropCount++;
    }
    queue.push({ source, packet: packet.slice() });
  }

  /** Bytes for its socket; `undefined` when there are none, or when the socket is full. */
  pollTransmit(): Uint8Array | undefined {
    if (this.congestedAtMs !== undefined) return undefined;
    return this.#output.take() ?? (this.#layOutQueues() ? this.#output.take() : undefined);
  }

  #layOutQueues(): boolean {
    let hasWritten = false;
    for (const queue of this.#queues) {
      for (let next = queue[0]; next !== undefined; next = queue[0]) {
        if (!this.#writePacket(next.source, next.packet)) return hasWritten;
        hasWritten = true;
        queue.shift();
      }
    }
    return hasWritten;
  }

  #writePacket(source: NodePublicKey, packet: Uint8Array): boolean {
    const at = this.#output.begin(FrameType.recvPacket, KEY_BYTES + packet.length, OUTPUT_BYTES_MAX);
    if (at < 0) return false;
    this.#output.bytes.set(source, at);
    this.#output.bytes.set(packet, at + KEY_BYTES);
    return true;
  }
}
