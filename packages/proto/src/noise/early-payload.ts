import { concatBytes } from '../bytes/equal.ts';
import { decodeUtf8, encodeUtf8 } from '../bytes/utf8.ts';

// docs/spec/ts2021.md#early-payload: what a server may send before its first HTTP/2 frame.
//
//    0   5  ff ff ff 54 53
//    5   4  u32 big-endian, length of the JSON
//    9   n  JSON, {"nodeKeyChallenge":"chalpub:<64 hex>"}

/** Longest JSON accepted. Real ones have 95 bytes. */
export const EARLY_JSON_BYTES_MAX: number = 64 * 1024;

const MAGIC = Uint8Array.of(0xff, 0xff, 0xff, 0x54, 0x53);
const HEADER_BYTES = 9;
const EMPTY = new Uint8Array(0);

/** Builds the frame around a JSON text: for servers. */
export function encodeEarlyPayload(json: string): Uint8Array {
  const body = encodeUtf8(json);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, body.length);
  return concatBytes(MAGIC, length, body);
}

type SplitterState = 'sniffing' | 'reading' | 'passing' | 'failed';

/**
 * Takes the optional early payload off the start of the decrypted stream, however it is cut.
 * States: `sniffing` (first 9 bytes), `reading` (the JSON), `passing` (everything belongs to HTTP/2), `failed`.
 */
export class EarlyPayloadSplitter {
  #state: SplitterState = 'sniffing';
  #held: Uint8Array = EMPTY;
  #json: string | undefined;

  /** True after a length above {@link EARLY_JSON_BYTES_MAX}: the connection must be destroyed. */
  get isFailed(): boolean {
    return this.#state === 'failed';
  }

  /** The JSON text once it has arrived; `undefined` before, without one, and when it is no UTF-8. */
  get json(): string | undefined {
    return this.#json;
  }

  /** Returns the bytes for HTTP/2, possibly none. The chunk may be returned as it is. */
  handleBytes(chunk: Uint8Array): Uint8Array {
    if (this.#state === 'passing') return chunk;
    if (this.#state === 'failed') return EMPTY;
    this.#held = concatBytes(this.#held, chunk);
    this.#state = this.#nextState();
    return this.#state === 'passing' ? this.#release() : EMPTY;
  }

  #nextState(): SplitterState {
    const sniffed = this.#held.subarray(0, MAGIC.length);
    if (!sniffed.every((byte, i) => byte === MAGIC[i])) return 'passing';
    if (this.#held.length < HEADER_BYTES) return 'sniffing';
    const length = new DataView(this.#held.buffer, this.#held.byteOffset).getUint32(MAGIC.length);
    if (length > EARLY_JSON_BYTES_MAX) return 'failed';
    const end = HEADER_BYTES + length;
    if (this.#held.length < end) return 'reading';
    this.#json = decodeUtf8(this.#held.subarray(HEADER_BYTES, end));
    this.#held = this.#held.slice(end);
    return 'passing';
  }

  #release(): Uint8Array {
    const bytes = this.#held;
    this.#held = EMPTY;
    return bytes;
  }
}
