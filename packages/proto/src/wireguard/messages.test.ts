import fc from 'fast-check';
import { expect, test } from 'vitest';
import complete from '../../test/vectors/wireguard/complete.json' with { type: 'json' };
import { bytesOf } from '../../test/wireguard-end.ts';
import { classifyMessage, readCounter, readIndex, writeCounter, writeHeader, writeIndex } from './messages.ts';

const MESSAGES = [
  ['initiation', bytesOf(complete.initiation)],
  ['response', bytesOf(complete.response)],
  ['cookie-reply', bytesOf(complete.cookieReply)],
  ['transport', bytesOf(complete.keepalive)],
] as const;

function classify(bytes: Uint8Array): string {
  return classifyMessage(bytes, 0, bytes.length);
}

test.each(MESSAGES)('a whole %s is recognised anywhere in memory', (kind, message) => {
  const memory = new Uint8Array(message.length + 20).fill(0xff);
  memory.set(message, 7);
  expect(classifyMessage(memory, 7, message.length)).toBe(kind);
});

test.each(MESSAGES.slice(0, 3))('a %s of any other length is refused', (kind, message) => {
  for (let length = 0; length <= 200; length++) {
    const bytes = new Uint8Array(length);
    bytes.set(message.subarray(0, length));
    const expected = length < 32 ? 'too-short' : length === message.length ? kind : 'bad-length';
    expect(classify(bytes)).toBe(expected);
  }
});

test('a transport message has any length from 32 bytes', () => {
  for (let length = 0; length <= 200; length++) {
    const bytes = new Uint8Array(length);
    bytes[0] = 0x04;
    expect(classify(bytes)).toBe(length < 32 ? 'too-short' : 'transport');
  }
});

test('reserved bytes must be zero and the type known', () => {
  for (const at of [1, 2, 3]) {
    const bytes = bytesOf(complete.keepalive);
    bytes[at] = 1;
    expect(classify(bytes)).toBe('unknown-type');
  }
  for (const type of [0, 5, 0x84, 0xff]) expect(classify(new Uint8Array(148).fill(type, 0, 1))).toBe('unknown-type');
});

test('indices and counters round-trip; counters from 2^53 read as -1', () => {
  const bytes = new Uint8Array(24);
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.maxSafeNat(), (index, counter) => {
      writeIndex(bytes, 3, index);
      expect(readIndex(bytes, 3)).toBe(index);
      writeCounter(bytes, 9, counter);
      expect(readCounter(bytes, 9)).toBe(counter);
      expect(new DataView(bytes.buffer).getBigUint64(9, true)).toBe(BigInt(counter));
    }),
  );
  new DataView(bytes.buffer).setBigUint64(0, 2n ** 53n, true);
  expect(readCounter(bytes, 0)).toBe(-1);
  bytes.fill(0xff);
  expect(readCounter(bytes, 0)).toBe(-1);
});

test('a header is type, three zero bytes and the index', () => {
  const bytes = new Uint8Array(8).fill(0xff);
  writeHeader(bytes, 0, 0x04, 0x0a0b0c0d);
  expect([...bytes]).toEqual([...bytesOf(complete.keepalive).subarray(0, 8)]);
});

test('random bytes are classified without a throw', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => typeof classify(bytes) === 'string'));
});
