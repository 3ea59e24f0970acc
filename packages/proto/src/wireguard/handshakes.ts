import { isEqualBytes } from '../bytes/equal.ts';
import type { CryptoProvider, Rng, UnixClock } from '../crypto/provider.ts';
import type { NodePrivateKey } from '../keys/private-key.ts';
import { decodePublicKey } from '../keys/public-key.ts';
import type { HandshakeDrop } from './drops.ts';
import { IncomingMacs } from './incoming-macs.ts';
import { IndexTable } from './index-table.ts';
import { Keypair } from './keypair.ts';
import { LoadMeter } from './load-meter.ts';
import {
  COOKIE_REPLY_BYTES,
  INDEX_OFFSET,
  INITIATION_BYTES,
  RESPONSE_BYTES,
  RESPONSE_RECEIVER_OFFSET,
  readIndex,
} from './messages.ts';
import { Noise, type OpenedInitiation } from './noise.ts';
import type { IndexOwner, Peer } from './peer.ts';
import type { PeerDirectory } from './peer-directory.ts';
import { PeerTable } from './peer-table.ts';
import { SourceLimiter } from './source-limiter.ts';
import { isLater, Tai64nClock } from './tai64n.ts';

/** Initiations of one peer closer together than this are dropped. */
export const INITIATION_GAP_MS = 20;

/** What became of a handshake message. A `message` is new bytes for the sender. */
export type HandshakeResult =
  | { readonly kind: 'responded'; readonly peer: Peer; readonly message: Uint8Array }
  | { readonly kind: 'completed'; readonly peer: Peer }
  | { readonly kind: 'cookie-demanded'; readonly message: Uint8Array }
  | { readonly kind: 'cookie-kept' }
  | { readonly kind: 'drop'; readonly reason: HandshakeDrop };

export interface HandshakesOptions {
  readonly crypto: CryptoProvider;
  readonly rng: Rng;
  readonly unixMs: UnixClock;
  readonly privateKey: NodePrivateKey;
  readonly directory: PeerDirectory;
}

/**
 * Makes and answers handshake messages, and owns everything that is this node's rather than one peer's: static key,
 * indices, cookies, load, clock.
 *
 * It never sends, and never touches timers: `WireGuard` does. A dropped message has changed nothing but the load meter.
 * Messages are only borrowed.
 */
export class Handshakes {
  readonly indices: IndexTable<IndexOwner>;
  readonly peers: PeerTable;
  readonly #crypto: CryptoProvider;
  readonly #rng: Rng;
  readonly #directory: PeerDirectory;
  readonly #noise: Noise;
  readonly #macs: IncomingMacs;
  readonly #clock: Tai64nClock;
  readonly #load = new LoadMeter();
  readonly #limiter = new SourceLimiter();

