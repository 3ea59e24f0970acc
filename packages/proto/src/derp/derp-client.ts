import type { PacketArena } from '../bytes/packet-arena.ts';
import { PACKET_HEADROOM_BYTES, PACKET_SLOT_BYTES } from '../bytes/packet-arena.ts';
import { SlotQueue } from '../bytes/slot-queue.ts';
import type { CryptoProvider, Rng } from '../crypto/provider.ts';
import type { NodePrivateKey } from '../keys/private-key.ts';
import type { NodePublicKey } from '../keys/public-key.ts';
import { Counters } from '../time/counters.ts';
import type { Wake } from '../time/machine.ts';
import { FrameOutput } from './frame-output.ts';
import { FrameReader } from './frame-reader.ts';
import {
  decodeHealth,
  decodePeerGone,
  decodeRestarting,
  decodeServerKey,
  FRAME_HEADER_BYTES,
  FRAME_PAYLOAD_BYTES_MAX,
  FrameType,
  type Health,
  KEY_BYTES,
  type PeerGone,
  PING_BYTES,
  RELAY_PACKET_BYTES_MAX,
  type Restarting,
} from './frames.ts';
import { decodeServerInfo, encodeClientInfo } from './login.ts';
import { TokenBucket } from './token-bucket.ts';

/** Packets pending for the stream; beyond it the newest is dropped, which is what a sender's congestion control expects. */
export const OUTPUT_BYTES_MAX = 0x100000;
/** What login, pongs and notes may use beyond the packets' bound. */
const OUTPUT_BYTES_RESERVE = 0x10000;
/** Received packets not polled yet: more than one 64 KiB chunk of the smallest useful packets. Full: the newest is dropped. */
const RECEIVE_QUEUE_MAX = 1024;
/** Events not polled yet. Full: the newest is dropped, except `failed`. */
const EVENT_QUEUE_MAX = 256;

const LOGIN_TIMEOUT_MS = 10_000;
/** Two keep-alive periods of a relay: it sends something at least every 65 s. */
const READ_TIMEOUT_MS = 120_000;
/** Silence after which the relay is asked for a pong, so that a lost keep-alive alone does not end the connection. */
const SILENCE_PING_MS = 90_000;
const PROBE_TIMEOUT_MS = 3_000;

export type DerpFailure =
  | 'not-derp'
  | 'bad-server-key'
  | 'bad-server-info'
  | 'frame-too-large'
  | 'login-timeout'
  | 'read-timeout'
  | 'probe-timeout';

export type DerpEvent =
  | { readonly kind: 'ready' }
  | PeerGone
  | Health
  | Restarting
  | { readonly kind: 'failed'; readonly reason: DerpFailure };

export type DerpDrop =
  | 'derp-rx-short'
  | 'derp-rx-unexpected'
  | 'derp-rx-too-large'
  | 'derp-rx-queue-full'
  | 'derp-rx-no-slot'
  | 'derp-rx-event-queue-full'
  | 'derp-tx-not-ready'
  | 'derp-tx-rate-limited'
  | 'derp-tx-queue-full';

type State =
  | { readonly kind: 'awaiting-server-key' }
  | { readonly kind: 'awaiting-server-info'; readonly boxKey: Uint8Array }
  | { readonly kind: 'ready'; readonly bucket: TokenBucket | undefined }
  | { readonly kind: 'failed' };

export interface DerpClientOptions {
  readonly arena: PacketArena;
  readonly nodeKey: NodePrivateKey;
  readonly crypto: Pick<CryptoProvider, 'boxPrecompute' | 'secretboxSeal' | 'secretboxOpen'>;
  readonly rng: Rng;
  readonly isHome: boolean;
}

/**
 * One connection to a relay, from the first byte behind the HTTP upgrade to its end.
 *
 * ```
 * awaiting-server-key ──ServerKey──▶ awaiting-server-info ──ServerInfo──▶ ready
 *         └──────────────┴── bad bytes, login deadline, silence ──────────────┴──▶ failed (final)
 * ```
 * ClientInfo, and the home note behind it, go out on ServerKey; packets are taken from then on.
 * Deadlines count from the first `handleX`. Frames that are short, unexpected or of unknown type are counted and
 * skipped; `failed` is reported once, and then nothing is sent or received: the owner closes the stream.
 * Invariant: every queued slot belongs to this machine; `close()` frees those nobody polled.
 */
