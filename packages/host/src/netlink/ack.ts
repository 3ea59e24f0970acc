/**
 * The answer to a request for a change: NLMSG_ERROR under the request's sequence number, with 0 when it is done. Pure.
 *
 * ```
 * body   0  i32 0, or a negative errno
 *        4  the header of the request (16 bytes); of a refused one all of it
 * ```
 */

import { decodeMessages, viewOf } from './message.ts';

/** What one datagram says about the request. */
export type Ack =
  /** Nothing. */
  | { readonly kind: 'none' }
  | { readonly kind: 'done' }
  /** `errno` is above 0. */
  | { readonly kind: 'refused'; readonly errno: number }
  | { readonly kind: 'malformed'; readonly problem: 'short' | 'bad-length' | 'bad-error' };

const NLMSG_ERROR = 0x2;

/** Decodes one datagram; messages with another sequence number belong to an earlier request. */
export function decodeAck(sequence: number, datagram: Uint8Array): Ack {
  const { messages, problem } = decodeMessages(datagram);
  if (problem !== undefined) return { kind: 'malformed', problem };
  const answer = messages.find((message) => message.type === NLMSG_ERROR && message.sequence === sequence);
  if (answer === undefined) return { kind: 'none' };
  if (answer.body.length < 4) return { kind: 'malformed', problem: 'bad-error' };
  const code = viewOf(answer.body).getInt32(0, true);
  if (code > 0) return { kind: 'malformed', problem: 'bad-error' };
  return code === 0 ? { kind: 'done' } : { kind: 'refused', errno: -code };
}
