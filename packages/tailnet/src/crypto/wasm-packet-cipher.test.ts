import { PACKET_SLOT_BYTES, PacketArena } from '@heddle/proto/bytes/packet-arena';
import { nobleProvider } from '@heddle/proto/crypto/noble-provider';
import { poly1305 } from '@noble/ciphers/_poly1305.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRng } from '../../../proto/test/seeded-rng.ts';
import { PACKET_CIPHER_MODULE } from './packet-cipher-module.generated.ts';
import { isPacketCipherRight, KNOWN_TAGS } from './packet-cipher-self-test.ts';
import { createPacketMemory } from './packet-memory.ts';
import { createWasmMemory, WasmPacketCipher } from './wasm-packet-cipher.ts';

const LENGTH_MAX = 2000;
const TAG_BYTES = 16;
const key = randomBytes(1, 32);
const reference = nobleProvider.createPacketCipher(key);

describe('packet cipher module', () => {
  test('is what its sources compile to', async () => {
    const { compile } = (await import('../../assembly/build.mjs' as string)) as { compile: () => Promise<string> };
    const text = await compile();
    expect(text).toContain(PACKET_CIPHER_MODULE.slice(0, 116));
    expect(text.replaceAll('\\\n', '')).toContain(`\`${PACKET_CIPHER_MODULE}\``);
  }, 60_000);

  test('agrees with the reference at every length and many alignments, and touches no byte outside', () => {
    const cipher = new WasmPacketCipher(key);
    const memory = createWasmMemory(2 * PACKET_SLOT_BYTES);
    for (let length = 0; length <= LENGTH_MAX; length++) {
      const offset = 16 + ((length * 7) % 61);
      const counter = length * 0x1_0000_0001;
      const before = randomBytes(length, memory.length);
      const expected = before.slice();
      reference.seal(expected, offset, length, counter);
      memory.set(before);
      cipher.seal(memory, offset, length, counter);
      expect(Buffer.compare(memory, expected), `sealed ${length} bytes`).toBe(0);
      expect(cipher.open(memory, offset, length + TAG_BYTES, counter)).toBe(true);
      before.set(expected.subarray(offset + length, offset + length + TAG_BYTES), offset + length);
      expect(Buffer.compare(memory, before), `opened ${length} bytes`).toBe(0);
    }
  });

  test('a packet that does not open is left encrypted', () => {
    const cipher = new WasmPacketCipher(key);
    const memory = createWasmMemory(PACKET_SLOT_BYTES);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: LENGTH_MAX }), fc.nat(), fc.nat(7), (length, position, bit) => {
        memory.set(randomBytes(length, length));
        cipher.seal(memory, 0, length, 3);
        const at = position % (length + TAG_BYTES);
        memory[at] = (memory[at] as number) ^ (1 << bit);
        const before = memory.slice();
        expect(cipher.open(memory, 0, length + TAG_BYTES, 3)).toBe(false);
        expect(Buffer.compare(memory, before)).toBe(0);
      }),
    );
  });

  test('works on memory from elsewhere through a copy', () => {
    const cipher = new WasmPacketCipher(key);
    for (const length of [0, 1, 63, 64, 191, 192, 193, 448, 1280, 1999]) {
      const memory = randomBytes(length, 2100);
      const expected = memory.slice();
      reference.seal(expected, 33, length, 2 ** 33);
      cipher.seal(memory, 33, length, 2 ** 33);
      expect(Buffer.compare(memory, expected)).toBe(0);
      expect(cipher.open(memory, 33, length + TAG_BYTES, 2 ** 33)).toBe(true);
    }
    expect(() => cipher.seal(new Uint8Array(40_000), 0, 39_000, 1)).toThrow(RangeError);
  });

  test('many ciphers share several memories', () => {
    const memories = [createWasmMemory(4096), createWasmMemory(4096), new Uint8Array(4096)];
    const keys = Array.from({ length: 5 }, (_, i) => randomBytes(i, 32));
    const ciphers = keys.map((bytes) => new WasmPacketCipher(bytes));
    for (let step = 0; step < 60; step++) {
      const memory = memories[step % 3] as Uint8Array;
      const which = (step * 7) % 5;
      const expected = new Uint8Array(116).fill(step, 0, 100);
      memory.set(expected);
      nobleProvider.createPacketCipher(keys[which] as Uint8Array).seal(expected, 0, 100, step);
      ciphers[which]?.seal(memory, 0, 100, step);
      expect(memory.slice(0, 116)).toEqual(expected);
    }
  });

  test('a wiped key is gone from the memory', () => {
    const memory = createWasmMemory(4096);
    const cipher = new WasmPacketCipher(key);
    cipher.seal(memory, 0, 100, 1);
    expect(Buffer.from(memory.buffer).indexOf(key)).toBeGreaterThanOrEqual(0);
    cipher.wipe();
    expect(Buffer.from(memory.buffer).indexOf(key)).toBe(-1);
    expect(() => cipher.seal(memory, 0, 100, 2)).toThrow(TypeError);
  });
});

