import { concatBytes } from '../bytes/equal.ts';
import { encodeUtf8 } from '../bytes/utf8.ts';
import type { Rng } from '../crypto/provider.ts';
import type { MachinePrivateKey } from '../keys/private-key.ts';
import { decodePublicKey, type MachinePublicKey } from '../keys/public-key.ts';
import { type NoiseCrypto, SymmetricState } from './symmetric-state.ts';

// docs/spec/ts2021.md#handshake. All integers big-endian; headers are not part of the transcript.
//
//   initiation, 101 bytes                       response, 51 bytes
//    0   2  capability version                   0   1  type 0x02
//    2   1  type 0x01                            1   2  length 0x0030
//    3   2  length 0x0060                        3  32  responder's ephemeral key
//    5  32  initiator's ephemeral key           35  16  tag of the empty payload
//   37  48  machine key, sealed (32 + 16)
//   85  16  tag of the empty payload            error: type 0x03, length, text without authentication

/** Length of an initiation, which a client sends in the upgrade header. */
export const INITIATION_BYTES = 101;
/** Length of the response that follows `101 Switching Protocols`. */
export const RESPONSE_BYTES = 51;

const TYPE_INITIATION = 0x01;
const TYPE_RESPONSE = 0x02;
const TYPE_ERROR = 0x03;
const INITIATION_LENGTH = 0x0060;
const RESPONSE_LENGTH = 0x0030;
const EMPTY = new Uint8Array(0);

/** What both ends own after the handshake: keys of 32 secret bytes, and who is at the other end. */
export interface NoiseSession {
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  readonly remoteKey: MachinePublicKey;
  /** The number all messages of this connection speak of; see `CAPABILITY_VERSION`. */
  readonly capabilityVersion: number;
  /** Hash of the transcript, 32 bytes, equal at both ends. */
  readonly handshakeHash: Uint8Array;
}

/**
 * Why a handshake ended: `refused` is the other end's error message, `damaged` a tag that does not match, which
 * means another server key, another prologue, or an attacker.
 */
export type HandshakeFailure =
  | 'short'
  | 'bad-type'
  | 'bad-length'
  | 'bad-version'
  | 'low-order'
  | 'refused'
  | 'damaged';

export interface InitiatorOptions {
  readonly machineKey: MachinePrivateKey;
  /** From `GET /key`, over verified TLS. */
  readonly serverKey: MachinePublicKey;
  readonly capabilityVersion: number;
  readonly crypto: NoiseCrypto;
  readonly rng: Rng;
}

/**
 * The client's half of one handshake: send {@link initiation}, then hand the first {@link RESPONSE_BYTES} bytes that
 * come back to {@link readResponse}, once. A failed or used initiator is thrown away.
 */
export class NoiseInitiator {
  /** {@link INITIATION_BYTES} bytes; must not be changed. */
  readonly initiation: Uint8Array;
  readonly #options: InitiatorOptions;
  readonly #state: SymmetricState;
  readonly #ephemeral: Uint8Array;

