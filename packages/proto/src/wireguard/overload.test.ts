// LoadMeter and SourceLimiter: the two halves of what happens under a flood of initiations.
import { describe, expect, test } from 'vitest';
import { LOAD_HOLD_MS, LOAD_INITIATIONS_MAX, LOAD_WINDOW_MS, LoadMeter } from './load-meter.ts';
import { SOURCE_BURST, SOURCES_MAX, SourceLimiter } from './source-limiter.ts';

describe('load', () => {
  test('begins with the first initiation too many in one window and is held a second after the last', () => {
    const meter = new LoadMeter();
    for (let i = 0; i < LOAD_INITIATIONS_MAX; i++) meter.note(1000);
    expect(meter.isLoaded(1000)).toBe(false);
    meter.note(1000 + LOAD_WINDOW_MS - 1);
    expect(meter.isLoaded(1099)).toBe(true);
    expect(meter.isLoaded(1099 + LOAD_HOLD_MS - 1)).toBe(true);
    expect(meter.isLoaded(1099 + LOAD_HOLD_MS)).toBe(false);
  });

  test('is not reached by the same number spread over two windows', () => {
    const meter = new LoadMeter();
    for (let i = 0; i < LOAD_INITIATIONS_MAX; i++) meter.note(1000);
    for (let i = 0; i < LOAD_INITIATIONS_MAX; i++) meter.note(1000 + LOAD_WINDOW_MS);
    expect(meter.isLoaded(1100)).toBe(false);
  });
});

describe('a source', () => {
  const ipv4 = (last: number, port: number): Uint8Array => Uint8Array.of(192, 0, 2, last, port >> 8, port & 0xff);
  const takeMany = (limiter: SourceLimiter, source: Uint8Array, count: number, nowMs: number): number => {
    let taken = 0;
    for (let i = 0; i < count; i++) if (limiter.take(source, nowMs)) taken++;
    return taken;
  };

  test('may cost five handshakes at once and twenty a second', () => {
    const limiter = new SourceLimiter();
    expect(takeMany(limiter, ipv4(1, 1), 100, 0)).toBe(SOURCE_BURST);
    expect(takeMany(limiter, ipv4(1, 1), 100, 100)).toBe(2);
    expect(takeMany(limiter, ipv4(1, 1), 100, 60_000)).toBe(SOURCE_BURST);
    expect(takeMany(limiter, ipv4(2, 1), 100, 60_000)).toBe(SOURCE_BURST);
  });

  test('is an IPv4 address whatever its port, an IPv6 /64, or a relay peer', () => {
    const limiter = new SourceLimiter();
    expect(takeMany(limiter, ipv4(1, 1), 5, 0) + takeMany(limiter, ipv4(1, 2), 5, 0)).toBe(SOURCE_BURST);
    const ipv6 = new Uint8Array(18).fill(0x20);
    const neighbour = ipv6.slice().fill(7, 8);
    const stranger = ipv6.slice().fill(8, 7);
    expect(takeMany(limiter, ipv6, 5, 0) + takeMany(limiter, neighbour, 5, 0)).toBe(SOURCE_BURST);
    expect(takeMany(limiter, stranger, 5, 0)).toBe(SOURCE_BURST);
    expect(takeMany(limiter, stranger.subarray(0, 16), 5, 0)).toBe(0);
    expect(takeMany(limiter, ipv4(1, 3).subarray(0, 4), 5, 0)).toBe(0);
    const relayed = new Uint8Array(32).fill(1);
    const other = relayed.slice().fill(2, 31);
    expect(takeMany(limiter, relayed, 5, 0) + takeMany(limiter, other, 5, 0)).toBe(2 * SOURCE_BURST);
  });

  test('is refused when too many others are remembered, until they have been quiet', () => {
    const limiter = new SourceLimiter();
    const source = new Uint8Array(32);
    const view = new DataView(source.buffer);
    for (let i = 0; i < SOURCES_MAX; i++) {
      view.setUint32(0, i);
      expect(limiter.take(source, 0)).toBe(true);
    }
    expect(limiter.take(ipv4(1, 1), 500)).toBe(false);
    expect(limiter.take(ipv4(1, 1), 1600)).toBe(true);
  });
});
