import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import disco from '../../test/vectors/disco/messages.json' with { type: 'json' };
import recorded from '../../test/vectors/path/tailscaled-direct.json' with { type: 'json' };
import stun from '../../test/vectors/stun/stun.json' with { type: 'json' };
import { parseHex } from '../bytes/hex.ts';
import { classifyDatagram } from './classify.ts';

function classify(hex: string): string {
  const bytes = parseHex(hex) as Uint8Array;
  const padded = new Uint8Array(bytes.length + 10);
  padded.set(bytes, 5);
  const atStart = classifyDatagram(bytes, 0, bytes.length);
  expect(classifyDatagram(padded, 5, bytes.length)).toBe(atStart);
  return atStart;
}

describe('classifyDatagram', () => {
  test.each(recorded.packets)('knows a recorded $class', (packet) => {
    expect(classify(packet.hex)).toBe(packet.class.split(' ')[0]);
  });

  it('knows the vectors of disco and STUN', () => {
    for (const { wire } of disco.messages) expect(classify(wire)).toBe('disco');
    for (const { bytes } of [...stun.requests, ...stun.responses]) expect(classify(bytes)).toBe('stun');
    for (const { bytes, isStun } of stun.oddResponses) {
      if (!isStun) expect(classify(bytes)).toBe('ignore');
    }
  });

  test.each(disco.geneve)('knows the Geneve header $header of a peer relay', ({ header }) => {
    expect(classify(header)).toBe('geneve');
    expect(classify(`${header}${disco.messages[0]?.wire}`)).toBe('geneve');
  });

  it('ignores what is empty, short or unknown', () => {
    expect(classify('')).toBe('ignore');
    expect(classify('5453f09f92ac')).toBe('ignore');
    expect(classify(`04000000${'00'.repeat(27)}`)).toBe('ignore');
    expect(classify(`05000000${'00'.repeat(60)}`)).toBe('ignore');
  });

  it('never throws for random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(10), (bytes, offset) => {
        classifyDatagram(bytes, offset, Math.max(0, bytes.length - offset));
      }),
    );
  });
});
