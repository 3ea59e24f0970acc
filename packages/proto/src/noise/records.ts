import { concatBytes } from '../bytes/equal.ts';
import type { NoiseCrypto } from './symmetric-state.ts';

// docs/spec/ts2021.md#records
//
//    0   1  type 0x04
//    1   2  length of the ciphertext with its tag, u16 big-endian
//    3   n  ChaCha20-Poly1305; nonce = 4 zero bytes, then the record's number as u64 BIG-endian; no associated data
//
// A byte stream: where a record ends means nothing, and an empty one is legal.

/** Largest record on the wire, header included; a longer one is fatal to the receiver. */
export const RECORD_BYTES_MAX = 4096;
/** Largest plaintext of one record. */
export const RECORD_PLAINTEXT_MAX: number = RECORD_BYTES_MAX - 3 - 16;

const TYPE_RECORD = 0x04;
const HEADER_BYTES = 3;
const TAG_BYTES = 16;
const EMPTY = new Uint8Array(0);

/** Seals one direction of a connection. */
export class RecordWriter {
  readonly #key: Uint8Array;
  readonly #crypto: Pick<NoiseCrypto, 'chachaSeal'>;
  readonly #nonce = new RecordNonce();

  constructor(key: Uint8Array, crypto: Pick<NoiseCrypto, 'chachaSeal'>) {
    this.#key = key;
    this.#crypto = crypto;
  }

  /** Cuts the bytes into as many records as they need and returns these as one new array; empty for no bytes. */
  seal(plaintext: Uint8Array): Uint8Array {
    const records: Uint8Array[] = [];
    for (let at = 0; at < plaintext.length; at += RECORD_PLAINTEXT_MAX) {
      const part = plaintext.subarray(at, at + RECORD_PLAINTEXT_MAX);
      const sealed = this.#crypto.chachaSeal(this.#key, this.#nonce.next(), part, EMPTY);
      records.push(Uint8Array.of(TYPE_RECORD, sealed.length >> 8, sealed.length & 0xff), sealed);
    }
    return concatBytes(...records);
  }
}

/** Why a connection must be destroyed. */
export type RecordFailure = 'bad-type' | 'bad-length' | 'damaged';

/**
 * Opens one direction of a connection: {@link handleBytes} takes any cut of the stream, {@link pollPlaintext} returns
 * what was inside. After a failure nothing is read any more. Holds at most one partial record of
 * {@link RECORD_BYTES_MAX} bytes besides the plaintext of the last chunk.
 */
export class RecordReader {
  readonly #key: Uint8Array;
  readonly #crypto: Pick<NoiseCrypto, 'chachaOpen'>;
  readonly #nonce = new RecordNonce();
  readonly #plaintexts: Uint8Array[] = [];
  #partial: Uint8Array = EMPTY;
  #failure: RecordFailure | undefined;

  constructor(key: Uint8Array, crypto: Pick<NoiseCrypto, 'chachaOpen'>) {
    this.#key = key;
    this.#crypto = crypto;
  }

  get failure(): RecordFailure | undefined {
    return this.#failure;
  }

  /** The chunk is only borrowed. */
  handleBytes(chunk: Uint8Array): void {
    if (this.#failure !== undefined) return;
    const bytes = this.#partial.length === 0 ? chunk : concatBytes(this.#partial, chunk);
    let at = 0;
    while (this.#failure === undefined && bytes.length - at >= HEADER_BYTES) {
      const length = ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
      this.#failure = checkHeader(bytes[at] as number, length);
      const end = at + HEADER_BYTES + length;
      if (this.#failure !== undefined || bytes.length < end) break;
      this.#openRecord(bytes.subarray(at + HEADER_BYTES, end));
      at = end;
    }
    this.#partial = this.#failure === undefined ? bytes.slice(at) : EMPTY;
  }

  /** The next plaintext, never empty, or `undefined`. The caller owns it. */
  pollPlaintext(): Uint8Array | undefined {
    return this.#plaintexts.shift();
  }

  #openRecord(sealed: Uint8Array): void {
    const plaintext = this.#crypto.chachaOpen(this.#key, this.#nonce.next(), sealed, EMPTY);
    if (plaintext === undefined) this.#failure = 'damaged';
    else if (plaintext.length > 0) this.#plaintexts.push(plaintext);
  }
}

function checkHeader(type: number, length: number): RecordFailure | undefined {
  if (type !== TYPE_RECORD) return 'bad-type';
  return length < TAG_BYTES || length > RECORD_BYTES_MAX - HEADER_BYTES ? 'bad-length' : undefined;
}

/** Counts records; 2^53 of them are never reached, so the number stays exact. */
class RecordNonce {
  readonly #bytes = new Uint8Array(12);
  readonly #view = new DataView(this.#bytes.buffer);
  #counter = 0;

  /** The nonce of the next record; overwritten by the next call. */
  next(): Uint8Array {
    this.#view.setUint32(4, Math.floor(this.#counter / 0x1_0000_0000));
    this.#view.setUint32(8, this.#counter >>> 0);
    this.#counter += 1;
    return this.#bytes;
  }
}
