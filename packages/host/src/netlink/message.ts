/**
 * The framing of netlink: messages and the attributes within them. Pure.
 *
 * ```
 * message   0  u32 length, header included     attribute  0  u16 length, these 4 bytes included
 *           4  u16 type                                   2  u16 type; the two upper bits are flags
 *           6  u16 flags                                  4  data, padded with zeros to 4 bytes
 *           8  u32 sequence number
 *          12  u32 port: 0 is the kernel
 *          16  body, padded with zeros to 4 bytes
 * ```
 *
 * Numbers have the byte order of the machine. This codec is for little-endian ones, which are all that Node.js is built
 * for besides s390x and POWER under AIX; addresses are in network order everywhere.
 */

/** One message. `body` is without padding; when decoded, a view of the datagram. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly port: number;
  readonly body: Uint8Array;
}

/** What a datagram holds: every message before the first bad one, and what is wrong with that one. */
export interface DecodedMessages {
  readonly messages: readonly NetlinkMessage[];
  readonly problem: 'short' | 'bad-length' | undefined;
}

/** The data of each attribute by type. Of attributes with the same type the first counts. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
/** NLA_F_NESTED and NLA_F_NET_BYTEORDER are no part of the type. */
const ATTRIBUTE_TYPE_MASK = 0x3fff;
const ATTRIBUTE_DATA_BYTES_MAX = 0xffff - ATTRIBUTE_HEADER_BYTES;

/** Encodes a message, padded; its body is the concatenation of `parts`, each a fixed header or an encoded attribute. */
export function encodeMessage(header: Omit<NetlinkMessage, 'body'>, parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, HEADER_BYTES);
  const bytes = new Uint8Array(align(length));
  const view = viewOf(bytes);
  view.setUint32(0, length, true);
  view.setUint16(4, header.type, true);
  view.setUint16(6, header.flags, true);
  view.setUint32(8, header.sequence, true);
  view.setUint32(12, header.port, true);
  let offset = HEADER_BYTES;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

/**
 * Encodes one attribute, padded.
 * @throws {RangeError} when `data` has more than 65,531 bytes.
 */
export function encodeAttribute(type: number, data: Uint8Array): Uint8Array {
  if (data.length > ATTRIBUTE_DATA_BYTES_MAX) throw new RangeError(`Attribute of ${data.length} bytes is too long`);
  const length = ATTRIBUTE_HEADER_BYTES + data.length;
  const bytes = new Uint8Array(align(length));
  const view = viewOf(bytes);
  view.setUint16(0, length, true);
  view.setUint16(2, type, true);
  bytes.set(data, ATTRIBUTE_HEADER_BYTES);
  return bytes;
}

/** Encodes an attribute of four bytes: an integer from 0 to 0xffffffff. */
export function encodeNumberAttribute(type: number, value: number): Uint8Array {
  const data = new Uint8Array(4);
  viewOf(data).setUint32(0, value, true);
  return encodeAttribute(type, data);
}

/** Decodes the messages of one datagram. */
export function decodeMessages(datagram: Uint8Array): DecodedMessages {
  const view = viewOf(datagram);
  const messages: NetlinkMessage[] = [];
  let offset = 0;
  while (offset < datagram.length) {
    if (datagram.length - offset < HEADER_BYTES) return { messages, problem: 'short' };
    const length = view.getUint32(offset, true);
    if (length < HEADER_BYTES || length > datagram.length - offset) return { messages, problem: 'bad-length' };
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      port: view.getUint32(offset + 12, true),
      body: datagram.subarray(offset + HEADER_BYTES, offset + length),
    });
    offset += align(length);
  }
  return { messages, problem: undefined };
}

/**
 * Decodes the attributes from `offset` to the end. The literal when a length is impossible; fewer than four bytes at
 * the end are padding.
 */
export function decodeAttributes(bytes: Uint8Array, offset: number): Attributes | 'bad-attribute' {
  const view = viewOf(bytes);
  const attributes = new Map<number, Uint8Array>();
  let at = offset;
  while (bytes.length - at >= ATTRIBUTE_HEADER_BYTES) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER_BYTES || length > bytes.length - at) return 'bad-attribute';
    const type = view.getUint16(at + 2, true) & ATTRIBUTE_TYPE_MASK;
    if (!attributes.has(type)) attributes.set(type, bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length));
    at += align(length);
  }
  return attributes;
}

/** The number in an attribute of four bytes; `undefined` when it is absent or has another length. */
export function attributeNumber(attributes: Attributes, type: number): number | undefined {
  const data = attributes.get(type);
  return data?.length === 4 ? viewOf(data).getUint32(0, true) : undefined;
}

/** The text in an attribute, up to the first NUL; bytes that are no UTF-8 become U+FFFD. */
export function attributeText(attributes: Attributes, type: number): string | undefined {
  const data = attributes.get(type);
  if (data === undefined) return undefined;
  const end = data.indexOf(0);
  return TEXT.decode(end === -1 ? data : data.subarray(0, end));
}

const TEXT = new TextDecoder();

/** A view of exactly these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function align(length: number): number {
  return (length + 3) & ~3;
}
