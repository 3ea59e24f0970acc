import { concatBytes } from '../bytes/equal.ts';
import { encodeUtf8 } from '../bytes/utf8.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { NodePrivateKey } from '../keys/private-key.ts';
import {
  INDEX_OFFSET,
  RESPONSE_RECEIVER_OFFSET,
  readIndex,
  TYPE_INITIATION,
  TYPE_RESPONSE,
  writeHeader,
  writeIndex,
} from './messages.ts';
import { SymmetricState } from './symmetric-state.ts';

const CONSTRUCTION = encodeUtf8('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s');
const IDENTIFIER = encodeUtf8('WireGuard v1 zx2c4 Jason@zx2c4.com');
const EMPTY = new Uint8Array(0);

/** An initiation on its way: what its response must be opened with. Holds secrets until {@link wipeInitiation}. */
export interface SentInitiation {
  readonly localIndex: number;
  readonly ephemeralKey: Uint8Array;
  readonly state: SymmetricState;
}

/** An initiation whose sender's key is known but not yet proven: everything copied out of the message. */
export interface OpenedInitiation {
  readonly remoteIndex: number;
  readonly remoteEphemeral: Uint8Array;
  /** 32 bytes; anybody can put any key here, only the timestamp proves it. */
  readonly remoteStatic: Uint8Array;
  readonly state: SymmetricState;
}

/** The two transport keys of a session, from this side's view, and the index the peer knows it by. */
export interface SessionKeys {
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  readonly remoteIndex: number;
}

/**
 * The cryptography of the WireGuard handshake, Noise IKpsk2 (docs/spec/wireguard.md#handshake).
 *
 * Stateless but for this node's static key: callers keep what is between two messages, and whom they believe. MACs
 * (the last 32 bytes of a message) are not touched. `undefined` always means: not authentic, drop the message; no
 * argument has changed then.
 */
export class Noise {
  readonly #crypto: CryptoProvider;
  readonly #privateKey: NodePrivateKey;
  readonly #chainingKey: Uint8Array;
  readonly #hash: Uint8Array;

  constructor(crypto: CryptoProvider, privateKey: NodePrivateKey) {
    this.#crypto = crypto;
    this.#privateKey = privateKey;
    this.#chainingKey = crypto.blake2s(CONSTRUCTION);
    this.#hash = crypto.blake2s(concatBytes(this.#chainingKey, IDENTIFIER));
  }

  /** The static-static secret with a peer, worth keeping; `undefined` for a low-order key. */
  shareWith(remoteStatic: Uint8Array): Uint8Array | undefined {
    return this.#crypto.x25519(this.#privateKey.exposeBytes(), remoteStatic);
  }

