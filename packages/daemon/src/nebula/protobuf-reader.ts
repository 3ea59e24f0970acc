/** The wire format of Protocol Buffers, as far as old certificates use it. */

/** One field: `value` for a number, `bytes` (a view) for what has a length. */
export interface WireField {
  readonly number: number;
  readonly value: bigint | undefined;
  readonly bytes: Uint8Array | undefined;
}

const WIRE_VARINT = 0;
const WIRE_64_BIT = 1;
const WIRE_BYTES = 2;
const WIRE_32_BIT = 5;
const VARINT_BYTES_MAX = 10;

/** The fields of a message in their order; undefined when it ends early or is none. */
export function readFields(bytes: Uint8Array): WireField[] | undefined {
  const cursor = { bytes, at: 0 };
  const fields: WireField[] = [];
  while (cursor.at < bytes.length) {
    const tag = readVarint(cursor);
    const field = tag === undefined || tag > 0xffff_ffffn ? undefined : readField(cursor, Number(tag));
    if (field === undefined) return undefined;
    fields.push(field);
  }
  return fields;
}

/** Numbers packed one behind the other; undefined when the last is cut. */
export function readPackedVarints(bytes: Uint8Array): bigint[] | undefined {
  const cursor = { bytes, at: 0 };
  const values: bigint[] = [];
  while (cursor.at < bytes.length) {
    const value = readVarint(cursor);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return values;
}

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

function readField(cursor: Cursor, tag: number): WireField | undefined {
  const number = Math.floor(tag / 8);
  const wire = tag % 8;
  if (number === 0) return undefined;
  if (wire === WIRE_VARINT) {
    const value = readVarint(cursor);
    return value === undefined ? undefined : { number, value, bytes: undefined };
  }
  const length = wire === WIRE_BYTES ? readVarint(cursor) : FIXED_BYTES[wire];
  if (length === undefined || length > BigInt(cursor.bytes.length - cursor.at)) return undefined;
  const start = cursor.at;
  cursor.at += Number(length);
  return { number, value: undefined, bytes: cursor.bytes.subarray(start, cursor.at) };
}

const FIXED_BYTES: Readonly<Record<number, bigint | undefined>> = { [WIRE_64_BIT]: 8n, [WIRE_32_BIT]: 4n };

function readVarint(cursor: Cursor): bigint | undefined {
  let value = 0n;
  for (let i = 0; i < VARINT_BYTES_MAX; i++) {
    const byte = cursor.bytes[cursor.at];
    if (byte === undefined) return undefined;
    cursor.at++;
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  return undefined;
}
