/** The two ends of a TCP connection within this machine, as the tables of the kernel name them. Pure. */

/** As Node.js writes it: no zone, `::ffff:127.0.0.1` for IPv4 on a socket of IPv6. */
export interface TcpEndpoint {
  readonly address: string;
  readonly port: number;
}

/** One end of a connection: the socket that sends from `from` to `to`. Both addresses have the same length, 4 or 16. */
export interface TcpTuple {
  readonly from: TupleEndpoint;
  readonly to: TupleEndpoint;
}

/** Network byte order; IPv4 is 4 bytes also where a socket of IPv6 carries it. */
export interface TupleEndpoint {
  readonly address: Uint8Array;
  readonly port: number;
}

/** What the kernel says about a socket. */
export interface TcpEnd {
  /** {@link TCP_STATE} */
  readonly state: number;
  readonly uid: number;
  /** Of the socket as a file; 0 when no process has it any more, and then `uid` means nothing. */
  readonly inode: number;
}

/** include/net/tcp_states.h: the states in which a connected socket can still be a process's. */
export const TCP_STATE = { established: 1, finWait1: 4, finWait2: 5, closeWait: 8 } as const;

/** The tuple of the end `from`. Undefined unless both addresses are loopback and of one family, and both ports are set. */
export function parseLoopbackTuple(from: TcpEndpoint, to: TcpEndpoint): TcpTuple | undefined {
  const fromBytes = parseLoopback(from.address);
  const toBytes = parseLoopback(to.address);
  if (fromBytes === undefined || toBytes === undefined || fromBytes.length !== toBytes.length) return undefined;
  if (!isPort(from.port) || !isPort(to.port)) return undefined;
  return { from: { address: fromBytes, port: from.port }, to: { address: toBytes, port: to.port } };
}

/** The other end of the same connection. */
export function reverseTuple({ from, to }: TcpTuple): TcpTuple {
  return { from: to, to: from };
}

/** True for the same addresses and ports in the same direction. */
export function isSameTuple(a: TcpTuple, b: TcpTuple): boolean {
  return isSameEndpoint(a.from, b.from) && isSameEndpoint(a.to, b.to);
}

/** The 12 bytes before the IPv4 address in the form of IPv6 (RFC 4291 §2.5.5.2). */
export const MAPPED_PREFIX: Uint8Array = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

/** The 4 bytes of IPv4 in 16 bytes that stand for it; every other address unchanged. */
export function unmapAddress(address: Uint8Array): Uint8Array {
  const isMapped = address.length === 16 && MAPPED_PREFIX.every((byte, at) => byte === address[at]);
  return isMapped ? address.subarray(12) : address;
}

const IPV4_LOOPBACK = /^(?:::ffff:)?127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/i;
const IPV6_LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

function parseLoopback(text: string): Uint8Array | undefined {
  if (text === '::1') return IPV6_LOOPBACK;
  const match = IPV4_LOOPBACK.exec(text);
  const parts = match?.slice(1).map(Number);
  return parts?.every((part) => part <= 255) ? Uint8Array.of(127, ...parts) : undefined;
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 0xffff;
}

function isSameEndpoint(a: TupleEndpoint, b: TupleEndpoint): boolean {
  if (a.port !== b.port || a.address.length !== b.address.length) return false;
  return a.address.every((byte, at) => byte === b.address[at]);
}
