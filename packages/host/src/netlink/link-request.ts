/**
 * Requests that make, change and delete links. Pure.
 *
 * ```
 * ifinfomsg   0  u8 family, u8 pad, u16 hardware type: zeros
 *             4  i32 index
 *             8  u32 flags
 *            12  u32 mask of the flags that change
 * then attributes: IFLA_IFNAME 3 (text, NUL), IFLA_MTU 4 (u32), IFLA_LINKINFO 18 { IFLA_INFO_KIND 1 (text) },
 *                  IFLA_IFALIAS 20 (text), IFLA_GROUP 27 (u32)
 * ```
 */

import { decodeLink, type Link } from './link.ts';
import { decodeMessages, encodeAttribute, encodeNumberAttribute, viewOf } from './message.ts';
import { checkInteger, checkLinkIndex, encodeCreateRequest, encodeQuestion, encodeRequest } from './request.ts';

/** A link to make. */
export interface NewLink {
  /** 1–15 bytes without `/`, `:`, `%`, NUL and white space, and neither `.` nor `..`. */
  readonly name: string;
  /** The driver's word: `bridge`, `dummy`, `ifb`, … 1–55 bytes. */
  readonly kind: string;
  /** The link has it from the first moment. */
  readonly group: number;
}

/** What is to change; what is `undefined` or left out stays. */
export interface LinkChange {
  readonly isUp?: boolean | undefined;
  /** In bytes. */
  readonly mtu?: number | undefined;
  /** At most 255 bytes; empty removes it. */
  readonly alias?: string | undefined;
  readonly group?: number | undefined;
}

const RTM_NEWLINK = 0x10;
const RTM_DELLINK = 0x11;
const RTM_GETLINK = 0x12;
const HEADER_BYTES = 16;
const IFF_UP = 0x1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_GROUP = 27;
const IFLA_INFO_KIND = 1;

const NAME_BYTES_MAX = 15;
const KIND_BYTES_MAX = 55;
const ALIAS_BYTES_MAX = 255;
const U32 = { min: 0, max: 0xffffffff };
const MTU = { min: 0, max: 0x7fffffff };

/**
 * Encodes the request for a new link, switched off.
 * @throws {RangeError} when a field is outside of its bounds.
 */
export function encodeAddLink(sequence: number, { name, kind, group }: NewLink): Uint8Array {
  return encodeCreateRequest(RTM_NEWLINK, sequence, [
    encodeHeader(0),
    encodeNumberAttribute(IFLA_GROUP, checkInteger('group', group, U32)),
    encodeAttribute(IFLA_IFNAME, encodeName(name)),
    encodeAttribute(IFLA_LINKINFO, encodeAttribute(IFLA_INFO_KIND, encodeKind(kind))),
  ]);
}

/**
 * Encodes the question for one link; the answer is its RTM_NEWLINK, or an error.
 * @throws {RangeError} when no link can have the name.
 */
export function encodeFindLink(sequence: number, name: string): Uint8Array {
  return encodeQuestion(RTM_GETLINK, sequence, [encodeHeader(0), encodeAttribute(IFLA_IFNAME, encodeName(name))]);
}

/** Decodes a datagram of the answer to {@link encodeFindLink}; messages with another sequence number count as `none`. */
export function decodeFoundLink(
  sequence: number,
  datagram: Uint8Array,
): Link | 'none' | 'short' | 'bad-length' | 'bad-attribute' {
  const { messages, problem } = decodeMessages(datagram);
  if (problem !== undefined) return problem;
  const answer = messages.find((message) => message.type === RTM_NEWLINK && message.sequence === sequence);
  return answer === undefined ? 'none' : decodeLink(answer.body);
}

/**
 * Encodes the request to delete a link.
 * @throws {RangeError} when the index is none.
 */
export function encodeDeleteLink(sequence: number, index: number): Uint8Array {
  return encodeRequest(RTM_DELLINK, sequence, [encodeHeader(checkLinkIndex(index))]);
}

/**
 * Encodes the request to change a link.
 * @throws {RangeError} when the index is none or a field is outside of its bounds.
 */
export function encodeChangeLink(sequence: number, index: number, change: LinkChange): Uint8Array {
  const { isUp, mtu, alias, group } = change;
  const parts = [encodeHeader(checkLinkIndex(index), isUp)];
  if (alias !== undefined) parts.push(encodeAttribute(IFLA_IFALIAS, encodeText('alias', alias, ALIAS_BYTES_MAX)));
  if (mtu !== undefined) parts.push(encodeNumberAttribute(IFLA_MTU, checkInteger('MTU', mtu, MTU)));
  if (group !== undefined) parts.push(encodeNumberAttribute(IFLA_GROUP, checkInteger('group', group, U32)));
  return encodeRequest(RTM_NEWLINK, sequence, parts);
}

function encodeHeader(index: number, isUp?: boolean): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = viewOf(bytes);
  view.setInt32(4, index, true);
  view.setUint32(8, isUp === true ? IFF_UP : 0, true);
  view.setUint32(12, isUp === undefined ? 0 : IFF_UP, true);
  return bytes;
}

// The kernel takes a percent sign for a pattern, and chooses another name.
function encodeName(name: string): Uint8Array {
  const isName = !/[/:%\s]/.test(name) && name !== '' && name !== '.' && name !== '..';
  if (!isName) throw new RangeError(`No link can be named "${name}"`);
  return encodeText('link name', name, NAME_BYTES_MAX, 1);
}

function encodeKind(kind: string): Uint8Array {
  if (kind === '') throw new RangeError('The link kind is empty');
  return encodeText('link kind', kind, KIND_BYTES_MAX);
}

function encodeText(what: string, text: string, bytesMax: number, padBytes = 0): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > bytesMax) throw new RangeError(`The ${what} "${text}" has more than ${bytesMax} bytes`);
  if (bytes.includes(0)) throw new RangeError(`The ${what} ${JSON.stringify(text)} has a NUL in it`);
  const padded = new Uint8Array(bytes.length + padBytes);
  padded.set(bytes);
  return padded;
}
