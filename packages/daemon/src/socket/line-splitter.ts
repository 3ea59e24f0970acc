/**
 * Cuts a byte stream into lines (docs/spec/control-socket.md#framing). A line ends with 0x0A; one 0x0D before it is
 * dropped. A line above the limit is reported once and skipped up to its end, so it costs nobody the connection.
 */

import { Buffer } from 'node:buffer';

export type Line =
  | { readonly kind: 'line'; readonly text: string }
  /** Longer than the limit; its bytes are gone. */
  | { readonly kind: 'too-long' }
  /** Not UTF-8. */
  | { readonly kind: 'bad-text' };

export class LineSplitter {
  readonly #lengthMax: number;
  #parts: Uint8Array[] = [];
  #length = 0;
  #isSkipping = false;
  #isFirst = true;
  /** Bytes dropped of the line being skipped now: the owner closes a connection that never ends its line. */
  skippedBytes = 0;

  /** @param lengthMax bytes of a line without its newline */
  constructor(lengthMax: number) {
    this.#lengthMax = lengthMax;
  }

  /** Returns the lines the chunk completes. Blank lines are not reported. The chunk is kept until its line ends. */
  push(chunk: Uint8Array): Line[] {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      this.#append(chunk.subarray(start, end), lines);
      this.#finish(lines);
      start = end + 1;
    }
    if (start < chunk.length) this.#append(chunk.subarray(start), lines);
    return lines;
  }

  /** The text of an unfinished last line, when the stream ends without a newline. */
  end(): Line[] {
    const lines: Line[] = [];
    this.#finish(lines);
    return lines;
  }

  #append(part: Uint8Array, lines: Line[]): void {
    if (this.#isSkipping) {
      this.skippedBytes += part.length;
      return;
    }
    this.#parts.push(part);
    this.#length += part.length;
    // One more byte is allowed for a carriage return.
    if (this.#length <= this.#lengthMax + 1) return;
    this.#isSkipping = true;
    this.skippedBytes = this.#length;
    this.#parts = [];
    lines.push({ kind: 'too-long' });
  }

  #finish(lines: Line[]): void {
    const wasSkipping = this.#isSkipping;
    const bytes = this.#parts.length === 1 ? (this.#parts[0] as Uint8Array) : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#length = 0;
    this.#isSkipping = false;
    this.skippedBytes = 0;
    if (wasSkipping) return;
    const body = bytes.at(-1) === 0x0d ? bytes.subarray(0, -1) : bytes;
    if (body.length > this.#lengthMax) lines.push({ kind: 'too-long' });
    else this.#decode(body, lines);
  }

  #decode(body: Uint8Array, lines: Line[]): void {
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    try {
      const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: !isFirst }).decode(body);
      if (text.trim() !== '') lines.push({ kind: 'line', text });
    } catch {
      lines.push({ kind: 'bad-text' });
    }
  }
}