describe('Poly1305 of the module', () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const module = new WebAssembly.Module(Buffer.from(PACKET_CIPHER_MODULE, 'base64'));
  const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as {
    computeTag(keyAt: number, at: number, length: number): void;
    TAG_OFFSET: { value: number };
  };
  const bytes = new Uint8Array(memory.buffer);

  function expectSameTag(oneTimeKey: Uint8Array, message: Uint8Array): void {
    const [keyAt, at] = [8192, 16384];
    bytes.set(oneTimeKey, keyAt);
    bytes.set(message, at);
    exports.computeTag(keyAt, at, message.length);
    const padded = new Uint8Array(Math.ceil(message.length / 16) * 16 + 16);
    padded.set(message);
    new DataView(padded.buffer).setUint32(padded.length - 8, message.length, true);
    const tag = bytes.slice(exports.TAG_OFFSET.value, exports.TAG_OFFSET.value + 16);
    expect(tag).toEqual(poly1305(padded, oneTimeKey));
  }

  // Small r keeps sums near multiples of 2¹³⁰-5 (RFC 8439 A.3, vectors 7 to 11 are of this kind); large r fills limbs.
  const corners = [0, 1, 2, 3, 4, 5, 0x7f, 0x80, 0xfb, 0xfc, 0xfe, 0xff];
  test('agrees with the reference where limbs and carries are extreme', () => {
    for (const rLow of corners) {
      for (const rFill of [0, 0xff]) {
        for (const messageFill of [0, 1, 0xff]) {
          for (const sFill of [0, 0xff]) {
            for (const length of [0, 1, 15, 16, 17, 32, 48, 64, 80, 128, 1280]) {
              const oneTimeKey = new Uint8Array(32).fill(rFill, 0, 16).fill(sFill, 16);
              oneTimeKey[0] = rLow;
              const message = new Uint8Array(length).fill(messageFill);
              for (const first of corners) {
                if (length > 0) message[0] = first;
                expectSameTag(oneTimeKey, message);
              }
            }
          }
        }
      }
    }
  });

  test('reduces a sum of 2¹³⁰-5 and its neighbours', () => {
    // With r = 1 the sum is that of the blocks; the block of lengths adds 2¹²⁸ + 32·2⁶⁴, the data must supply the rest.
    const oneTimeKey = new Uint8Array(32);
    oneTimeKey[0] = 1;
    for (let difference = -8n; difference <= 8n; difference++) {
      const wanted = 2n ** 130n - 5n + difference - 3n * 2n ** 128n - 32n * 2n ** 64n;
      const first = wanted > 2n ** 128n - 1n ? 2n ** 128n - 1n : wanted;
      expectSameTag(oneTimeKey, new Uint8Array([...littleEndian(first), ...littleEndian(wanted - first)]));
    }
  });

  test('agrees with the reference on random keys and messages', () => {
    const byte = fc.oneof(fc.constantFrom(0, 0xff), fc.nat(255));
    const bytesOf = (minLength: number, maxLength: number) =>
      fc.array(byte, { minLength, maxLength }).map((list) => Uint8Array.from(list));
    fc.assert(fc.property(bytesOf(32, 32), bytesOf(0, 200), expectSameTag), { numRuns: 1000 });
  });
});

describe('createPacketMemory', () => {
  test('is zeroed, aligned, exactly as long as asked, and the start of an arena', () => {
    for (const slotCount of [1, 31, 32, 33, 1000]) {
      const memory = createPacketMemory(slotCount);
      expect(memory.length).toBe(slotCount * PACKET_SLOT_BYTES);
      expect(new PacketArena(memory).slotCount).toBe(slotCount);
      expect(memory.every((byte) => byte === 0)).toBe(true);
    }
  });
  test('a cipher reaches its last byte', () => {
    const memory = createPacketMemory(32);
    const cipher = new WasmPacketCipher(key);
    cipher.seal(memory, memory.length - 1300, 1284, 1);
    expect(cipher.open(memory, memory.length - 1300, 1300, 1)).toBe(true);
  });
  test('an impossible slot count is a RangeError', () => {
    for (const slotCount of [0, -1, 1.5, Number.NaN, 131_073]) {
      expect(() => createPacketMemory(slotCount)).toThrow(RangeError);
    }
  });
});

describe('packet cipher self-test', () => {
  test('its known answers are the reference provider’s', () => {
    expect(isPacketCipherRight(nobleProvider.createPacketCipher, new Uint8Array(2048))).toBe(true);
    expect(KNOWN_TAGS.length).toBeGreaterThan(4);
  });
  test('a wrong cipher does not pass', () => {
    const memory = new Uint8Array(2048);
    const wrong = (broken: object) => (bytes: Uint8Array) => {
      const right = nobleProvider.createPacketCipher(bytes);
      return { seal: right.seal.bind(right), open: right.open.bind(right), wipe: right.wipe.bind(right), ...broken };
    };
    expect(isPacketCipherRight(wrong({}), memory)).toBe(true);
    expect(isPacketCipherRight(wrong({ open: () => true }), memory)).toBe(false);
    expect(isPacketCipherRight(wrong({ open: () => false }), memory)).toBe(false);
    expect(isPacketCipherRight(wrong({ seal: () => undefined }), memory)).toBe(false);
  });
});

function littleEndian(value: bigint): number[] {
  return Array.from({ length: 16 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

function randomBytes(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  seededRng(seed).fill(bytes);
  return bytes;
}
