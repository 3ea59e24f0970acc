/**
 * The question for one TCP socket in the netlink protocol SOCK_DIAG, and its answer (sock_diag(7)). Pure.
 *
 * ```
 * request   0  u8  family: 2 IPv4, 10 IPv6      answer   0  u8  family of the socket
 *           1  u8  protocol: 6 TCP                       1  u8  state
 *           2  u8  extensions: 0                         2  u8  timer, u8 retransmissions
 *           3  u8  0                                     4  48 bytes: which socket
 *           4  u32 states (of lists only)               52  u32 expiry, u32 receive queue, u32 send queue
 *           8  48 bytes: which socket                   64  u32 uid
 *          56                                           68  u32 inode
 *                                                       72  attributes
 * which     0  u16 port, u16 port of the peer            (network byte order)
 *           4  16 bytes address, 16 bytes of the peer's  (IPv4: the first four of each)
 *          36  u32 interface: 0 any
 *          40  8 bytes cookie: all ones for any
 * ```
 *
 * Where there is no such connection the kernel answers with the socket that listens on `from`, so the answer is held
 * against the question.
 */

import { decodeMessages, encodeMessage, type NetlinkMessage, viewOf } from './netlink/message.ts';
import { isSameTuple, type TcpEnd, type TcpTuple, unmapAddress } from './tcp-end.ts';

/** `absent`: there is no such socket, or the kernel has no SOCK_DIAG for TCP. The others are no answer to the question. */
export type DiagProblem = 'absent' | 'refused' | 'malformed' | 'other-request' | 'other-socket';

const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 1;
const NLMSG_ERROR = 2;
const ENOENT = 2;
const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;

const REQUEST_BYTES = 56;
const REQUEST_SOCKET_AT = 8;
const ANSWER_BYTES = 72;
const ANSWER_SOCKET_AT = 4;
const COOKIE_AT = 40;
const COOKIE_BYTES = 8;

/** Encodes the question for the socket of exactly this tuple, not for a list. `sequence` has 32 bits. */
export function encodeDiagRequest(tuple: TcpTuple, sequence: number): Uint8Array {
  const body = new Uint8Array(REQUEST_BYTES);
  const view = viewOf(body);
  view.setUint8(0, tuple.from.address.length === 4 ? AF_INET : AF_INET6);
  view.setUint8(1, IPPROTO_TCP);
  view.setUint32(4, 0xffffffff, true);
  view.setUint16(REQUEST_SOCKET_AT, tuple.from.port);
  view.setUint16(REQUEST_SOCKET_AT + 2, tuple.to.port);
  body.set(tuple.from.address, REQUEST_SOCKET_AT + 4);
  body.set(tuple.to.address, REQUEST_SOCKET_AT + 20);
  body.fill(0xff, REQUEST_SOCKET_AT + COOKIE_AT, REQUEST_SOCKET_AT + COOKIE_AT + COOKIE_BYTES);
  return encodeMessage({ type: SOCK_DIAG_BY_FAMILY, flags: NLM_F_REQUEST, sequence, port: 0 }, [body]);
}

/** Decodes the answer to the question with these very arguments. Who sent the datagram is for the caller to check. */
export function decodeDiagAnswer(datagram: Uint8Array, tuple: TcpTuple, sequence: number): TcpEnd | DiagProblem {
  const { messages, problem } = decodeMessages(datagram);
  const [message, ...others] = messages;
  if (message === undefined || problem !== undefined || others.length > 0) return 'malformed';
  if (message.sequence !== sequence) return 'other-request';
  if (message.type === NLMSG_ERROR) return decodeError(message);
  if (message.type !== SOCK_DIAG_BY_FAMILY) return 'malformed';
  return decodeEnd(message.body, tuple);
}

function decodeError({ body }: NetlinkMessage): DiagProblem {
  if (body.length < 4) return 'malformed';
  return viewOf(body).getInt32(0, true) === -ENOENT ? 'absent' : 'refused';
}

function decodeEnd(body: Uint8Array, tuple: TcpTuple): TcpEnd | DiagProblem {
  if (body.length < ANSWER_BYTES) return 'malformed';
  const view = viewOf(body);
  const family = view.getUint8(0);
  if (family !== AF_INET && family !== AF_INET6) return 'malformed';
  const socket = body.subarray(ANSWER_SOCKET_AT);
  if (!isSameTuple(decodeTuple(socket, family === AF_INET ? 4 : 16), tuple)) return 'other-socket';
  return { state: view.getUint8(1), uid: view.getUint32(64, true), inode: view.getUint32(68, true) };
}

// A socket of IPv6 that carries IPv4 is found by the question for IPv4, and described in the longer form.
function decodeTuple(socket: Uint8Array, addressBytes: number): TcpTuple {
  const view = viewOf(socket);
  return {
    from: { address: unmapAddress(socket.subarray(4, 4 + addressBytes)), port: view.getUint16(0) },
    to: { address: unmapAddress(socket.subarray(20, 20 + addressBytes)), port: view.getUint16(2) },
  };
}
