/**
 * Links, addresses and routes of the network namespace this process is in, read from the kernel and changed by netlink.
 *
 * Every call is synchronous, asks the kernel anew, and never waits for an answer: the kernel puts the next part of one
 * in the queue while the last one is taken from it, and the answer to a change before the request is sent, so an empty
 * queue means that something went wrong. A socket on which an answer was not read to its end is of no more use (the
 * kernel may refuse the next request) and is replaced.
 *
 * A question that went wrong in passing is asked again. A change is not: once the kernel took the request, it is done or
 * refused, and when the answer gets lost (`netlink/unanswered`) only reading the tables tells which. Repeated, a change
 * that was done would look like one that somebody else was faster with (EEXIST, ENODEV). Only a request that the kernel
 * did not even take is sent again.
 */

import { decodeAck } from './ack.ts';
import { type Address, decodeAddress } from './address.ts';
import { type AddressKey, encodeAddAddress, encodeDeleteAddress, type NewAddress } from './address-request.ts';
import { type DumpKind, decodeDumpPart, encodeDumpRequest } from './dump.ts';
import { formatErrno } from './errno.ts';
import { decodeLink, type Link } from './link.ts';
import {
  decodeFoundLink,
  encodeAddLink,
  encodeChangeLink,
  encodeDeleteLink,
  encodeFindLink,
  type LinkChange,
  type NewLink,
} from './link-request.ts';
import { NetlinkError } from './netlink-error.ts';
import { decodeRoutes, type Route } from './route.ts';
import { encodeAddRoute, encodeDeleteRoute, type RouteRequest } from './route-request.ts';
import {
  BUFFER_BYTES,
  invalidAnswer,
  type NetlinkSocket,
  openRouteSocket,
  receiveFromKernel,
  sendToKernel,
} from './route-socket.ts';

const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** A datagram counts as at least this much of an answer, so that empty ones are bounded as well. */
const DATAGRAM_BYTES_MIN = 4096;
const ATTEMPT_COUNT_MAX = 4;
/** Of datagrams before the answer to a change: nothing but it is due on the socket. */
const STRAY_COUNT_MAX = 64;

/** A connection to the kernel's tables; whoever opens it closes it. Not to be shared between threads. */
export class Netlink {
  readonly #openSocket: () => NetlinkSocket;
  readonly #buffer: Uint8Array = new Uint8Array(BUFFER_BYTES);
  #socket: NetlinkSocket | undefined;
  #isClosed = false;
  #sequence = 0;

  private constructor(openSocket: () => NetlinkSocket) {
    this.#openSocket = openSocket;
    this.#socket = openSocket();
  }

  /**
   * Opens a socket; needs no right, but changes need CAP_NET_ADMIN (`EPERM`). The first call of the process loads koffi (6–20 ms, 5 MB).
   * @throws {NetlinkError} `netlink/unsupported`, `netlink/failed`
   */
  static open(openSocket: () => NetlinkSocket = () => openRouteSocket(0)): Netlink {
    return new Netlink(openSocket);
  }

