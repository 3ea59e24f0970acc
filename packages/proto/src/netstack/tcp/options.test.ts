import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatHex, parseHex } from '../../bytes/hex.ts';
import { decodeOptions, encodeOptions, SegmentOptions } from './options.ts';

function decode(bytes: Uint8Array): SegmentOptions {
  const options = new SegmentOptions();
  const memory = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
  decodeOptions(memory, 0, bytes.length, options);
  return options;
}

function encode(options: SegmentOptions): Uint8Array {
  const bytes = new Uint8Array(64);
  return bytes.slice(0, encodeOptions(new DataView(bytes.buffer), 0, options));
}

const SYN = '020404d80402080a000000010000000001030307';

describe('TCP options', () => {
  it('reads the options of a SYN that Linux has accepted', () => {
    const options = decode(parseHex(SYN) as Uint8Array);
    expect(options).toMatchObject({
      mss: 1240,
      isSackPermitted: true,
      hasTimestamps: true,
      timestamp: 1,
      windowShift: 7,
    });
  });

  it('reads back what it writes', () => {
    const sequence = fc.integer({ min: -0x80000000, max: 0x7fffffff });
    const record = fc.record({
      mss: fc.nat(0xffff),
      windowShift: fc.integer({ min: -1, max: 14 }),
      isSackPermitted: fc.boolean(),
      times: fc.option(fc.tuple(sequence, sequence)),
      blocks: fc.array(fc.tuple(sequence, sequence), { maxLength: 3 }),
    });
    const property = fc.property(record, ({ mss, windowShift, isSackPermitted, times, blocks }) => {
      const options = new SegmentOptions();
      Object.assign(options, { mss, windowShift, isSackPermitted, hasTimestamps: times !== null });
      [options.timestamp, options.timestampEcho] = times ?? [0, 0];
      options.sackCount = blocks.length;
      options.sack.set(blocks.flat());
      const bytes = encode(options);
      expect(bytes.length % 4).toBe(0);
      const { sack, ...rest } = options;
      expect(decode(bytes)).toMatchObject(rest);
      expect(decode(bytes).sack.subarray(0, 2 * blocks.length)).toEqual(sack.subarray(0, 2 * blocks.length));
    });
    fc.assert(property);
  });

  it('writes what Linux writes: padding in front of timestamps and of blocks', () => {
    const options = new SegmentOptions();
    options.hasTimestamps = true;
    options.timestamp = 1;
    options.timestampEcho = 2;
    options.sackCount = 1;
    options.sack.set([3, 4]);
    expect(formatHex(encode(options))).toBe('0101080a00000001000000020101050a0000000300000004');
  });

  it('keeps what came before an option whose length is wrong, and clamps the shift', () => {
    expect(decode(parseHex('020404d80300') as Uint8Array)).toMatchObject({ mss: 1240, windowShift: -1 });
    expect(decode(parseHex('020404d8030a07') as Uint8Array)).toMatchObject({ mss: 1240, windowShift: -1 });
    expect(decode(parseHex('03030f00') as Uint8Array).windowShift).toBe(14);
    expect(decode(parseHex('00020404d8') as Uint8Array).mss).toBe(0);
    expect(decode(parseHex('1e04ffff020404d8') as Uint8Array).mss).toBe(1240);
  });

  it('reads truncated options without running over', () => {
    const bytes = parseHex(SYN) as Uint8Array;
    for (let length = 0; length <= bytes.length; length++) decode(bytes.slice(0, length));
  });

  it('never throws at random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(decode(bytes.slice()).sackCount).toBeLessThanOrEqual(4);
      }),
    );
  });
});
