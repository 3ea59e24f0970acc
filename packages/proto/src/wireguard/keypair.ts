import type { CryptoProvider, PacketCipher } from '../crypto/provider.ts';
import type { SessionKeys } from './noise.ts';
import { ReplayWindow } from './replay-window.ts';

/** The initiator of a session starts the next one when it sends at this age … */
export const REKEY_AFTER_MS = 120_000;
/** … or receives at this age (180 s less the 15 s that a silent peer is given). */
export const REKEY_AFTER_RECEIVE_MS = 165_000;
/** Nothing is sent or accepted with a session of this age. */
export const REJECT_AFTER_MS = 180_000;
/**
 * DEVIATION: the protocol allows counters up to 2^64 - 2^13 - 1 and rekeys at 2^60. Ours stay exact numbers: a
 * billion packets a second would need 52 days for these.
 */
export const REKEY_AFTER_PACKETS: number = 2 ** 52;
export const REJECT_AFTER_PACKETS: number = 2 ** 53 - 1;

/** One session: a cipher for each direction, the next counter to send, and the counters seen. */
export class Keypair {
  readonly localIndex: number;
  readonly remoteIndex: number;
  /** Only the initiator of a session renews it. */
  readonly isInitiator: boolean;
  readonly createdAtMs: number;
  readonly sendCipher: PacketCipher;
  readonly receiveCipher: PacketCipher;
  readonly received: ReplayWindow = new ReplayWindow();
  sentCount = 0;
  /** True once reception has asked for a rekey: it does so only once a session. */
  hasAskedForRekey = false;

  /** The keys are copied into ciphers and wiped. */
  constructor(
    crypto: CryptoProvider,
    keys: SessionKeys,
    o: { readonly localIndex: number; readonly isInitiator: boolean; readonly nowMs: number },
  ) {
    this.localIndex = o.localIndex;
    this.remoteIndex = keys.remoteIndex;
    this.isInitiator = o.isInitiator;
    this.createdAtMs = o.nowMs;
    this.sendCipher = crypto.createPacketCipher(keys.sendKey);
    this.receiveCipher = crypto.createPacketCipher(keys.receiveKey);
    keys.sendKey.fill(0);
    keys.receiveKey.fill(0);
  }

  isExpired(nowMs: number): boolean {
    return nowMs - this.createdAtMs >= REJECT_AFTER_MS;
  }

  canSend(nowMs: number): boolean {
    return this.sentCount < REJECT_AFTER_PACKETS && !this.isExpired(nowMs);
  }

  /** True when this side should start the next session because it has just sent. */
  isRekeyDue(nowMs: number): boolean {
    if (this.sentCount > REKEY_AFTER_PACKETS) return true;
    return this.isInitiator && nowMs - this.createdAtMs >= REKEY_AFTER_MS;
  }

  /** As {@link isRekeyDue} because it has just received; true once. */
  takeRekeyAfterReceive(nowMs: number): boolean {
    if (!this.isInitiator || this.hasAskedForRekey || nowMs - this.createdAtMs < REKEY_AFTER_RECEIVE_MS) return false;
    this.hasAskedForRekey = true;
    return true;
  }

  wipe(): void {
    this.sendCipher.wipe();
    this.receiveCipher.wipe();
  }
}
