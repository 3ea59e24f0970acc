import { concatBytes } from '../bytes/equal.ts';
import { decodeUtf8 } from '../bytes/utf8.ts';

// docs/spec/control.md#frames
//
//    0   4  size of the message, u32 LITTLE-endian, never 0
//    4   n  one MapResponse as JSON, or one zstd frame (begins 28 b5 2f fd) with that JSON

/** Largest message on the wire. A netmap of 10,000 peers has about 1 MiB compressed. */
export const MAP_FRAME_BYTES_MAX: number = 16 * 1024 * 1024;
/** Largest message after decompression. */
export const MAP_JSON_BYTES_MAX: number = 64 * 1024 * 1024;

const HEADER_BYTES = 4;

/** Decompresses one zstd frame into at most `bytesMax` bytes; `undefined` when it is damaged or longer. */
export type Decompress = (frame: Uint8Array, bytesMax: number) => Uint8Array | undefined;

/** Why the body of a map answer cannot be read on. */
export type MapFrameFailure = 'empty-frame' | 'oversize-frame' | 'bad-compression' | 'bad-json';

/**
 * Cuts the body of a map answer into messages. One reader for a body, from its first byte to its last: HTTP/2 may cut
 * anywhere. Holds one partial message of at most {@link MAP_FRAME_BYTES_MAX}. After a failure nothing is read any more.
 */
export class MapFrameReader {
  readonly #decompress: Decompress;
  readonly #messages: unknown[] = [];
  #chunks: Uint8Array[] = [];
  #heldBytes = 0;
  #failure: MapFrameFailure | undefined;

  constructor(decompress: Decompress) {
    this.#decompress = decompress;
  }

  get failure(): MapFrameFailure | undefined {
    return this.#failure;
  }

  /** True while a message has begun and not ended: an end of the body is then damage. */
  get isMidFrame(): boolean {
    return this.#heldBytes > 0;
  }

  /** Keeps the chunk until its message is complete: it must not be changed. */
  handleBytes(chunk: Uint8Array): void {
    if (this.#failure !== undefined || chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#heldBytes += chunk.length;
    for (let size = this.#nextSize(); size !== undefined; size = this.#nextSize()) this.#takeFrame(size);
  }

  /** The next message as parsed JSON, or `undefined`. */
  pollMessage(): unknown {
    return this.#messages.shift();
  }

  /** Size of the first message once all of it is there. */
  #nextSize(): number | undefined {
    if (this.#failure !== undefined || this.#heldBytes < HEADER_BYTES) return undefined;
    const first = this.#chunks[0] as Uint8Array;
    const head = first.length >= HEADER_BYTES ? first : this.#join();
    const size = new DataView(head.buffer, head.byteOffset).getUint32(0, true);
    if (size === 0) this.#fail('empty-frame');
    if (size > MAP_FRAME_BYTES_MAX) this.#fail('oversize-frame');
    return this.#failure === undefined && this.#heldBytes >= HEADER_BYTES + size ? size : undefined;
  }

  #takeFrame(size: number): void {
    const bytes = this.#join();
    const end = HEADER_BYTES + size;
    this.#chunks = bytes.length > end ? [bytes.subarray(end)] : [];
    this.#heldBytes = bytes.length - end;
    this.#parse(bytes.subarray(HEADER_BYTES, end));
  }

  #parse(frame: Uint8Array): void {
    const bytes = isZstd(frame) ? this.#decompress(frame, MAP_JSON_BYTES_MAX) : frame;
    if (bytes === undefined) {
      this.#fail('bad-compression');
      return;
    }
    try {
      const message: unknown = JSON.parse(decodeUtf8(bytes) ?? '');
      this.#messages.push(message ?? {});
    } catch {
      this.#fail('bad-json');
    }
  }

  #join(): Uint8Array {
    const joined = this.#chunks.length === 1 ? (this.#chunks[0] as Uint8Array) : concatBytes(...this.#chunks);
    this.#chunks = [joined];
    return joined;
  }

  #fail(failure: MapFrameFailure): void {
    this.#failure = failure;
    this.#chunks = [];
    this.#heldBytes = 0;
  }
}

/** Builds one uncompressed frame: for servers. */
export function encodeMapFrame(message: Uint8Array): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  new DataView(header.buffer).setUint32(0, message.length, true);
  return concatBytes(header, message);
}

function isZstd(frame: Uint8Array): boolean {
  return frame[0] === 0x28 && frame[1] === 0xb5 && frame[2] === 0x2f && frame[3] === 0xfd;
}
