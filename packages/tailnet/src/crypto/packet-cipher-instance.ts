import { PACKET_CIPHER_MODULE } from './packet-cipher-module.generated.ts';

const PAGE_BYTES = 65536;

/** The exports of assembly/packet-cipher.ts. Offsets count from the start of the instance's memory. */
interface CipherExports {
  readonly KEY_OFFSET: { readonly value: number };
  readonly FREE_OFFSET: { readonly value: number };
  seal(at: number, length: number, counterLow: number, counterHigh: number): void;
  open(at: number, length: number, counterLow: number, counterHigh: number): number;
}

/** The part of the WebAssembly API used here: neither ES2023 nor @types/node declares it. */
interface WebAssemblyApi {
  Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: unknown };
}

/** One WebAssembly instance of the packet cipher with a memory of its own, whose size never changes. */
export class PacketCipherInstance {
  readonly buffer: ArrayBuffer;
  /** Offset in `buffer` from which on the bytes belong to the caller; 8-byte aligned. */
  readonly freeOffset: number;
  readonly #exports: CipherExports;
  readonly #key: Uint8Array;
  #keyOwner: object | undefined;

  /**
   * @param freeBytes At least that many bytes are the caller's. The pages are only touched when they are used.
   * @throws {Error} when this runtime has no WebAssembly or no SIMD, or the memory is refused.
   */
  constructor(freeBytes: number) {
    const api = webAssembly();
    compiled ??= new api.Module(Buffer.from(PACKET_CIPHER_MODULE, 'base64'));
    // The offset of the free bytes is an export, known only after the memory was chosen: it is less than one page.
    const pages = Math.ceil(freeBytes / PAGE_BYTES) + 1;
    const memory = new api.Memory({ initial: pages, maximum: pages });
    this.#exports = new api.Instance(compiled, { env: { memory } }).exports as CipherExports;
    this.buffer = memory.buffer;
    this.freeOffset = this.#exports.FREE_OFFSET.value;
    this.#key = new Uint8Array(this.buffer, this.#exports.KEY_OFFSET.value, 32);
  }

  /** Loads a cipher's key unless it is the one loaded last: traffic comes in runs of one peer. */
  loadKey(owner: object, key: Uint8Array): void {
    if (this.#keyOwner === owner) return;
    this.#key.set(key);
    this.#keyOwner = owner;
  }

  /** Overwrites the loaded key if it is this cipher's. */
  forgetKey(owner: object): void {
    if (this.#keyOwner !== owner) return;
    this.#key.fill(0);
    this.#keyOwner = undefined;
  }

  /** Seals with the loaded key. `at` counts from the start of `buffer`; the caller has checked the bounds. */
  seal(at: number, length: number, counter: number): void {
    this.#exports.seal(at, length, counter | 0, Math.floor(counter / 0x1_0000_0000));
  }

  /** Opens `length` bytes of ciphertext that are followed by their tag. */
  open(at: number, length: number, counter: number): boolean {
    return this.#exports.open(at, length, counter | 0, Math.floor(counter / 0x1_0000_0000)) === 1;
  }
}

let compiled: object | undefined;

function webAssembly(): WebAssemblyApi {
  const api = (globalThis as { WebAssembly?: WebAssemblyApi }).WebAssembly;
  if (api === undefined) throw new Error('this runtime has no WebAssembly');
  return api;
}
