/**
 * A dump: the request for everything of one kind, and the datagrams that answer it. Pure.
 *
 * The answer is a run of messages over several datagrams, closed by NLMSG_DONE. When the kernel marks one as
 * interrupted, the table changed meanwhile and the answer may lack entries or have them twice: only a new request helps.
 */

import { decodeMessages, encodeAttribute, encodeMessage, type NetlinkMessage, viewOf } from './message.ts';

/** What can be asked for: RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE. */
export type DumpKind = 'link' | 'address' | 'route';

/** What one datagram of the answer means. */
export type DumpPart =
  /** `bodies` are views of the datagram. */
  | { readonly kind: 'more' | 'done'; readonly bodies: readonly Uint8Array[] }
  /** The table changed, or the kernel had no room: ask anew, with another sequence number. */
  | { readonly kind: 'interrupted' }
  /** The kernel refused. */
  | { readonly kind: 'refused'; readonly errno: number }
  | { readonly kind: 'malformed'; readonly problem: 'short' | 'bad-length' | 'bad-error' };

const NLMSG_ERROR = 0x2;
const NLMSG_DONE = 0x3;
const NLMSG_OVERRUN = 0x4;
const NLM_F_REQUEST = 0x1;
const NLM_F_DUMP_INTR = 0x10;
/** NLM_F_ROOT | NLM_F_MATCH. */
const NLM_F_DUMP = 0x300;

const IFLA_EXT_MASK = 29;
const RTEXT_FILTER_SKIP_STATS = 0x8;
/** Request and answer type, and the fixed part of the body: ifinfomsg, ifaddrmsg, rtmsg. Zeros ask for all families. */
const KINDS = {
  link: { request: 0x12, answer: 0x10, bodyBytes: 16 },
  address: { request: 0x16, answer: 0x14, bodyBytes: 8 },
  route: { request: 0x1a, answer: 0x18, bodyBytes: 12 },
} as const;

/** Encodes the request for all links, addresses or routes of the network namespace. */
export function encodeDumpRequest(kind: DumpKind, sequence: number): Uint8Array {
  const { request, bodyBytes } = KINDS[kind];
  const header = { type: request, flags: NLM_F_REQUEST | NLM_F_DUMP, sequence, port: 0 };
  const parts: Uint8Array[] = [new Uint8Array(bodyBytes)];
  // Counters make up half of a link's answer and nobody reads them.
  if (kind === 'link') parts.push(encodeAttribute(IFLA_EXT_MASK, Uint8Array.of(RTEXT_FILTER_SKIP_STATS, 0, 0, 0)));
  return encodeMessage(header, parts);
}

/** Decodes one datagram of the answer; messages with another sequence number belong to an earlier request. */
export function decodeDumpPart(kind: DumpKind, sequence: number, datagram: Uint8Array): DumpPart {
  const { messages, problem } = decodeMessages(datagram);
  if (problem !== undefined) return { kind: 'malformed', problem };
  const bodies: Uint8Array[] = [];
  for (const message of messages) {
    if (message.type === NLMSG_OVERRUN) return { kind: 'interrupted' };
    if (message.sequence !== sequence) continue;
    if ((message.flags & NLM_F_DUMP_INTR) !== 0) return { kind: 'interrupted' };
    if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) return decodeEnd(message, bodies);
    if (message.type === KINDS[kind].answer) bodies.push(message.body);
  }
  return { kind: 'more', bodies };
}

// Both carry an i32 that is 0 or a negative errno; a kernel before 2.6.12 ends a dump without one.
function decodeEnd({ type, body }: NetlinkMessage, bodies: readonly Uint8Array[]): DumpPart {
  if (body.length < 4)
    return type === NLMSG_DONE ? { kind: 'done', bodies } : { kind: 'malformed', problem: 'bad-error' };
  const code = viewOf(body).getInt32(0, true);
  return code < 0 ? { kind: 'refused', errno: -code } : { kind: 'done', bodies };
}