  /**
   * Writes bytes 0 to 115 of an initiation. `ephemeralKey` (32 bytes, fresh) is kept by the result.
   * `undefined` for a peer key of low order.
   */
  writeInitiation(
    message: Uint8Array,
    o: {
      readonly localIndex: number;
      readonly ephemeralKey: Uint8Array;
      readonly remoteStatic: Uint8Array;
      readonly staticShared: Uint8Array;
      readonly timestamp: Uint8Array;
    },
  ): SentInitiation | undefined {
    const ephemeralShared = this.#crypto.x25519(o.ephemeralKey, o.remoteStatic);
    if (ephemeralShared === undefined) return undefined;
    const state = this.#start(o.remoteStatic);
    const ephemeral = this.#crypto.x25519PublicKey(o.ephemeralKey);
    writeHeader(message, 0, TYPE_INITIATION, o.localIndex);
    message.set(ephemeral, 8);
    state.mixKey(ephemeral);
    state.mixHash(ephemeral);
    message.set(state.seal(state.mixSecret(ephemeralShared), this.#privateKey.publicKey), 40);
    message.set(state.seal(state.mixSecret(o.staticShared), o.timestamp), 88);
    return { localIndex: o.localIndex, ephemeralKey: o.ephemeralKey, state };
  }

  /** Opens an initiation as far as the sender's static key. */
  openInitiation(message: Uint8Array): OpenedInitiation | undefined {
    const remoteEphemeral = message.slice(8, 40);
    const shared = this.shareWith(remoteEphemeral);
    if (shared === undefined) return undefined;
    const state = this.#start(this.#privateKey.publicKey);
    state.mixKey(remoteEphemeral);
    state.mixHash(remoteEphemeral);
    const remoteStatic = state.open(state.mixSecret(shared), message.subarray(40, 88));
    if (remoteStatic === undefined) return undefined;
    return { remoteIndex: readIndex(message, INDEX_OFFSET), remoteEphemeral, remoteStatic, state };
  }

  /** Opens the 12-byte timestamp, which proves the sender's static key. Advances `opened` for the response. */
  openTimestamp(opened: OpenedInitiation, message: Uint8Array, staticShared: Uint8Array): Uint8Array | undefined {
    return opened.state.open(opened.state.mixSecret(staticShared), message.subarray(88, 116));
  }

  /** Writes bytes 0 to 59 of the response to an initiation whose timestamp was opened, and ends its state. */
  writeResponse(
    message: Uint8Array,
    opened: OpenedInitiation,
    o: { readonly localIndex: number; readonly ephemeralKey: Uint8Array; readonly presharedKey: Uint8Array },
  ): SessionKeys | undefined {
    const ephemeralShared = this.#crypto.x25519(o.ephemeralKey, opened.remoteEphemeral);
    const staticShared = this.#crypto.x25519(o.ephemeralKey, opened.remoteStatic);
    if (ephemeralShared === undefined || staticShared === undefined) return undefined;
    const ephemeral = this.#crypto.x25519PublicKey(o.ephemeralKey);
    const { state, remoteIndex } = opened;
    writeHeader(message, 0, TYPE_RESPONSE, o.localIndex);
    writeIndex(message, RESPONSE_RECEIVER_OFFSET, remoteIndex);
    message.set(ephemeral, 12);
    state.mixKey(ephemeral);
    state.mixHash(ephemeral);
    state.mixKey(ephemeralShared);
    state.mixKey(staticShared);
    message.set(state.seal(state.mixPresharedKey(o.presharedKey), EMPTY), 44);
    const [receiveKey, sendKey] = state.split();
    return { sendKey, receiveKey, remoteIndex };
  }

  /** Opens a response. Works on a copy: a forged response must leave the initiation waiting for the true one. */
  openResponse(sent: SentInitiation, message: Uint8Array, presharedKey: Uint8Array): SessionKeys | undefined {
    const remoteEphemeral = message.slice(12, 44);
    const ephemeralShared = this.#crypto.x25519(sent.ephemeralKey, remoteEphemeral);
    const staticShared = this.shareWith(remoteEphemeral);
    if (ephemeralShared === undefined || staticShared === undefined) return undefined;
    const state = sent.state.copy();
    state.mixKey(remoteEphemeral);
    state.mixHash(remoteEphemeral);
    state.mixKey(ephemeralShared);
    state.mixKey(staticShared);
    if (state.open(state.mixPresharedKey(presharedKey), message.subarray(44, 60)) === undefined) return undefined;
    const [sendKey, receiveKey] = state.split();
    return { sendKey, receiveKey, remoteIndex: readIndex(message, INDEX_OFFSET) };
  }

  #start(responderStatic: Uint8Array): SymmetricState {
    const state = new SymmetricState(this.#crypto, this.#chainingKey, this.#hash);
    state.mixHash(responderStatic);
    return state;
  }
}

/** Forgets the secrets of an initiation that was answered or given up. */
export function wipeInitiation(sent: SentInitiation): void {
  sent.ephemeralKey.fill(0);
  sent.state.wipe();
}
