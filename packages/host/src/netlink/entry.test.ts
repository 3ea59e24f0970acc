import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeAddress } from './address.ts';
import { decodeDumpPart } from './dump.ts';
import { decodeLink } from './link.ts';
import { encodeAttribute } from './message.ts';
import { decodeRoutes } from './route.ts';
import recorded from './test-vectors/recorded.json' with { type: 'json' };

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/[\s|]/g, ''), 'hex'));
const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));
const DECODERS = { link: decodeLink, address: decodeAddress, route: decodeRoutes } as const;

function recordedBodies(kind: keyof typeof DECODERS): Uint8Array[] {
  return recorded[kind].datagrams.flatMap((text) => {
    const part = decodeDumpPart(kind, recorded[kind].sequence, hex(text));
    return 'bodies' in part ? [...part.bodies] : [];
  });
}

describe.each(['link', 'address', 'route'] as const)('the body of a %s', (kind) => {
  const decode = DECODERS[kind];
  const bodies = recordedBodies(kind);

  it('cut off at any length gives an entry or the reason', () => {
    for (const body of bodies) {
      for (let length = 0; length < body.length; length++) {
        const entry = decode(body.subarray(0, length));
        if (length < 8) expect(entry).toBe('short');
        if (typeof entry === 'string') expect(['short', 'bad-attribute']).toContain(entry);
      }
    }
  });

  it('with any byte changed never throws', () => {
    const change = fc.record({
      body: fc.constantFrom(...bodies),
      at: fc.nat(),
      byte: fc.integer({ min: 0, max: 255 }),
    });
    fc.assert(
      fc.property(change, ({ body, at, byte }) => {
        const changed = body.slice();
        changed[at % body.length] = byte;
        decode(changed);
      }),
    );
  });

  it('of random bytes never throws', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => void decode(bytes)));
  });
});

describe('a link', () => {
  const header = hex('0000 0100 05000000 01000000 00000000');

  it('without a name is none', () => {
    expect(decodeLink(header)).toBe('bad-attribute');
  });

  it('is of the kind its driver says, and is not running when it is only switched on', () => {
    const info = encodeAttribute(18, encodeAttribute(1, Buffer.from('dummy\0')));
    const group = encodeAttribute(27, hex('4d000000'));
    const body = join(
      header,
      encodeAttribute(3, Buffer.from('d0\0')),
      encodeAttribute(10, hex('09000000')),
      info,
      group,
    );
    expect(decodeLink(body)).toEqual({
      index: 5,
      name: 'd0',
      kind: 'dummy',
      isUp: true,
      isRunning: false,
      hasCarrier: false,
      mtu: 0,
      alias: undefined,
      group: 77,
      masterIndex: 9,
    });
    expect(decodeLink(join(header, encodeAttribute(3, Buffer.from('d0')), encodeAttribute(18, hex('ffff0100'))))).toBe(
      'bad-attribute',
    );
  });
});

describe('an address', () => {
  const ipv4 = encodeAttribute(2, hex('0a010203'));

  it('of another family is not one of ours', () => {
    expect(decodeAddress(hex('23 08 00 00 01000000'))).toBe('other-family');
  });

  it('needs as many bytes and no more bits than its family has', () => {
    expect(decodeAddress(hex('02 18 00 00 01000000'))).toBe('bad-attribute');
    expect(decodeAddress(join(hex('0a 18 00 00 01000000'), ipv4))).toBe('bad-attribute');
    expect(decodeAddress(join(hex('02 21 00 00 01000000'), ipv4))).toBe('bad-attribute');
  });

  it('has the wide flags rather than the eight bits, and a number for a scope without a name', () => {
    const body = join(hex('02 18 40 07 01000000'), ipv4);
    expect(decodeAddress(body)).toMatchObject({ address: '10.1.2.3', scope: 7, isTentative: true });
    expect(decodeAddress(join(body, encodeAttribute(8, hex('80000000'))))).toMatchObject({ isTentative: false });
  });
});

describe('a route', () => {
  it('that is cached, or of another family, is not in a table', () => {
    expect(decodeRoutes(hex('02 00 00 00 fe 02 00 01 00020000'))).toEqual([]);
    expect(decodeRoutes(hex('80 00 00 00 fe 02 00 05 00000000'))).toEqual([]);
  });

  it('with a prefix but no address, or too many bits, is inconsistent', () => {
    expect(decodeRoutes(hex('02 08 00 00 fe 02 00 01 00000000'))).toBe('bad-attribute');
    const address = encodeAttribute(1, hex('0a000000'));
    expect(decodeRoutes(join(hex('02 21 00 00 fe 02 00 01 00000000'), address))).toBe('bad-attribute');
    expect(decodeRoutes(join(hex('0a 08 00 00 fe 02 00 01 00000000'), address))).toBe('bad-attribute');
  });

  it('of a type without a name is "other"', () => {
    expect(decodeRoutes(hex('02 00 00 00 fe 02 00 63 00000000'))).toMatchObject([
      { prefix: '0.0.0.0/0', type: 'other' },
    ]);
  });

  it('whose next hops do not add up is inconsistent, and does not loop', () => {
    for (const hops of ['0000 00 00 01000000', '0900 00 00 01000000', '0800 00 00', '0c00 00 00 01000000 03000500']) {
      const body = join(hex('02 00 00 00 fe 02 00 01 00000000'), encodeAttribute(9, hex(hops)));
      expect(decodeRoutes(body), hops).toBe('bad-attribute');
    }
  });
});