  /** @throws {RangeError} when the server key is a low-order point. */
  constructor(options: InitiatorOptions) {
    const { machineKey, serverKey, capabilityVersion, crypto } = options;
    this.#options = options;
    this.#ephemeral = drawEphemeral(options.rng);
    this.#state = startTranscript(crypto, capabilityVersion, serverKey);
    const ephemeralPublic = crypto.x25519PublicKey(this.#ephemeral);
    this.#state.mixHash(ephemeralPublic);
    if (!this.#state.mixSharedSecret(this.#ephemeral, serverKey)) throw new RangeError('server key of low order');
    const sealedKey = this.#state.seal(machineKey.publicKey);
    this.#state.mixSharedSecret(machineKey.exposeBytes(), serverKey);
    const tag = this.#state.seal(EMPTY);
    const version = Uint8Array.of(capabilityVersion >> 8, capabilityVersion & 0xff);
    const header = Uint8Array.of(TYPE_INITIATION, INITIATION_LENGTH >> 8, INITIATION_LENGTH & 0xff);
    this.initiation = concatBytes(version, header, ephemeralPublic, sealedKey, tag);
  }

  /** Reads exactly one response; more bytes behind it are not looked at. */
  readResponse(bytes: Uint8Array): NoiseSession | HandshakeFailure {
    if (bytes.length > 0 && bytes[0] === TYPE_ERROR) return 'refused';
    if (bytes.length < RESPONSE_BYTES) return 'short';
    if (bytes[0] !== TYPE_RESPONSE) return 'bad-type';
    if (readU16(bytes, 1) !== RESPONSE_LENGTH) return 'bad-length';
    const { machineKey, serverKey, capabilityVersion } = this.#options;
    const state = this.#state;
    const ephemeral = bytes.slice(3, 35);
    state.mixHash(ephemeral);
    if (!state.mixSharedSecret(this.#ephemeral, ephemeral)) return 'low-order';
    if (!state.mixSharedSecret(machineKey.exposeBytes(), ephemeral)) return 'low-order';
    if (state.open(bytes.slice(35, RESPONSE_BYTES)) === undefined) return 'damaged';
    const [sendKey, receiveKey] = state.split();
    return { sendKey, receiveKey, remoteKey: serverKey, capabilityVersion, handshakeHash: state.hash };
  }
}

export interface ResponderOptions {
  readonly serverKey: MachinePrivateKey;
  readonly crypto: NoiseCrypto;
  readonly rng: Rng;
}

export interface NoiseAnswer {
  /** {@link RESPONSE_BYTES} bytes for the client. */
  readonly response: Uint8Array;
  /** `remoteKey` is the proven machine key of the client. */
  readonly session: NoiseSession;
}

/** The server's half: checks an initiation of exactly {@link INITIATION_BYTES} bytes and answers it. */
export function answerInitiation(bytes: Uint8Array, options: ResponderOptions): NoiseAnswer | HandshakeFailure {
  const { serverKey, crypto } = options;
  if (bytes.length < INITIATION_BYTES) return 'short';
  if (bytes[2] !== TYPE_INITIATION) return 'bad-type';
  if (bytes.length > INITIATION_BYTES || readU16(bytes, 3) !== INITIATION_LENGTH) return 'bad-length';
  const capabilityVersion = readU16(bytes, 0);
  if (capabilityVersion === 0) return 'bad-version';

  const state = startTranscript(crypto, capabilityVersion, serverKey.publicKey);
  const remoteEphemeral = bytes.slice(5, 37);
  state.mixHash(remoteEphemeral);
  if (!state.mixSharedSecret(serverKey.exposeBytes(), remoteEphemeral)) return 'low-order';
  const remoteBytes = state.open(bytes.slice(37, 85));
  if (remoteBytes === undefined) return 'damaged';
  if (!state.mixSharedSecret(serverKey.exposeBytes(), remoteBytes)) return 'low-order';
  if (state.open(bytes.slice(85)) === undefined) return 'damaged';

  const ephemeral = drawEphemeral(options.rng);
  const ephemeralPublic = crypto.x25519PublicKey(ephemeral);
  state.mixHash(ephemeralPublic);
  state.mixSharedSecret(ephemeral, remoteEphemeral);
  state.mixSharedSecret(ephemeral, remoteBytes);
  const header = Uint8Array.of(TYPE_RESPONSE, RESPONSE_LENGTH >> 8, RESPONSE_LENGTH & 0xff);
  const response = concatBytes(header, ephemeralPublic, state.seal(EMPTY));
  const [receiveKey, sendKey] = state.split();
  const remoteKey = decodePublicKey('machine', remoteBytes);
  return { response, session: { sendKey, receiveKey, remoteKey, capabilityVersion, handshakeHash: state.hash } };
}

function startTranscript(crypto: NoiseCrypto, capabilityVersion: number, serverKey: Uint8Array): SymmetricState {
  const state = new SymmetricState(crypto);
  state.mixHash(encodeUtf8(`Tailscale Control Protocol v${capabilityVersion}`));
  state.mixHash(serverKey);
  return state;
}

function drawEphemeral(rng: Rng): Uint8Array {
  const ephemeral = new Uint8Array(32);
  rng.fill(ephemeral);
  return ephemeral;
}

function readU16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] as number) << 8) | (bytes[offset + 1] as number);
}
