import { expect, it } from 'vitest';
import recorded from '../../test/vectors/noise/recorded-connections.json' with { type: 'json' };
import { concatBytes } from '../bytes/equal.ts';
import { formatHex, parseHex } from '../bytes/hex.ts';
import { EARLY_JSON_BYTES_MAX, EarlyPayloadSplitter, encodeEarlyPayload } from './early-payload.ts';

const hex = (text: string): Uint8Array => parseHex(text)!;
const [headscale, testcontrol] = recorded.connections;
const plaintexts = (records: readonly string[][]): Uint8Array[] => records.map(([, plaintext]) => hex(plaintext!));

it('Headscale sends one, in three records, and HTTP/2 gets the rest', () => {
  const splitter = new EarlyPayloadSplitter();
  const [first, second, third, ...rest] = plaintexts(headscale!.serverToClient);
  expect([first, second, third].map((part) => splitter.handleBytes(part!).length)).toEqual([0, 0, 0]);
  expect(JSON.parse(splitter.json!)).toHaveProperty('nodeKeyChallenge');
  for (const part of rest) expect(splitter.handleBytes(part)).toBe(part);
  expect(concatBytes(first!, second!, third!)).toEqual(encodeEarlyPayload(splitter.json!));
});

it('testcontrol sends none, and HTTP/2 gets every byte', () => {
  const splitter = new EarlyPayloadSplitter();
  const parts = plaintexts(testcontrol!.serverToClient);
  expect(concatBytes(...parts.map((part) => splitter.handleBytes(part)))).toEqual(concatBytes(...parts));
  expect(splitter.json).toBeUndefined();
});

it('is cut off the same wherever the stream is cut', () => {
  const stream = concatBytes(encodeEarlyPayload('{"a":1}'), hex('000006'));
  for (let cut = 0; cut <= stream.length; cut++) {
    const splitter = new EarlyPayloadSplitter();
    const out = concatBytes(splitter.handleBytes(stream.subarray(0, cut)), splitter.handleBytes(stream.subarray(cut)));
    expect(formatHex(out)).toBe('000006');
    expect(splitter.json).toBe('{"a":1}');
  }
});

it('a prefix of the magic that turns out otherwise is given back', () => {
  const splitter = new EarlyPayloadSplitter();
  expect(splitter.handleBytes(hex('ffff')).length).toBe(0);
  expect(formatHex(splitter.handleBytes(hex('00aa')))).toBe('ffff00aa');
});

it('a length above the bound fails before anything is kept', () => {
  const splitter = new EarlyPayloadSplitter();
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, EARLY_JSON_BYTES_MAX + 1);
  expect(splitter.handleBytes(concatBytes(hex('ffffff5453'), length)).length).toBe(0);
  expect(splitter.isFailed).toBe(true);
  expect(splitter.handleBytes(hex('00')).length).toBe(0);
});

it('bytes that are no UTF-8 leave no JSON and hurt nothing', () => {
  const splitter = new EarlyPayloadSplitter();
  expect(formatHex(splitter.handleBytes(hex('ffffff545300000001ff00')))).toBe('00');
  expect(splitter.json).toBeUndefined();
});