  constructor(o: HandshakesOptions) {
    this.#crypto = o.crypto;
    this.#rng = o.rng;
    this.#directory = o.directory;
    this.#noise = new Noise(o.crypto, o.privateKey);
    this.#macs = new IncomingMacs(o.crypto, o.rng, o.privateKey.publicKey);
    this.#clock = new Tai64nClock(o.unixMs);
    this.indices = new IndexTable(o.rng);
    this.peers = new PeerTable(o.crypto, this.#noise, o.directory, this.indices);
  }

  /** Makes a new initiation, which replaces the one that waits. */
  initiate(peer: Peer, nowMs: number): Uint8Array {
    const message = new Uint8Array(INITIATION_BYTES);
    const localIndex = this.indices.add({ peer, keypair: undefined });
    const sent = this.#noise.writeInitiation(message, {
      localIndex,
      ephemeralKey: this.#drawEphemeral(),
      remoteStatic: peer.publicKey,
      staticShared: peer.staticShared,
      timestamp: this.#clock.next(),
    });
    if (sent === undefined) throw new RangeError('peer with a low-order key');
    peer.replaceInitiation(sent);
    peer.macs.stamp(message, nowMs);
    return message;
  }

  handleInitiation(message: Uint8Array, source: Uint8Array, nowMs: number): HandshakeResult {
    if (!this.#macs.isMac1Valid(message)) return drop('bad-mac1');
    this.#load.note(nowMs);
    const refusal = this.#refuseUnderLoad(message, source, nowMs);
    if (refusal !== undefined) return refusal;
    const opened = this.#noise.openInitiation(message);
    if (opened === undefined) return drop('unauthentic-initiation');
    const handle = this.#directory.lookup(opened.remoteStatic, 0);
    if (handle < 0) return drop('unknown-peer');
    const peer = this.#authenticate(handle, opened, message, nowMs);
    if (typeof peer === 'string') return drop(peer);
    return this.#respond(peer, opened, nowMs);
  }

  handleResponse(message: Uint8Array, source: Uint8Array, nowMs: number): HandshakeResult {
    if (!this.#macs.isMac1Valid(message)) return drop('bad-mac1');
    const refusal = this.#refuseUnderLoad(message, source, nowMs);
    if (refusal !== undefined) return refusal;
    const localIndex = readIndex(message, RESPONSE_RECEIVER_OFFSET);
    const owner = this.indices.get(localIndex);
    const sent = owner?.peer.sentInitiation;
    // The second copy of a response, by relay after UDP, finds the index with its session already.
    if (owner === undefined || sent?.localIndex !== localIndex) return drop('unexpected-response');
    const { peer } = owner;
    if (!this.peers.isListed(peer)) return drop('unknown-peer');
    const keys = this.#noise.openResponse(sent, message, peer.presharedKey);
    if (keys === undefined) return drop('unauthentic-response');
    peer.completeInitiation();
    owner.keypair = new Keypair(this.#crypto, keys, { localIndex, isInitiator: true, nowMs });
    peer.keypairs.addInitiated(owner.keypair);
    return { kind: 'completed', peer };
  }

  handleCookieReply(message: Uint8Array, nowMs: number): HandshakeResult {
    const owner = this.indices.get(readIndex(message, INDEX_OFFSET));
    if (owner === undefined) return drop('unexpected-cookie');
    return owner.peer.macs.acceptReply(message, nowMs) ? { kind: 'cookie-kept' } : drop('unauthentic-cookie');
  }

  #refuseUnderLoad(message: Uint8Array, source: Uint8Array, nowMs: number): HandshakeResult | undefined {
    if (!this.#load.isLoaded(nowMs)) return undefined;
    if (this.#macs.isMac2Valid(message, source, nowMs)) {
      return this.#limiter.take(source, nowMs) ? undefined : drop('rate-limited');
    }
    const reply = new Uint8Array(COOKIE_REPLY_BYTES);
    this.#macs.writeReply(reply, message, source, nowMs);
    return { kind: 'cookie-demanded', message: reply };
  }

  /** Proves the sender by its timestamp, and makes the peer if it is new: nothing is kept for who cannot prove it. */
  #authenticate(handle: number, opened: OpenedInitiation, message: Uint8Array, nowMs: number): Peer | HandshakeDrop {
    const known = this.peers.get(handle);
    if (known !== undefined && !isEqualBytes(known.publicKey, opened.remoteStatic)) return 'unknown-peer';
    const staticShared = known?.staticShared ?? this.#noise.shareWith(opened.remoteStatic);
    const timestamp = staticShared && this.#noise.openTimestamp(opened, message, staticShared);
    if (timestamp === undefined) return 'unauthentic-initiation';
    if (known !== undefined && !isLater(timestamp, known.greatestTimestamp)) return 'replayed-initiation';
    if (known !== undefined && nowMs - known.initiationReceivedAtMs < INITIATION_GAP_MS) return 'initiation-flood';
    const key = known?.publicKey ?? decodePublicKey('node', opened.remoteStatic);
    const peer = known ?? this.peers.add(handle, key, staticShared as Uint8Array, nowMs);
    peer.greatestTimestamp.set(timestamp);
    peer.initiationReceivedAtMs = nowMs;
    return peer;
  }

  #respond(peer: Peer, opened: OpenedInitiation, nowMs: number): HandshakeResult {
    const owner: IndexOwner = { peer, keypair: undefined };
    const localIndex = this.indices.add(owner);
    const message = new Uint8Array(RESPONSE_BYTES);
    const ephemeralKey = this.#drawEphemeral();
    const keys = this.#noise.writeResponse(message, opened, {
      localIndex,
      ephemeralKey,
      presharedKey: peer.presharedKey,
    });
    ephemeralKey.fill(0);
    if (keys === undefined) {
      this.indices.delete(localIndex);
      return drop('unauthentic-initiation');
    }
    owner.keypair = new Keypair(this.#crypto, keys, { localIndex, isInitiator: false, nowMs });
    peer.keypairs.addResponded(owner.keypair);
    peer.macs.stamp(message, nowMs);
    return { kind: 'responded', peer, message };
  }

  #drawEphemeral(): Uint8Array {
    const key = new Uint8Array(32);
    this.#rng.fill(key);
    return key;
  }
}

function drop(reason: HandshakeDrop): HandshakeResult {
  return { kind: 'drop', reason };
}
