import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import recorded from '../../test/vectors/path/tailscaled-direct.json' with { type: 'json' };
import vectors from '../../test/vectors/stun/stun.json' with { type: 'json' };
import { formatHex, parseHex } from '../bytes/hex.ts';
import { encodeUtf8 } from '../bytes/utf8.ts';
import { parseAddress } from '../ip/address.ts';
import { createEndpoint, type Endpoint, parseEndpoint } from '../ip/endpoint.ts';
import { crc32 } from './crc32.ts';
import {
  decodeBindingRequest,
  decodeBindingResponse,
  encodeBindingRequest,
  encodeBindingResponse,
  type StunResponse,
} from './stun.ts';

function hex(text: string): Uint8Array {
  return parseHex(text) as Uint8Array;
}

describe('binding requests', () => {
  it('encodes the bytes of tailscale', () => {
    expect(formatHex(encodeBindingRequest(hex(vectors.txId)))).toBe(vectors.request);
  });

  test.each(vectors.requests)('decodes "$name" as tailscale does', ({ bytes, txId, error }) => {
    const decoded = decodeBindingRequest(hex(bytes));
    if (txId !== undefined) expect(formatHex(decoded as Uint8Array)).toBe(txId);
    else expect(decoded).toBe(error?.includes('fingerprint') ? 'bad-fingerprint' : 'other-software');
  });

  test.each(recorded.packets.filter((packet) => packet.class === 'stun request'))(
    'reads and repeats $hex',
    (packet) => {
      const txId = decodeBindingRequest(hex(packet.hex)) as Uint8Array;
      expect(formatHex(encodeBindingRequest(txId))).toBe(packet.hex);
    },
  );

  it('refuses a cut request at every length', () => {
    const bytes = hex(vectors.request);
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeBindingRequest(bytes.subarray(0, length))).toBe(length < 20 ? 'not-stun' : 'malformed');
    }
  });

  it('wants a transaction id of 12 bytes', () => {
    expect(() => encodeBindingRequest(new Uint8Array(11))).toThrow(RangeError);
  });
});

describe('binding responses', () => {
  test.each(vectors.responses)('encodes and decodes the answer to $encodedFor', ({ bytes, encodedFor, parsedAs }) => {
    const decoded = decodeBindingResponse(hex(bytes)) as StunResponse;
    expect(formatHex(decoded.txId)).toBe(vectors.txId);
    expect(decoded.mapped.text).toBe(parsedAs);
    // Our addresses are never IPv4-mapped IPv6, so that one answer is only read.
    if (encodedFor !== parsedAs) return;
    expect(formatHex(encodeBindingResponse(hex(vectors.txId), parseEndpoint(parsedAs) as Endpoint))).toBe(bytes);
  });

  test.each(vectors.headscaleAnswers)('decodes the answer of Headscale $relay', ({ bytes, address }) => {
    expect((decodeBindingResponse(hex(bytes)) as StunResponse).mapped.text).toBe(address);
  });

  test.each(vectors.oddResponses)('treats "$name" as tailscale does', ({ bytes, address, error }) => {
    const decoded = decodeBindingResponse(hex(bytes));
    if (address !== undefined) expect(decoded).toMatchObject({ mapped: { text: address } });
    else if (error?.includes('not a response')) expect(decoded).toBe('not-response');
    else expect(decoded).toBe(error?.includes('not a STUN') ? 'not-stun' : 'malformed');
  });

  test.each(recorded.packets.filter((packet) => packet.class === 'stun response'))('decodes $hex', (packet) => {
    expect(decodeBindingResponse(hex(packet.hex))).toMatchObject({ mapped: { text: packet.dst } });
  });

  it('refuses a cut response at every length', () => {
    for (const { bytes } of vectors.responses) {
      const whole = hex(bytes);
      for (let length = 0; length < whole.length; length++) {
        expect(typeof decodeBindingResponse(whole.subarray(0, length))).toBe('string');
      }
    }
  });

  it('gives back what it encoded', () => {
    const addresses = fc.oneof(fc.ipV4(), fc.ipV6());
    fc.assert(
      fc.property(addresses, fc.nat(65535), fc.uint8Array({ minLength: 12, maxLength: 12 }), (text, port, txId) => {
        const address = parseAddress(text);
        if (address === undefined || address.text.startsWith('::ffff:')) return;
        const source = createEndpoint(address, port);
        expect(decodeBindingResponse(encodeBindingResponse(txId, source))).toEqual({ txId, mapped: source });
      }),
    );
  });
});

describe('foreign bytes', () => {
  it('never throws for random bytes, damaged or not', () => {
    const request = hex(vectors.request);
    const response = hex(vectors.responses[2]?.bytes as string);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(63), fc.nat(255), (bytes, at, value) => {
        decodeBindingRequest(bytes);
        decodeBindingResponse(bytes);
        for (const whole of [request, response]) {
          const damaged = whole.slice();
          damaged[at % damaged.length] = value;
          decodeBindingRequest(damaged);
          decodeBindingResponse(damaged);
        }
      }),
    );
  });

  it('has the check value of CRC-32', () => {
    expect(crc32(encodeUtf8('123456789'), 9)).toBe(0xcbf43926);
  });
});
