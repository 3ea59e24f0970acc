import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import vector from '../../test/vectors/noise/cacophony-v113.json' with { type: 'json' };
import known from '../../test/vectors/noise/known-ephemerals.json' with { type: 'json' };
import recorded from '../../test/vectors/noise/recorded-connections.json' with { type: 'json' };
import { concatBytes } from '../bytes/equal.ts';
import { formatHex, parseHex } from '../bytes/hex.ts';
import { nobleProvider as crypto } from '../crypto/noble-provider.ts';
import { RECORD_BYTES_MAX, RECORD_PLAINTEXT_MAX, RecordReader, RecordWriter } from './records.ts';

const hex = (text: string): Uint8Array => parseHex(text)!;
const KEY = new Uint8Array(32).fill(7);

function readAll(reader: RecordReader, chunks: readonly Uint8Array[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const chunk of chunks) {
    reader.handleBytes(chunk);
    for (let part = reader.pollPlaintext(); part; part = reader.pollPlaintext()) parts.push(part);
  }
  return concatBytes(...parts);
}

const directions = [
  { name: 'vector, client to server', key: vector.clientToServerKey, records: vector.clientToServer },
  { name: 'vector, server to client', key: vector.serverToClientKey, records: vector.serverToClient },
  ...known.handshakes.map((h) => ({
    name: h.name,
    key: (h.known === 'responder' ? h.clientToServerKey : h.serverToClientKey) as string,
    records: h.records,
  })),
  ...recorded.connections.flatMap((c) => [
    { name: `tailscaled to ${c.server}`, key: c.clientToServerKey, records: c.clientToServer },
    { name: `${c.server} to tailscaled`, key: c.serverToClientKey, records: c.serverToClient },
  ]),
];

describe.each(directions)('$name', ({ key, records }) => {
  it('opens record by record', () => {
    const reader = new RecordReader(hex(key), crypto);
    for (const [record, plaintext] of records) {
      reader.handleBytes(hex(record!));
      expect(formatHex(reader.pollPlaintext()!)).toBe(plaintext);
    }
  });

  it('is sealed to the same bytes', () => {
    const writer = new RecordWriter(hex(key), crypto);
    for (const [record, plaintext] of records) expect(formatHex(writer.seal(hex(plaintext!)))).toBe(record);
  });

  it('opens the same when it arrives byte by byte', () => {
    const stream = hex(records.map(([record]) => record).join(''));
    const bytes = readAll(
      new RecordReader(hex(key), crypto),
      Array.from(stream, (byte) => Uint8Array.of(byte)),
    );
    expect(formatHex(bytes)).toBe(records.map(([, plaintext]) => plaintext).join(''));
  });
});

it('a second record with a little-endian nonce is damaged', () => {
  const reader = new RecordReader(hex(vector.clientToServerKey), crypto);
  reader.handleBytes(hex(vector.clientToServer[0]![0]!));
  reader.handleBytes(hex(vector.littleEndianSecondRecord));
  expect(reader.failure).toBe('damaged');
});

it('any bytes in any cut come out as they went in', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 9000 }), { maxLength: 4 }),
      fc.integer({ min: 1, max: 5000 }),
      (writes, cut) => {
        const writer = new RecordWriter(KEY, crypto);
        const stream = concatBytes(...writes.map((write) => writer.seal(write)));
        const chunks: Uint8Array[] = [];
        for (let at = 0; at < stream.length; at += cut) chunks.push(stream.subarray(at, at + cut));
        expect(readAll(new RecordReader(KEY, crypto), chunks)).toEqual(concatBytes(...writes));
      },
    ),
    { numRuns: 30 },
  );
});

it('no record is longer than the limit', () => {
  const stream = new RecordWriter(KEY, crypto).seal(new Uint8Array(RECORD_PLAINTEXT_MAX + 1));
  expect(stream.length).toBe(RECORD_BYTES_MAX + 3 + 16 + 1);
  expect(formatHex(stream.subarray(0, 3))).toBe('040ffd');
});

it('an empty record is skipped', () => {
  const reader = new RecordReader(KEY, crypto);
  const empty = crypto.chachaSeal(KEY, new Uint8Array(12), new Uint8Array(0), new Uint8Array(0));
  reader.handleBytes(concatBytes(hex('040010'), empty));
  expect(reader.failure).toBeUndefined();
  expect(reader.pollPlaintext()).toBeUndefined();
});

describe('a connection is given up after', () => {
  const failureOf = (...chunks: string[]): string | undefined => {
    const reader = new RecordReader(KEY, crypto);
    for (const chunk of chunks) reader.handleBytes(hex(chunk));
    return reader.failure;
  };
  it('a record above the limit, before its body arrives', () => expect(failureOf('040ffe')).toBe('bad-length'));
  it('a record shorter than a tag', () => expect(failureOf('04000f')).toBe('bad-length'));
  it('another type', () => expect(failureOf('030002', '6e6f')).toBe('bad-type'));
  it('a tag that does not match', () => expect(failureOf(`040010${'00'.repeat(16)}`)).toBe('damaged'));
  it('and nothing is read any more', () => {
    const reader = new RecordReader(KEY, crypto);
    reader.handleBytes(hex('030000'));
    reader.handleBytes(new RecordWriter(KEY, crypto).seal(Uint8Array.of(1)));
    expect(reader.pollPlaintext()).toBeUndefined();
  });
});
