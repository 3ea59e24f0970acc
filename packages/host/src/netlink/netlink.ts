/**
 * Links, addresses and routes of the network namespace this process is in, read from the kernel by netlink.
 *
 * Every call is synchronous and asks the kernel anew. It never waits: the kernel puts the next part of an answer in the
 * queue while the last one is taken from it, so an empty queue means that something went wrong. A socket on which an
 * answer was not read to its end is of no more use (the kernel may refuse the next request) and is replaced.
 */

import { endianness } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { DatagramSocket } from '../datagram-socket.ts';
import { type Address, decodeAddress } from './address.ts';
import { type DumpKind, decodeDumpPart, encodeDumpRequest } from './dump.ts';
import { decodeLink, type Link } from './link.ts';
import { viewOf } from './message.ts';
import { NetlinkError } from './netlink-error.ts';
import { decodeRoutes, type Route } from './route.ts';

/** What is needed of a socket, so that tests can answer in the kernel's place. */
export type NetlinkSocket = Pick<DatagramSocket, 'sendTo' | 'receive' | 'close'>;

/** The kernel's parts have at most 32 KiB. */
const BUFFER_BYTES = 0x10000;
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** A datagram counts as at least this much of an answer, so that empty ones are bounded as well. */
const DATAGRAM_BYTES_MIN = 4096;
const ATTEMPT_COUNT_MAX = 4;

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
   * Opens a socket; needs no right. The first call of the process loads koffi (6–20 ms, 5 MB).
   * @throws {NetlinkError} `netlink/unsupported`, `netlink/failed`
   */
  static open(openSocket: () => NetlinkSocket = openRouteSocket): Netlink {
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

  /** Further calls do nothing; never throws. */
  close(): void {
    this.#isClosed = true;
    this.#dropSocket();
  }

  #dump<Entry>(kind: DumpKind, decode: Decode<Entry>): Entry[] {
    if (this.#isClosed) throw new TypeError('This Netlink is closed');
    for (let attempt = 0; attempt < ATTEMPT_COUNT_MAX; attempt++) {
      this.#socket ??= this.#openSocket();
      let entries: Entry[] | undefined;
      try {
        entries = this.#ask(this.#socket, kind, decode);
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
    this.#sequence = (this.#sequence % 0xffffffff) + 1;
    const request = encodeDumpRequest(kind, this.#sequence);
    if (tryCall(() => socket.sendTo(request, KERNEL)) === 'again') return undefined;
    const entries: Entry[] = [];
    for (let totalBytes = 0; totalBytes < ANSWER_BYTES_MAX; ) {
      const datagram = this.#receive(socket);
      if (datagram === undefined) return undefined;
      totalBytes += Math.max(datagram.length, DATAGRAM_BYTES_MIN);
      const part = decodeDumpPart(kind, this.#sequence, datagram);
      if (part.kind === 'interrupted') return undefined;
      if (part.kind === 'malformed') throw invalidAnswer(part.problem);
      if (part.kind === 'refused') throw refusal(kind, part.errno);
      for (const body of part.bodies) appendDecoded(entries, decode(body));
      if (part.kind === 'done') return entries;
    }
    throw invalidAnswer('too-long');
  }

  /** A view of the buffer; empty when the sender is another process. */
  #receive(socket: NetlinkSocket): Uint8Array | undefined {
    const received = tryCall(() => socket.receive(this.#buffer));
    if (received === 'again') return undefined;
    const { lengthBytes, sender } = received;
    if (lengthBytes > this.#buffer.length) throw invalidAnswer('too-long');
    const isFromKernel = sender.length === KERNEL.length && viewOf(sender).getUint32(4, true) === 0;
    return this.#buffer.subarray(0, isFromKernel ? lengthBytes : 0);
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

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_ROUTE = 0;
/** sockaddr_nl: family u16, pad u16, port u32, groups u32. Bound to, it lets the kernel choose a port. */
const KERNEL = Uint8Array.of(AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
/** Sandboxes refuse the family, mostly by one of these. */
const UNSUPPORTED_CODES: ReadonlySet<unknown> = new Set([
  'ENOSYS',
  'EAFNOSUPPORT',
  'EPROTONOSUPPORT',
  'EACCES',
  'EPERM',
]);
const TRANSIENT_CODES: ReadonlySet<unknown> = new Set(['EAGAIN', 'ENOBUFS', 'ENOMEM', 'EINTR']);

function openRouteSocket(): NetlinkSocket {
  if (endianness() !== 'LE') throw new NetlinkError('netlink/unsupported', 'Netlink needs a little-endian machine');
  let socket: DatagramSocket | undefined;
  try {
    socket = DatagramSocket.open({ family: AF_NETLINK, type: SOCK_RAW, protocol: NETLINK_ROUTE });
    socket.bind(KERNEL);
    return socket;
  } catch (cause) {
    socket?.close();
    const code = UNSUPPORTED_CODES.has(codeOf(cause)) ? 'netlink/unsupported' : 'netlink/failed';
    throw new NetlinkError(code, `Cannot open a netlink socket (${codeOf(cause)})`, cause);
  }
}

/** Runs a system call, or says that the same question may succeed on another socket. */
function tryCall<Result>(call: () => Result): Result | 'again' {
  try {
    return call();
  } catch (cause) {
    if (TRANSIENT_CODES.has(codeOf(cause))) return 'again';
    throw new NetlinkError('netlink/failed', `The netlink socket failed (${codeOf(cause)})`, cause);
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}

function refusal(kind: DumpKind, errno: number): NetlinkError {
  return new NetlinkError('netlink/failed', `The kernel does not list ${kind} entries (${getSystemErrorName(-errno)})`);
}

function invalidAnswer(problem: string): NetlinkError {
  return new NetlinkError('netlink/invalid-answer', `The kernel's answer cannot be read ("${problem}")`);
}
