/** The socket below every exchange, and which of its failures mean what. */

import { endianness } from 'node:os';
import { DatagramSocket } from '../datagram-socket.ts';
import { viewOf } from './message.ts';
import { NetlinkError } from './netlink-error.ts';

/** What is needed of a socket, so that tests can answer in the kernel's place. */
export type NetlinkSocket = Pick<DatagramSocket, 'sendTo' | 'receive' | 'close'>;
/** As above, for a call that takes its time. */
export type RouteSocket = Pick<DatagramSocket, 'sendToOnThread' | 'receive' | 'close'>;

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_ROUTE = 0;

/** sockaddr_nl: family u16, pad u16, port u32 (0 is the kernel), groups u32. */
export const KERNEL: Uint8Array = encodeSocketAddress(0);
/** The kernel's datagrams have at most 32 KiB. */
export const BUFFER_BYTES = 0x10000;

/** Sandboxes refuse the family, mostly by one of these. */
const UNSUPPORTED_CODES: ReadonlySet<unknown> = new Set([
  'ENOSYS',
  'EAFNOSUPPORT',
  'EPROTONOSUPPORT',
  'EACCES',
  'EPERM',
]);
/** The code of the call that found nothing. */
const NO_DATAGRAM: TransientFailure = { transient: 'EAGAIN' };
const TRANSIENT_CODES: ReadonlySet<string> = new Set(['EAGAIN', 'ENOBUFS', 'ENOMEM', 'EINTR']);

/**
 * Opens a socket of rtnetlink(7) that also hears of the changes in `groups` (RTMGRP_… bits; 0 for none).
 * @throws {NetlinkError} `netlink/unsupported`, `netlink/failed`
 */
export function openRouteSocket(groups: number): NetlinkSocket & RouteSocket {
  if (endianness() !== 'LE') throw new NetlinkError('netlink/unsupported', 'Netlink needs a little-endian machine');
  let socket: DatagramSocket | undefined;
  try {
    socket = DatagramSocket.open({ family: AF_NETLINK, type: SOCK_RAW, protocol: NETLINK_ROUTE });
    // The port 0 lets the kernel choose one.
    socket.bind(encodeSocketAddress(groups));
    return socket;
  } catch (cause) {
    socket?.close();
    const code = UNSUPPORTED_CODES.has(codeOf(cause)) ? 'netlink/unsupported' : 'netlink/failed';
    throw failure(code, 'Cannot open a netlink socket', cause);
  }
}

/**
 * Takes the next datagram: a view of `buffer`, empty when the sender is another process. The code of the failed call
 * when it was a passing one.
 * @throws {NetlinkError} `netlink/failed`, `netlink/invalid-answer` when the buffer is too small
 */
export function receiveFromKernel(
  socket: Pick<NetlinkSocket, 'receive'>,
  buffer: Uint8Array,
): Uint8Array | TransientFailure {
  const received = tryCall(() => socket.receive(buffer) ?? NO_DATAGRAM);
  if ('transient' in received) return received;
  const { lengthBytes, sender } = received;
  if (lengthBytes > buffer.length) throw invalidAnswer('too-long');
  const isFromKernel = sender.length === KERNEL.length && viewOf(sender).getUint32(4, true) === 0;
  return buffer.subarray(0, isFromKernel ? lengthBytes : 0);
}

/**
 * Sends a request; the failure when the kernel had no memory for it and did nothing.
 * @throws {NetlinkError} `netlink/failed`
 */
export function sendToKernel(socket: NetlinkSocket, request: Uint8Array): TransientFailure | undefined {
  return tryCall(() => {
    socket.sendTo(request, KERNEL);
    return undefined;
  });
}

/** A call that may succeed later, or on another socket. */
export interface TransientFailure {
  readonly transient: string;
}

function tryCall<Result>(call: () => Result): Result | TransientFailure {
  try {
    return call();
  } catch (cause) {
    const code = codeOf(cause);
    if (code !== undefined && TRANSIENT_CODES.has(code)) return { transient: code };
    throw failure('netlink/failed', 'The netlink socket failed', cause);
  }
}

/** The error for bytes that cannot be an answer. */
export function invalidAnswer(problem: string): NetlinkError {
  return new NetlinkError('netlink/invalid-answer', `The kernel's answer cannot be read ("${problem}")`);
}

function failure(code: NetlinkError['code'], sentence: string, cause: unknown): NetlinkError {
  const errno = codeOf(cause);
  return new NetlinkError(code, `${sentence} (${errno ?? 'unknown'})`, { errno, cause });
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

function encodeSocketAddress(groups: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = viewOf(bytes);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(8, groups, true);
  return bytes;
}
