import type { CryptoProvider } from '../crypto/provider.ts';
import type { NodePublicKey } from '../keys/public-key.ts';
import type { Scheduled } from './deadline-heap.ts';
import type { IndexTable } from './index-table.ts';
import type { Keypair } from './keypair.ts';
import { KeypairSlots } from './keypair-slots.ts';
import { type SentInitiation, wipeInitiation } from './noise.ts';
import { OutgoingMacs } from './outgoing-macs.ts';
import { PeerTimers } from './peer-timers.ts';
import { createStagedList, type StagedList } from './staging.ts';
import { TAI64N_BYTES } from './tai64n.ts';

/** What an index of ours stands for: a session, or the handshake that may become one. */
export interface IndexOwner {
  readonly peer: Peer;
  keypair: Keypair | undefined;
}

const NEVER = Number.NEGATIVE_INFINITY;

/**
 * All that is kept about one peer. It lives until `removePeer`: without sessions it is a few hundred bytes, and the
 * greatest timestamp and the byte counts must outlive them.
 */
export class Peer implements Scheduled {
  readonly handle: number;
  readonly publicKey: NodePublicKey;
  readonly staticShared: Uint8Array;
  readonly presharedKey: Uint8Array;
  readonly macs: OutgoingMacs;
  readonly timers: PeerTimers;
  readonly keypairs: KeypairSlots;
  readonly staged: StagedList = createStagedList();
  readonly #indices: IndexTable<IndexOwner>;
  #sentInitiation: SentInitiation | undefined;

  /** Greatest timestamp of an authentic initiation of this peer. */
  readonly greatestTimestamp: Uint8Array = new Uint8Array(TAI64N_BYTES);
  initiationReceivedAtMs: number = NEVER;
  /** When an initiation or a response last went to this peer. */
  handshakeSentAtMs: number = NEVER;
  /** When the present attempt to reach this peer began. */
  attemptStartedAtMs: number = NEVER;
  lastHandshakeUnixMs = 0;
  receivedEventAtMs: number = NEVER;
  rxBytes = 0;
  txBytes = 0;

  heapIndex = -1;
  wakeAtMs: number = Number.POSITIVE_INFINITY;

  constructor(
    crypto: CryptoProvider,
    indices: IndexTable<IndexOwner>,
    o: {
      readonly handle: number;
      readonly publicKey: NodePublicKey;
      readonly staticShared: Uint8Array;
      readonly presharedKey: Uint8Array;
      readonly persistentKeepaliveMs: number;
      readonly nowMs: number;
    },
  ) {
    this.handle = o.handle;
    this.publicKey = o.publicKey;
    this.staticShared = o.staticShared;
    this.presharedKey = o.presharedKey;
    this.macs = new OutgoingMacs(crypto, o.publicKey);
    this.timers = new PeerTimers(o.persistentKeepaliveMs, o.nowMs);
    this.keypairs = new KeypairSlots((keypair) => indices.delete(keypair.localIndex));
    this.#indices = indices;
  }

  /** The initiation that waits for its response; at most one. */
  get sentInitiation(): SentInitiation | undefined {
    return this.#sentInitiation;
  }

  /** Replaces the waiting initiation, whose index and secrets are forgotten. */
  replaceInitiation(sent: SentInitiation | undefined): void {
    if (this.#sentInitiation !== undefined) {
      this.#indices.delete(this.#sentInitiation.localIndex);
      wipeInitiation(this.#sentInitiation);
    }
    this.#sentInitiation = sent;
  }

  /** Ends the waiting initiation because its response came: the index lives on as the session's. */
  completeInitiation(): void {
    if (this.#sentInitiation !== undefined) wipeInitiation(this.#sentInitiation);
    this.#sentInitiation = undefined;
  }
}
