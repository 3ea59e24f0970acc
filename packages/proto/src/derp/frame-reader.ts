import { FRAME_HEADER_BYTES, isKnownFrameType } from './frames.ts';

const EMPTY = new Uint8Array(0);
const PARTIAL_BYTES_MIN = 4096;
/** A larger reassembly buffer is given back after the frame that needed it. */
const PARTIAL_BYTES_KEPT = 0x20000;

/**
 * Cuts a byte stream into frames. A frame that lies whole in a chunk is read in place; only one that spans chunks is
 * copied, each byte once (the reassembly buffer grows by doubling, never by what the header claims).
 *
 * Stages: header → payload (known type) → header, or header → skip (unknown type, nothing is buffered) → header.
 * A frame longer than the bound ends at `isTooLarge`, which is final.
 *
 * Use: `feed(chunk)`, then `next()` until it returns false. The chunk is borrowed until then. After `next()` returned
 * true the frame is `type` and `bytes[offset .. offset+length)`, valid until the next call.
 */
export class FrameReader {
  type = 0;
  bytes: Uint8Array = EMPTY;
  offset = 0;
  length = 0;
  /** Frames of unknown type so far. */
  skippedCount = 0;
  readonly #payloadBytesMax: number;
  #stage: 'header' | 'payload' | 'skip' | 'too-large' = 'header';
  #chunk: Uint8Array = EMPTY;
  #at = 0;
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #headerLength = 0;
  /** Payload bytes of the current frame, and of those the ones still to come when it is skipped. */
  #payloadLength = 0;
  #partial: Uint8Array = EMPTY;
  #partialLength = 0;

  constructor(payloadBytesMax: number) {
    this.#payloadBytesMax = payloadBytesMax;
  }

  get isTooLarge(): boolean {
    return this.#stage === 'too-large';
  }

  /** @throws {RangeError} when the chunk before was not read to its end. */
  feed(chunk: Uint8Array): void {
    if (this.#at < this.#chunk.length) throw new RangeError('the chunk before is not read to its end');
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** Advances to the next whole frame of a known type; false when more bytes are needed. */
  next(): boolean {
    for (;;) {
      if (this.#stage === 'header' && !this.#readHeader()) break;
      if (this.#stage === 'payload') {
        if (!this.#readPayload()) break;
        this.#stage = 'header';
        return true;
      }
      if (this.#stage === 'skip' && !this.#skip()) break;
      if (this.#stage === 'too-large') break;
    }
    // Everything is consumed or copied: the caller's chunk is not kept alive.
    this.#chunk = EMPTY;
    this.#at = 0;
    return false;
  }

  #readHeader(): boolean {
    const left = this.#chunk.length - this.#at;
    if (this.#headerLength === 0 && left >= FRAME_HEADER_BYTES) {
      this.#startFrame(this.#chunk, this.#at);
      this.#at += FRAME_HEADER_BYTES;
      return true;
    }
    while (this.#headerLength < FRAME_HEADER_BYTES && this.#at < this.#chunk.length) {
      this.#header[this.#headerLength++] = this.#chunk[this.#at++] as number;
    }
    if (this.#headerLength < FRAME_HEADER_BYTES) return false;
    this.#headerLength = 0;
    this.#startFrame(this.#header, 0);
    return true;
  }

  #startFrame(bytes: Uint8Array, at: number): void {
    const high = (bytes[at + 1] as number) * 0x1000000;
    const low = ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 8) | (bytes[at + 4] as number);
    this.type = bytes[at] as number;
    this.#payloadLength = high + low;
    this.#partialLength = 0;
    if (this.#payloadLength > this.#payloadBytesMax) this.#stage = 'too-large';
    else if (isKnownFrameType(this.type)) this.#stage = 'payload';
    else {
      this.#stage = 'skip';
      this.skippedCount++;
    }
  }

  #readPayload(): boolean {
    const left = this.#chunk.length - this.#at;
    if (this.#partialLength === 0 && left >= this.#payloadLength) {
      this.#found(this.#chunk, this.#at);
      this.#at += this.#payloadLength;
      return true;
    }
    if (this.#partialLength === 0 && this.#partial.length > PARTIAL_BYTES_KEPT) this.#partial = EMPTY;
    const take = Math.min(left, this.#payloadLength - this.#partialLength);
    this.#growPartial(this.#partialLength + take);
    this.#partial.set(this.#chunk.subarray(this.#at, this.#at + take), this.#partialLength);
    this.#partialLength += take;
    this.#at += take;
    if (this.#partialLength < this.#payloadLength) return false;
    this.#found(this.#partial, 0);
    return true;
  }

  #found(bytes: Uint8Array, offset: number): void {
    this.bytes = bytes;
    this.offset = offset;
    this.length = this.#payloadLength;
  }

  #growPartial(neededBytes: number): void {
    if (neededBytes <= this.#partial.length) return;
    const grown = new Uint8Array(Math.max(neededBytes, 2 * this.#partial.length, PARTIAL_BYTES_MIN));
    grown.set(this.#partial.subarray(0, this.#partialLength));
    this.#partial = grown;
  }

  #skip(): boolean {
    const take = Math.min(this.#chunk.length - this.#at, this.#payloadLength);
    this.#at += take;
    this.#payloadLength -= take;
    if (this.#payloadLength > 0) return false;
    this.#stage = 'header';
    return true;
  }
}
