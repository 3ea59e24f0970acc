import type { CryptoProvider, Rng } from '../../crypto/provider.ts';
import { encodeMappedAddress, type IpAddress } from '../../ip/address.ts';
import type { Endpoint } from '../../ip/endpoint.ts';

const SECRET_BYTES = 32;
/** RFC 6528 §3: one tick each 4 µs. */
const TICKS_PER_MS = 250;

/** What a flow's hash gives: both are signed 32-bit. */
export interface FlowNumbers {
  readonly initialSequence: number;
  /** Added to the millisecond clock of the timestamp option, so that it tells nothing about uptime (RFC 7323 §5.4). */
  readonly timestampOffset: number;
}

/** Initial sequence numbers and timestamp offsets: a clock plus a keyed hash of the 4-tuple (RFC 6528 §3). */
export class FlowSecrets {
  readonly #blake2s: (message: Uint8Array) => Uint8Array;
  readonly #message: Uint8Array = new Uint8Array(SECRET_BYTES + 36);

  constructor(crypto: Pick<CryptoProvider, 'blake2s'>, rng: Rng) {
    this.#blake2s = (message) => crypto.blake2s(message);
    rng.fill(this.#message.subarray(0, SECRET_BYTES));
  }

  derive(local: Endpoint, remote: Endpoint, nowMs: number): FlowNumbers {
    const words = this.#hash(local.address, local.port, remote);
    return {
      initialSequence: (words.getInt32(0) + Math.floor(nowMs * TICKS_PER_MS)) | 0,
      timestampOffset: words.getInt32(4),
    };
  }

  /** Where the local ports towards a remote endpoint begin (RFC 6056 §3.3.3): unsigned 32-bit. */
  portOffset(local: IpAddress, remote: Endpoint): number {
    return this.#hash(local, 0, remote).getUint32(8);
  }

  #hash(local: IpAddress, localPort: number, remote: Endpoint): DataView {
    const message = this.#message;
    encodeMappedAddress(local, message, SECRET_BYTES);
    encodeMappedAddress(remote.address, message, SECRET_BYTES + 16);
    const ports = new DataView(message.buffer, SECRET_BYTES + 32);
    ports.setUint16(0, localPort);
    ports.setUint16(2, remote.port);
    const digest = this.#blake2s(message);
    return new DataView(digest.buffer, digest.byteOffset);
  }
}