export class DerpClient {
  /** 32 bytes: who sent the packet polled last. Overwritten by the next `pollPacket()`. */
  readonly packetSource: Uint8Array = new Uint8Array(KEY_BYTES);
  readonly counters: Counters<DerpDrop> = new Counters();
  readonly #o: DerpClientOptions;
  readonly #reader = new FrameReader(FRAME_PAYLOAD_BYTES_MAX);
  readonly #output = new FrameOutput();
  readonly #packets = new SlotQueue(RECEIVE_QUEUE_MAX);
  #events: DerpEvent[] = [];
  #state: State = { kind: 'awaiting-server-key' };
  #isHome: boolean;
  #nowMs = 0;
  /** Both undefined until the first `handleX`. */
  #startedAtMs: number | undefined;
  #heardAtMs: number | undefined;
  #isSilencePinged = false;
  #probeEndsAtMs: number | undefined;

  constructor(o: DerpClientOptions) {
    this.#o = o;
    this.#isHome = o.isHome;
  }

  get isReady(): boolean {
    return this.#state.kind === 'ready';
  }

  /** Reads stream bytes; the chunk is only borrowed. */
  handleBytes(chunk: Uint8Array, nowMs: number): void {
    if (this.#state.kind === 'failed') return;
    this.#setTime(nowMs);
    this.#heardAtMs = nowMs;
    this.#isSilencePinged = false;
    this.#probeEndsAtMs = undefined;
    this.#reader.feed(chunk);
    while (this.#reader.next()) {
      const drop = this.#handleFrame();
      if (drop !== undefined) this.counters.add(drop);
      if (this.#hasFailed()) return;
    }
    if (this.#reader.isTooLarge)
      this.#fail(this.#state.kind === 'awaiting-server-key' ? 'not-derp' : 'frame-too-large');
  }

  /**
   * Queues a packet of at most 64 KiB, copying it. False when it is dropped: not logged in, the relay's allowance is
   * used up, or {@link OUTPUT_BYTES_MAX} are pending.
   * @throws {RangeError} when the packet is longer than a relay forwards.
   */
  sendPacket(to: NodePublicKey, bytes: Uint8Array, offset: number, length: number): boolean {
    if (length > RELAY_PACKET_BYTES_MAX) throw new RangeError(`relay packet of ${length} bytes`);
    if (this.#state.kind !== 'ready' && this.#state.kind !== 'awaiting-server-info')
      return this.#drop('derp-tx-not-ready');
    const payloadLength = KEY_BYTES + length;
    const bucket = this.#state.kind === 'ready' ? this.#state.bucket : undefined;
    if (bucket?.take(FRAME_HEADER_BYTES + payloadLength) === false) return this.#drop('derp-tx-rate-limited');
    const at = this.#output.begin(FrameType.sendPacket, payloadLength, OUTPUT_BYTES_MAX);
    if (at < 0) return this.#drop('derp-tx-queue-full');
    const out = this.#output.bytes;
    out.set(to, at);
    // A view per packet is ten times cheaper than a byte loop here.
    out.set(bytes.subarray(offset, offset + length), at + KEY_BYTES);
    return true;
  }

  /** Tells the relay whether it is this node's home; before the login it is only remembered. */
  setHome(isHome: boolean): void {
    if (isHome === this.#isHome) return;
    this.#isHome = isHome;
    if (this.#state.kind === 'ready' || this.#state.kind === 'awaiting-server-info') this.#sendHomeNote();
  }

  /** Asks for a sign of life now (the network changed): without any byte in 3 s the connection fails. */
  probe(nowMs: number): void {
    if (this.#state.kind !== 'ready') return;
    this.#setTime(nowMs);
    if (this.#probeEndsAtMs !== undefined) return;
    this.#probeEndsAtMs = nowMs + PROBE_TIMEOUT_MS;
    this.#sendPing();
  }

  /** Bytes for the stream, in order, possibly many frames; the caller owns them. */
  pollTransmit(): Uint8Array | undefined {
    return this.#state.kind === 'failed' ? undefined : this.#output.take();
  }

  /** The slot of a received packet, now the caller's, with its source in {@link packetSource}; or -1. */
  pollPacket(): number {
    const slot = this.#packets.shift();
    if (slot < 0) return -1;
    const { arena } = this.#o;
    const source = (arena.offset[slot] as number) - KEY_BYTES;
    for (let i = 0; i < KEY_BYTES; i++) this.packetSource[i] = arena.bytes[source + i] as number;
    return slot;
  }

  pollEvent(): DerpEvent | undefined {
    return this.#events.shift();
  }

  handleTimeout(nowMs: number): void {
    if (this.#state.kind === 'failed') return;
    this.#setTime(nowMs);
    if (this.#state.kind !== 'ready') {
      if (nowMs >= this.#loginEndsAtMs()) this.#fail('login-timeout');
      return;
    }
    const silentSinceMs = this.#heardAtMs ?? nowMs;
    if (nowMs >= silentSinceMs + READ_TIMEOUT_MS) this.#fail('read-timeout');
    else if (this.#probeEndsAtMs !== undefined && nowMs >= this.#probeEndsAtMs) this.#fail('probe-timeout');
    else if (!this.#isSilencePinged && nowMs >= silentSinceMs + SILENCE_PING_MS) {
      this.#isSilencePinged = true;
      this.#sendPing();
    }
    if (this.#state.kind === 'ready') this.#state.bucket?.refill(nowMs);
  }

  pollTimeout(): Wake | undefined {
    if (this.#output.pendingBytes > 0 || this.#events.length > 0 || this.#packets.length > 0) {
      if (this.#state.kind !== 'failed' || this.#events.length > 0) return { atMs: this.#nowMs, why: 'derp output' };
    }
    if (this.#state.kind === 'failed' || this.#startedAtMs === undefined) return undefined;
    if (this.#state.kind !== 'ready') return { atMs: this.#loginEndsAtMs(), why: 'derp login' };
    const silence = this.#isSilencePinged ? READ_TIMEOUT_MS : SILENCE_PING_MS;
    const silenceAtMs = (this.#heardAtMs ?? this.#nowMs) + silence;
    const probeAtMs = this.#probeEndsAtMs ?? Number.POSITIVE_INFINITY;
    const refillAtMs = this.#state.bucket?.refillAtMs ?? Number.POSITIVE_INFINITY;
    return { atMs: Math.min(silenceAtMs, probeAtMs, refillAtMs), why: 'derp watchdog' };
  }

  /** Frees the slots that nobody polled. The machine must not be used again. */
  close(): void {
    this.#state = { kind: 'failed' };
    this.#events = [];
    for (let slot = this.#packets.shift(); slot >= 0; slot = this.#packets.shift()) this.#o.arena.free(slot);
  }

  /** Returns why the frame was dropped, if it was. */
  #handleFrame(): DerpDrop | undefined {
    if (this.#state.kind === 'awaiting-server-key') return this.#handleServerKey();
    switch (this.#reader.type) {
      case FrameType.recvPacket:
        return this.#handlePacket();
      case FrameType.serverInfo:
        return this.#handleServerInfo();
      case FrameType.ping:
        return this.#handlePing();
      case FrameType.keepAlive:
      case FrameType.pong:
        return undefined;
      case FrameType.peerGone:
        return this.#queueDecoded(decodePeerGone(this.#payload()));
      case FrameType.restarting:
        return this.#queueDecoded(decodeRestarting(this.#payload()));
      case FrameType.health:
        return this.#queueDecoded(decodeHealth(this.#payload()));
      default:
        return 'derp-rx-unexpected';
    }
  }

  #handleServerKey(): undefined {
    const serverKey = this.#reader.type === FrameType.serverKey ? decodeServerKey(this.#payload()) : undefined;
    if (serverKey === undefined) return this.#fail('not-derp');
    const boxKey = this.#o.crypto.boxPrecompute(this.#o.nodeKey.exposeBytes(), serverKey);
    if (boxKey === undefined) return this.#fail('bad-server-key');
    this.#state = { kind: 'awaiting-server-info', boxKey };
    this.#send(FrameType.clientInfo, encodeClientInfo(this.#o.nodeKey.publicKey, boxKey, this.#o));
    if (this.#isHome) this.#sendHomeNote();
    return undefined;
  }

  #handleServerInfo(): DerpDrop | undefined {
    if (this.#state.kind !== 'awaiting-server-info') return 'derp-rx-unexpected';
    const info = decodeServerInfo(this.#payload(), this.#state.boxKey, this.#o.crypto);
    if (info === undefined) return this.#fail('bad-server-info');
    const { bytesPerSecond: perSecond, burstBytes: burst } = info;
    const isLimited = perSecond > 0 && burst > 0;
    const bucket = isLimited ? new TokenBucket({ perSecond, burst, nowMs: this.#nowMs }) : undefined;
    this.#state = { kind: 'ready', bucket };
    return this.#queueDecoded({ kind: 'ready' });
  }

  /** The payload is source key and packet: the key lands in the slot's headroom, so that one copy moves both. */
  #handlePacket(): DerpDrop | undefined {
    const { arena } = this.#o;
    const { bytes, offset, length } = this.#reader;
    if (length < KEY_BYTES) return 'derp-rx-short';
    if (length - KEY_BYTES > PACKET_SLOT_BYTES - PACKET_HEADROOM_BYTES) return 'derp-rx-too-large';
    if (this.#packets.length === this.#packets.capacity) return 'derp-rx-queue-full';
    const slot = arena.allocate();
    if (slot < 0) return 'derp-rx-no-slot';
    arena.bytes.set(bytes.subarray(offset, offset + length), (arena.offset[slot] as number) - KEY_BYTES);
    arena.length[slot] = length - KEY_BYTES;
    this.#packets.push(slot);
    return undefined;
  }

  #handlePing(): DerpDrop | undefined {
    if (this.#reader.length < PING_BYTES) return 'derp-rx-short';
    this.#send(FrameType.pong, this.#payload().subarray(0, PING_BYTES));
    return undefined;
  }

  #queueDecoded(event: DerpEvent | undefined): DerpDrop | undefined {
    if (event === undefined) return 'derp-rx-short';
    if (this.#events.length === EVENT_QUEUE_MAX) return 'derp-rx-event-queue-full';
    this.#events.push(event);
    return undefined;
  }

  #payload(): Uint8Array {
    const { bytes, offset, length } = this.#reader;
    return bytes.subarray(offset, offset + length);
  }

  #sendHomeNote(): void {
    this.#send(FrameType.notePreferred, Uint8Array.of(this.#isHome ? 0x01 : 0x00));
  }

  #sendPing(): void {
    const nonce = new Uint8Array(PING_BYTES);
    this.#o.rng.fill(nonce);
    this.#send(FrameType.ping, nonce);
  }

  #send(type: number, payload: Uint8Array): void {
    const at = this.#output.begin(type, payload.length, OUTPUT_BYTES_MAX + OUTPUT_BYTES_RESERVE);
    if (at < 0) this.counters.add('derp-tx-queue-full');
    else this.#output.bytes.set(payload, at);
  }

  #setTime(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#startedAtMs ??= nowMs;
  }

  #loginEndsAtMs(): number {
    return (this.#startedAtMs ?? this.#nowMs) + LOGIN_TIMEOUT_MS;
  }

  #hasFailed(): boolean {
    return this.#state.kind === 'failed';
  }

  #fail(reason: DerpFailure): undefined {
    this.#state = { kind: 'failed' };
    this.#events.push({ kind: 'failed', reason });
  }

  #drop(reason: DerpDrop): false {
    this.counters.add(reason);
    return false;
  }
}
