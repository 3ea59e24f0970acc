/**
 * Deletes links without stopping this thread.
 *
 * The kernel takes a link out of its tables within a millisecond, and then waits, before the call returns, until no
 * processor can have the link in its hands any more: 20 to 80 ms. So the call is made on a thread of the pool. Whoever
 * needs to know only that the link is gone looks at the tables; the promise tells when the kernel is done with it.
 */

import { decodeAck } from './ack.ts';
import { formatErrno } from './errno.ts';
import { encodeDeleteLink } from './link-request.ts';
import { NetlinkError } from './netlink-error.ts';
import {
  BUFFER_BYTES,
  invalidAnswer,
  KERNEL,
  openRouteSocket,
  type RouteSocket,
  receiveFromKernel,
} from './route-socket.ts';

const SEQUENCE = 1;

/**
 * Deletes a link of the network namespace this thread is in, with its addresses and routes. Takes a thread of the pool
 * until the promise settles.
 * @throws {NetlinkError} `netlink/refused`: `ENODEV` when it is gone, `EOPNOTSUPP` when it cannot be deleted (`lo`,
 * hardware); `netlink/unanswered` and others @throws {RangeError} for an index that no link has
 */
export async function deleteLinkOnThread(
  index: number,
  openSocket: () => RouteSocket = openPlainSocket,
): Promise<void> {
  const request = encodeDeleteLink(SEQUENCE, index);
  const socket = openSocket();
  try {
    await send(socket, request, index);
    readAnswer(socket, index);
  } finally {
    socket.close();
  }
}

function openPlainSocket(): RouteSocket {
  return openRouteSocket(0);
}

async function send(socket: RouteSocket, request: Uint8Array, index: number): Promise<void> {
  try {
    await socket.sendToOnThread(request, KERNEL);
  } catch (cause) {
    throw new NetlinkError('netlink/failed', `Cannot ask to delete link ${index}`, { errno: undefined, cause });
  }
}

function readAnswer(socket: RouteSocket, index: number): void {
  const datagram = receiveFromKernel(socket, new Uint8Array(BUFFER_BYTES));
  if ('transient' in datagram) {
    const message = `It is unknown whether the kernel did delete link ${index} (${datagram.transient})`;
    throw new NetlinkError('netlink/unanswered', message, { errno: datagram.transient, cause: undefined });
  }
  const ack = decodeAck(SEQUENCE, datagram);
  if (ack.kind === 'none') throw invalidAnswer('bad-sequence');
  if (ack.kind === 'malformed') throw invalidAnswer(ack.problem);
  if (ack.kind === 'done') return;
  const errno = formatErrno(ack.errno);
  throw new NetlinkError('netlink/refused', `The kernel refused to delete link ${index} (${errno})`, {
    errno,
    cause: undefined,
  });
}
