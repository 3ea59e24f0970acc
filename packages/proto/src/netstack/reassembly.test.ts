import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IpHeader, type NetstackDrop } from './ip-header.ts';
import { REASSEMBLY_DATAGRAMS_MAX, Reassembly } from './reassembly.ts';

const MEMORY_BYTES = 2048;

function create() {
  const drops: NetstackDrop[] = [];
  const reassembly = new Reassembly((drop) => drops.push(drop));
  const add = (offset: number, data: Uint8Array, options: { more: boolean; id?: number; nowMs?: number }) => {
    const bytes = new Uint8Array(MEMORY_BYTES);
    bytes.set([100, 64, 0, 1, 100, 64, 0, 2], 12);
    bytes.set(data, 20);
    const header = new IpHeader();
    header.sourceOffset = 12;
    header.destinationOffset = 16;
    header.protocol = 17;
    header.payloadOffset = 20;
    header.payloadLength = data.length;
    header.isFragment = true;
    header.fragmentOffset = offset;
    header.hasMoreFragments = options.more;
    header.fragmentId = options.id ?? 1;
    const datagram = reassembly.add({ bytes, view: new DataView(bytes.buffer) }, header, options.nowMs ?? 0);
    return datagram?.memory.bytes.subarray(datagram.payloadAt, datagram.payloadAt + datagram.payloadLength);
  };
  return { reassembly, drops, add };
}

describe('reassembly', () => {
  it('gives the datagram back from fragments in any order, with duplicates', () => {
    fc.assert(
      fc.property(fc.integer({ min: 9, max: 3000 }), fc.nat(1000), (length, seed) => {
        const data = Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 255);
        const parts: [number, Uint8Array][] = [];
        for (let at = 0; at < length; at += 64) parts.push([at, data.subarray(at, at + 64)]);
        parts.sort(([a], [b]) => ((a * 7919 + seed) % 101) - ((b * 7919 + seed) % 101));
        const { add, drops } = create();
        let whole: Uint8Array | undefined;
        for (const [at, part] of parts) {
          expect(whole).toBeUndefined();
          whole = add(at, part, { more: at + part.length < length });
          if (whole === undefined) expect(add(at, part, { more: at + part.length < length })).toBeUndefined();
        }
        expect(whole).toEqual(data);
        expect(drops).toEqual([]);
      }),
      { numRuns: 50 },
    );
  });

  it('drops the whole datagram when fragments overlap', () => {
    const { add, drops } = create();
    add(0, new Uint8Array(16), { more: true });
    add(8, new Uint8Array(16), { more: true });
    expect(drops).toEqual(['fragment-overlap']);
    expect(add(16, new Uint8Array(8), { more: false })).toBeUndefined();
  });

  it('refuses odd, empty and oversized fragments, and two different ends', () => {
    const { add, drops } = create();
    add(0, new Uint8Array(9), { more: true });
    add(0, new Uint8Array(0), { more: true });
    add(65_528, new Uint8Array(16), { more: false });
    add(16, new Uint8Array(8), { more: false, id: 2 });
    add(32, new Uint8Array(8), { more: false, id: 2 });
    add(32, new Uint8Array(8), { more: true, id: 3 });
    add(16, new Uint8Array(8), { more: false, id: 3 });
    expect(drops).toEqual(new Array(5).fill('fragment-bad'));
  });

  it('forgets a datagram after 30 seconds', () => {
    const { reassembly, add, drops } = create();
    add(0, new Uint8Array(8), { more: true, nowMs: 100 });
    expect(reassembly.nextTimeoutMs).toBe(30_100);
    reassembly.handleTimeout(30_100);
    expect(drops).toEqual(['fragment-timeout']);
    expect(reassembly.nextTimeoutMs).toBe(Number.POSITIVE_INFINITY);
    expect(add(8, new Uint8Array(8), { more: false, nowMs: 30_100 })).toBeUndefined();
  });

  it('keeps so many datagrams and bytes, and gives up the oldest for a new one', () => {
    const { add, drops } = create();
    for (let id = 0; id <= REASSEMBLY_DATAGRAMS_MAX; id++) add(0, new Uint8Array(8), { more: true, id });
    expect(drops).toEqual(['fragment-full']);
    expect(add(8, new Uint8Array(8), { more: false, id: 0 })).toBeUndefined();
    expect(add(8, new Uint8Array(8), { more: false, id: 9 })).toHaveLength(16);
    const large = create();
    for (let i = 0; i < 1200; i++)
      large.add((i % 60) * 1024, new Uint8Array(1024), { more: true, id: Math.floor(i / 60) });
    expect(large.drops).toContain('fragment-full');
  });
});
