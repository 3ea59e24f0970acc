import { expect, test } from 'vitest';
import crafted from '../../test/vectors/derp/crafted-frames.json' with { type: 'json' };
import { formatHex, parseHex } from '../bytes/hex.ts';
import { FrameOutput } from './frame-output.ts';
import {
  decodeHealth,
  decodePeerGone,
  decodeRestarting,
  decodeServerKey,
  encodeFrameHeader,
  encodePeerGone,
  FrameType,
} from './frames.ts';

const payloadOf = (hex: string) => parseHex(hex)!.subarray(5);
const frameNamed = (name: string) => crafted.frames.find((frame) => frame.name === name)!;

test('a header is type and big-endian length', () => {
  const bytes = new Uint8Array(7);
  encodeFrameHeader(bytes, 1, 0x15, 0x01020304);
  expect(formatHex(bytes)).toBe('00150102030400');
});

test('the server key needs the magic and all 32 bytes', () => {
  const payload = payloadOf(crafted.serverKeyFrame);
  expect(formatHex(decodeServerKey(payload)!)).toBe(crafted.serverPublic);
  for (let length = 0; length < payload.length; length++) {
    expect(decodeServerKey(payload.subarray(0, length))).toBeUndefined();
  }
  for (let at = 0; at < 8; at++) {
    const wrong = payload.slice();
    wrong[at] = wrong[at]! ^ 1;
    expect(decodeServerKey(wrong)).toBeUndefined();
  }
});

test('peer gone: encoded as the reference does, and short ones are refused at every length', () => {
  for (const [name, reason] of [
    ['peer gone, disconnected', 'disconnected'],
    ['peer gone, not here', 'not-here'],
  ] as const) {
    const payload = payloadOf(frameNamed(name).bytes);
    const decoded = decodePeerGone(payload)!;
    expect(decoded.reason).toBe(reason);
    const encoded = new Uint8Array(33);
    encodePeerGone(encoded, 0, decoded.peer, decoded.reason);
    expect(formatHex(encoded)).toBe(formatHex(payload));
    for (let length = 0; length < 32; length++) expect(decodePeerGone(payload.subarray(0, length))).toBeUndefined();
  }
  expect(decodePeerGone(new Uint8Array(33).fill(0xf0))?.reason).toBe('other');
});

test('restarting is refused at every short length', () => {
  const payload = payloadOf(frameNamed('restarting').bytes);
  for (let length = 0; length < 8; length++) expect(decodeRestarting(payload.subarray(0, length))).toBeUndefined();
});

test('a health text is cut at 512 characters, and malformed UTF-8 is refused', () => {
  expect(decodeHealth(new Uint8Array(5000).fill(0x61))?.problem).toHaveLength(512);
  expect(decodeHealth(Uint8Array.of(0xff))).toBeUndefined();
});

test('frames are laid out in order across pages, and what was taken is never touched again', () => {
  const output = new FrameOutput();
  const taken: Uint8Array[] = [];
  const copies: string[] = [];
  for (let i = 0; i < 300; i++) {
    const length = (i * 37) % 1500;
    const at = output.begin(FrameType.recvPacket, length, Number.POSITIVE_INFINITY);
    output.bytes.fill(i, at, at + length);
    if (i % 7 !== 0) continue;
    for (let bytes = output.take(); bytes; bytes = output.take()) {
      taken.push(bytes);
      copies.push(formatHex(bytes));
    }
  }
  for (let bytes = output.take(); bytes; bytes = output.take()) {
    taken.push(bytes);
    copies.push(formatHex(bytes));
  }
  expect(output.pendingBytes).toBe(0);
  expect(taken.map(formatHex)).toEqual(copies);
  let expected = '';
  for (let i = 0; i < 300; i++) {
    const bytes = new Uint8Array(5 + ((i * 37) % 1500)).fill(i);
    encodeFrameHeader(bytes, 0, FrameType.recvPacket, bytes.length - 5);
    expected += formatHex(bytes);
  }
  expect(copies.join('')).toBe(expected);
});

test('a frame larger than a page gets a page of its own', () => {
  const output = new FrameOutput();
  output.begin(FrameType.pong, 8, 1e6);
  expect(output.begin(FrameType.sendPacket, 70_000, 1e6)).toBe(5);
  expect([output.take()?.length, output.take()?.length, output.take()]).toEqual([13, 70_005, undefined]);
});
