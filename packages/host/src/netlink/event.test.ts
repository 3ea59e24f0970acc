import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeDumpPart } from './dump.ts';
import { decodeEvents, type NetlinkEvent } from './event.ts';
import { encodeAttribute, encodeMessage } from './message.ts';
import recorded from './test-vectors/recorded.json' with { type: 'json' };

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));
const KINDS = ['link', 'address', 'route'] as const;
/** The type of a dump's answer, which is that of a new entry; the next one is that of an entry that is gone. */
const TYPES = { link: 0x10, address: 0x14, route: 0x18 };
const encode = (type: number, body: Uint8Array): Uint8Array =>
  encodeMessage({ type, flags: 0, sequence: 0, port: 0 }, [body]);

function recordedBodies(kind: (typeof KINDS)[number]): Uint8Array[] {
  return recorded[kind].datagrams.flatMap((text) => {
    const part = decodeDumpPart(kind, recorded[kind].sequence, hex(text));
    return 'bodies' in part ? [...part.bodies] : [];
  });
}

function eventsOf(type: number, body: Uint8Array): readonly NetlinkEvent[] {
  const events = decodeEvents(encode(type, body));
  return events === 'malformed' ? [] : events;
}

describe('an event', () => {
  it.each(KINDS)('tells of a %s that is there, or gone', (kind) => {
    for (const body of recordedBodies(kind)) {
      const there = eventsOf(TYPES[kind], body);
      const gone = eventsOf(TYPES[kind] + 1, body);
      expect(there.length).toBeGreaterThan(0);
      expect(there.every((event) => event.kind === kind && !event.isGone && kind in event)).toBe(true);
      expect(gone).toEqual(there.map((event) => ({ ...event, isGone: true })));
    }
  });

  it('of a link that left its bridge does not say that the link is gone', () => {
    const name = encodeAttribute(3, Buffer.from('v0\0'));
    const events = eventsOf(0x11, join(hex('07 00 0100 05000000 00000000 00000000'), name));
    expect(events).toMatchObject([{ kind: 'link', isGone: false, link: { index: 5, name: 'v0' } }]);
  });

  it('of another family or type is none', () => {
    expect(decodeEvents(encode(0x14, hex('23 08 00 00 01000000')))).toEqual([]);
    expect(decodeEvents(encode(0x1c, hex('00')))).toEqual([]);
    expect(decodeEvents(hex(''))).toEqual([]);
  });

  it('may share its datagram, and is malformed with it', () => {
    const [body = hex('')] = recordedBodies('address');
    const both = decodeEvents(join(encode(0x14, body), encode(0x15, body)));
    expect(both).toMatchObject([{ isGone: false }, { isGone: true }]);
    expect(decodeEvents(join(encode(0x14, body), encode(0x15, body.subarray(0, 7))))).toBe('malformed');
  });

  it('that is cut off is malformed at every length', () => {
    const datagram = encode(0x14, recordedBodies('address')[0]!);
    for (let length = 1; length < datagram.length; length++) {
      expect(decodeEvents(datagram.subarray(0, length))).toBe('malformed');
    }
  });

  it('of random bytes never throws', () => {
    const body = fc.uint8Array({ maxLength: 80 });
    fc.assert(
      fc.property(body, fc.integer({ min: 0x10, max: 0x19 }), (bytes, type) => {
        decodeEvents(bytes);
        decodeEvents(encode(type, bytes));
      }),
    );
  });
});
