import { encodeFrameHeader, FRAME_HEADER_BYTES } from './frames.ts';

const PAGE_BYTES = 0x10000;

/**
 * Lays frames one behind the other in pages of 64 KiB, so that a burst of packets becomes one write.
 * What was taken is never touched again; the free rest of the page is used for the frames that follow.
 */
export class FrameOutput {
  #page = new Uint8Array(0);
  /** First byte of the page that is not taken yet. */
  #start = 0;
  #end = 0;
  #full: Uint8Array[] = [];
  #pendingBytes = 0;

  /** Bytes begun and not yet taken. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Where the payload of the frame begun last belongs. */
  get bytes(): Uint8Array {
    return this.#page;
  }

  /**
   * Writes the header of a frame and returns the offset in {@link bytes} at which the caller must write the payload,
   * before anything else. -1 when more than `limitBytes` would be pending: the newest is what does not go out.
   */
  begin(type: number, payloadLength: number, limitBytes: number): number {
    const size = FRAME_HEADER_BYTES + payloadLength;
    if (this.#pendingBytes + size > limitBytes) return -1;
    if (this.#end + size > this.#page.length) this.#turnPage(size);
    const at = this.#end;
    encodeFrameHeader(this.#page, at, type, payloadLength);
    this.#end += size;
    this.#pendingBytes += size;
    return at + FRAME_HEADER_BYTES;
  }

  /** The next bytes of the stream, which the caller then owns; `undefined` when nothing is pending. */
  take(): Uint8Array | undefined {
    const taken = this.#full.shift() ?? this.#takePage();
    if (taken !== undefined) this.#pendingBytes -= taken.length;
    return taken;
  }

  #takePage(): Uint8Array | undefined {
    if (this.#end === this.#start) return undefined;
    const taken = this.#page.subarray(this.#start, this.#end);
    this.#start = this.#end;
    return taken;
  }

  #turnPage(neededBytes: number): void {
    const rest = this.#takePage();
    if (rest !== undefined) this.#full.push(rest);
    this.#page = new Uint8Array(Math.max(PAGE_BYTES, neededBytes));
    this.#start = 0;
    this.#end = 0;
  }
}
