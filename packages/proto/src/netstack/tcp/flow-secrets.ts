import type { Rng } from '../../crypto/provider.ts';
import { sipHash24 } from '../../crypto/siphash.ts';
import { type IpAddress, wordOf } from '../../ip/address.ts';
import type { Endpoint } from '../../ip/endpoint.ts';

const KEY_BYTES = 16;
/** RFC 6528 §3: one tick each 4 µs. */
const TICKS_PER_MS = 250;
/** Both addresses and the ports. */
const MESSAGE_WORDS = 9;

/** What a flow's hash gives: both are signed 32-bit. */
export interface FlowNumbers {
  readonly initialSequence: number;
  /** Added to the millisecond clock of the timestamp option, so that it tells nothing about uptime (RFC 7323 §5.4). */
  readonly timestampOffset: number;
}

/** Initial sequence numbers and timestamp offsets: a clock plus a keyed hash of the 4-tuple (RFC 6528 §3). */
export class FlowSecrets {
  readonly #key: Int32Array;
  readonly #message: Int32Array = new Int32Array(MESSAGE_WORDS);
  readonly #hash: Int32Array = new Int32Array(2);

  constructor(rng: Rng) {
    const key = new Uint8Array(KEY_BYTES);
    rng.fill(key);
    this.#key = new Int32Array(key.buffer);
  }

  derive(local: Endpoint, remote: Endpoint, nowMs: number): FlowNumbers {
    this.#digest(local.address, local.port, remote);
    return {
      initialSequence: ((this.#hash[0] as number) + Math.floor(nowMs * TICKS_PER_MS)) | 0,
      timestampOffset: this.#hash[1] as number,
    };
  }

  /** Where the local ports towards a remote endpoint begin (RFC 6056 §3.3.3): unsigned 32-bit. */
  portOffset(local: IpAddress, remote: Endpoint): number {
    // No flow has port 0: this hash is none of theirs.
    this.#digest(local, 0, remote);
    return (this.#hash[0] as number) >>> 0;
  }

  #digest(local: IpAddress, localPort: number, remote: Endpoint): void {
    const message = this.#message;
    for (let i = 0; i < 4; i++) {
      message[i] = wordOf(local, 4 * i);
      message[4 + i] = wordOf(remote.address, 4 * i);
    }
    message[8] = (localPort << 16) | remote.port;
    sipHash24(this.#key, message, this.#hash);
  }
}