  /**
   * All interfaces, also those that are switched off.
   * @throws {NetlinkError} @throws {TypeError} after `close()`
   */
  links(): Link[] {
    return this.#dump('link', (body) => {
      const link = decodeLink(body);
      return typeof link === 'string' ? link : [link];
    });
  }

  /**
   * The link of that name; `undefined` when there is none. One exchange, however many links there are.
   * @throws {NetlinkError} `netlink/unanswered` and others @throws {RangeError} when no link can have the name
   * @throws {TypeError} after `close()`
   */
  findLink(name: string): Link | undefined {
    const purpose = `find link "${name}"`;
    this.#checkOpen();
    const sequence = this.#nextSequence();
    const socket = this.#send(purpose, encodeFindLink(sequence, name));
    let found: Link | 'absent' | undefined;
    try {
      found = this.#receiveLink(socket, purpose, sequence);
      return found === 'absent' ? undefined : found;
    } finally {
      if (found === undefined) this.#dropSocket();
    }
  }

  /**
   * All addresses of IPv4 and IPv6, also those of interfaces that are switched off.
   * @throws {NetlinkError} @throws {TypeError} after `close()`
   */
  addresses(): Address[] {
    return this.#dump('address', (body) => {
      const address = decodeAddress(body);
      if (address === 'other-family') return [];
      return typeof address === 'string' ? address : [address];
    });
  }

  /**
   * The routes of IPv4 and IPv6 in all tables, those the kernel makes for local and broadcast addresses included.
   * @throws {NetlinkError} @throws {TypeError} after `close()`
   */
  routes(): Route[] {
    return this.#dump('route', decodeRoutes);
  }

  /**
   * Makes a link, switched off.
   * @throws {NetlinkError} `netlink/refused`: `EEXIST` when the name is taken, `EOPNOTSUPP` when there is no such kind;
   * `netlink/unanswered` and others @throws {RangeError} when a field is outside of its bounds @throws {TypeError} after
   * `close()`
   */
  addLink(link: NewLink): void {
    this.#change(`add link "${link.name}"`, (sequence) => encodeAddLink(sequence, link));
  }

  /**
   * Deletes a link with its addresses and routes.
   * @throws {NetlinkError} `netlink/refused`: `ENODEV` when it is gone, `EOPNOTSUPP` when it cannot be deleted (`lo`,
   * hardware); `netlink/unanswered` and others @throws {RangeError} @throws {TypeError}
   */
  deleteLink(index: number): void {
    this.#change(`delete link ${index}`, (sequence) => encodeDeleteLink(sequence, index));
  }

  /**
   * Changes what is given of a link. Not atomic: what the kernel did before it came to what it refuses stays.
   * @throws {NetlinkError} `netlink/refused`: `ENODEV`, `EINVAL` for an MTU that the driver does not know;
   * `netlink/unanswered` and others @throws {RangeError} @throws {TypeError}
   */
  changeLink(index: number, change: LinkChange): void {
    this.#change(`change link ${index}`, (sequence) => encodeChangeLink(sequence, index, change));
  }

  /**
   * Gives a link an address, and the main table the route to its network while the link is up. An IPv6 address is
   * usable at once.
   * @throws {NetlinkError} `netlink/refused`: `EEXIST`, `ENODEV`; of IPv6 `EACCES` where it is switched off, `EINVAL` while
   * the MTU is below 1280; `netlink/unanswered` and others @throws {RangeError} @throws {TypeError}
   */
  addAddress(address: NewAddress): void {
    this.#change(`add address "${address.address}"`, (sequence) => encodeAddAddress(sequence, address));
  }

  /**
   * Takes an address from a link, and, unless `promote_secondaries` is set, with the first IPv4 address of a network all
   * others of it.
   * @throws {NetlinkError} `netlink/refused`: `EADDRNOTAVAIL` when it is not there, `ENODEV`; `netlink/unanswered` and
   * others @throws {RangeError} @throws {TypeError}
   */
  deleteAddress(address: AddressKey): void {
    this.#change(`delete address "${address.address}"`, (sequence) => encodeDeleteAddress(sequence, address));
  }

  /**
   * Adds a route.
   * @throws {NetlinkError} `netlink/refused`: `EEXIST`, `ENODEV`, `ENETDOWN` while the link is down, `ENETUNREACH` or
   * `EHOSTUNREACH` for a gateway that is not on the link; `netlink/unanswered` and others @throws {RangeError}
   * @throws {TypeError}
   */
  addRoute(route: RouteRequest): void {
    this.#change(`add route "${route.prefix}"`, (sequence) => encodeAddRoute(sequence, route));
  }

  /**
   * Deletes the first route that fits.
   * @throws {NetlinkError} `netlink/refused`: `ESRCH` when there is none; `netlink/unanswered` and others
   * @throws {RangeError} @throws {TypeError}
   */
  deleteRoute(route: RouteRequest): void {
    this.#change(`delete route "${route.prefix}"`, (sequence) => encodeDeleteRoute(sequence, route));
  }

  /** Further calls do nothing; never throws. */
  close(): void {
    this.#isClosed = true;
    this.#dropSocket();
  }

  #dump<Entry>(kind: DumpKind, decode: Decode<Entry>): Entry[] {
    this.#checkOpen();
    for (let attempt = 0; attempt < ATTEMPT_COUNT_MAX; attempt++) {
      const socket = this.#openSocketOnce();
      let entries: Entry[] | undefined;
      try {
        entries = this.#ask(socket, kind, decode);
        if (entries !== undefined) return entries;
      } finally {
        if (entries === undefined) this.#dropSocket();
      }
    }
    throw new NetlinkError(
      'netlink/changing',
      `No consistent list of ${kind} entries in ${ATTEMPT_COUNT_MAX} attempts`,
    );
  }

  /** The entries of one complete answer; `undefined` when it is worth asking again. */
  #ask<Entry>(socket: NetlinkSocket, kind: DumpKind, decode: Decode<Entry>): Entry[] | undefined {
    const sequence = this.#nextSequence();
    if (sendToKernel(socket, encodeDumpRequest(kind, sequence)) !== undefined) return undefined;
    const entries: Entry[] = [];
    for (let totalBytes = 0; totalBytes < ANSWER_BYTES_MAX; ) {
      const datagram = receiveFromKernel(socket, this.#buffer);
      if ('transient' in datagram) return undefined;
      totalBytes += Math.max(datagram.length, DATAGRAM_BYTES_MIN);
      const part = decodeDumpPart(kind, sequence, datagram);
      if (part.kind === 'interrupted') return undefined;
      if (part.kind === 'malformed') throw invalidAnswer(part.problem);
      if (part.kind === 'refused') throw refusal('netlink/failed', `list ${kind} entries`, part.errno);
      for (const body of part.bodies) appendDecoded(entries, decode(body));
      if (part.kind === 'done') return entries;
    }
    throw invalidAnswer('too-long');
  }

  #change(purpose: string, encode: (sequence: number) => Uint8Array): void {
    this.#checkOpen();
    const sequence = this.#nextSequence();
    const socket = this.#send(purpose, encode(sequence));
    let errno: number | undefined;
    try {
      errno = this.#receiveAck(socket, purpose, sequence);
    } finally {
      if (errno === undefined) this.#dropSocket();
    }
    if (errno !== 0) throw refusal('netlink/refused', purpose, errno);
  }

  /** The socket on which the kernel took the request. */
  #send(purpose: string, request: Uint8Array): NetlinkSocket {
    for (let attempt = 0; attempt < ATTEMPT_COUNT_MAX; attempt++) {
      const socket = this.#openSocketOnce();
      let isSent = false;
      try {
        isSent = sendToKernel(socket, request) === undefined;
        if (isSent) return socket;
      } finally {
        if (!isSent) this.#dropSocket();
      }
    }
    throw new NetlinkError('netlink/changing', `The kernel has no memory to ${purpose}`);
  }

  #receiveLink(socket: NetlinkSocket, purpose: string, sequence: number): Link | 'absent' {
    for (let count = 0; count < STRAY_COUNT_MAX; count++) {
      const datagram = this.#receive(socket, purpose);
      const link = decodeFoundLink(sequence, datagram);
      if (typeof link !== 'string') return link;
      if (link !== 'none') throw invalidAnswer(link);
      const ack = decodeAck(sequence, datagram);
      if (ack.kind === 'malformed') throw invalidAnswer(ack.problem);
      if (ack.kind !== 'refused') continue;
      if (formatErrno(ack.errno) === 'ENODEV') return 'absent';
      throw refusal('netlink/failed', purpose, ack.errno);
    }
    throw invalidAnswer('too-long');
  }

  /** The next datagram, which is due. */
  #receive(socket: NetlinkSocket, purpose: string): Uint8Array {
    const datagram = receiveFromKernel(socket, this.#buffer);
    if (!('transient' in datagram)) return datagram;
    const message = `It is unknown whether the kernel did ${purpose} (${datagram.transient})`;
    throw new NetlinkError('netlink/unanswered', message, { errno: datagram.transient, cause: undefined });
  }

  /** 0, or the number of the error. */
  #receiveAck(socket: NetlinkSocket, purpose: string, sequence: number): number {
    for (let count = 0; count < STRAY_COUNT_MAX; count++) {
      const ack = decodeAck(sequence, this.#receive(socket, purpose));
      if (ack.kind === 'malformed') throw invalidAnswer(ack.problem);
      if (ack.kind !== 'none') return ack.kind === 'done' ? 0 : ack.errno;
    }
    throw invalidAnswer('too-long');
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new TypeError('This Netlink is closed');
  }

  #openSocketOnce(): NetlinkSocket {
    this.#socket ??= this.#openSocket();
    return this.#socket;
  }

  #nextSequence(): number {
    this.#sequence = (this.#sequence % 0xffffffff) + 1;
    return this.#sequence;
  }

  #dropSocket(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }
}

/** A string says what is wrong with the bytes. */
type Decode<Entry> = (body: Uint8Array) => readonly Entry[] | string;

function appendDecoded<Entry>(entries: Entry[], decoded: readonly Entry[] | string): void {
  if (typeof decoded === 'string') throw invalidAnswer(decoded);
  for (const entry of decoded) entries.push(entry);
}

function refusal(code: 'netlink/failed' | 'netlink/refused', purpose: string, number: number): NetlinkError {
  const errno = formatErrno(number);
  return new NetlinkError(code, `The kernel refused to ${purpose} (${errno})`, { errno, cause: undefined });
}
