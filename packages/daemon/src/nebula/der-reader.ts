/** One element of ASN.1 DER; both are views of the bytes it was read from. */
export interface DerElement {
  /** With tag and length. */
  readonly element: Uint8Array;
  readonly content: Uint8Array;
}

/** Reads ASN.1 DER element by element: tags of one byte, lengths in their shortest form (X.690 §8.1, §10.1). */
export class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The next element if it is whole and has that tag, else undefined and nothing is consumed. */
  read(tag: number): DerElement | undefined {
    const start = this.#at;
    if (this.#bytes[start] !== tag) return undefined;
    const length = readLength(this.#bytes, start + 1);
    if (length === undefined || length.contentAt + length.bytes > this.#bytes.length) return undefined;
    this.#at = length.contentAt + length.bytes;
    return {
      element: this.#bytes.subarray(start, this.#at),
      content: this.#bytes.subarray(length.contentAt, this.#at),
    };
  }
}

const LONG_FORM = 0x80;
const LENGTH_OCTETS_MAX = 3;

function readLength(bytes: Uint8Array, at: number): { readonly bytes: number; readonly contentAt: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  if (first < LONG_FORM) return { bytes: first, contentAt: at + 1 };
  const octets = first - LONG_FORM;
  if (octets === 0 || octets > LENGTH_OCTETS_MAX) return undefined;
  let length = 0;
  for (let i = 1; i <= octets; i++) length = length * 256 + (bytes[at + i] ?? 0);
  const isShortest = length >= LONG_FORM && length >= 256 ** (octets - 1);
  return isShortest ? { bytes: length, contentAt: at + 1 + octets } : undefined;
}
