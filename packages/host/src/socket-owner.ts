/**
 * Whose program is at the other end of a TCP connection from this machine to itself: what `readPeerCredentials` is
 * for Unix sockets. TCP notes no identity when a connection is made; the user who made the client's socket is looked up
 * while it is open.
 *
 * What must not happen is an answer for somebody else's socket:
 *
 * - a closed client's socket stays in the kernel without a file, and is said to be root's: it has inode 0;
 * - the addresses and ports of a client that is gone can be those of a later one, which begins with a SYN: only states
 *   of a connection count, and our own end, looked up *after* the client's, must be still the socket that was accepted,
 *   for the later client cannot be connected as long as that one is;
 * - where the connection is unknown the kernel describes a listener instead: the answer is held against the question.
 */

import { fstatSync } from 'node:fs';
import type { Socket } from 'node:net';
import { readLsofOwner } from './lsof-owner.ts';
import {
  parseLoopbackTuple,
  reverseTuple,
  TCP_STATE,
  type TcpEnd,
  type TcpEndpoint,
  type TcpTuple,
} from './tcp-end.ts';
import { openDiagTable, openProcTable, type TcpTable } from './tcp-tables.ts';

/** The user who made the client's socket; a root program may have handed it to another's. */
export interface TcpOwner {
  readonly uid: number;
}

/** A connection that this process accepted or made. */
export interface TcpConnection {
  readonly local: TcpEndpoint;
  readonly remote: TcpEndpoint;
  /** Inode of our socket. Undefined: any socket of ours with these addresses and ports will do. */
  readonly inode: number | undefined;
}

/**
 * Finds the owner of the client of an accepted socket, or of the server's end of a connected one; otherwise as
 * {@link readTcpOwner}. The server's end has an owner, the user who accepted it, only once it is accepted: ask after its
 * first answer.
 */
export async function readSocketOwner(socket: Socket): Promise<TcpOwner | undefined> {
  const connection = describeConnection(socket);
  if (connection === undefined) return undefined;
  const owner = await readTcpOwner(connection);
  return socket.destroyed ? undefined : owner;
}

/**
 * Finds the owner of the client of a connection. Undefined where it cannot be known for certain, and then the caller
 * refuses: an address that is not loopback, a client that has closed, another system than Linux and macOS. Linux is asked
 * synchronously within the call (some 50 µs; the first loads koffi, 6–20 ms), macOS by running lsof. Never rejects.
 * `linuxTables` are asked in turn until one has our end, or had one before: resetting connections does not make the
 * slow one be read.
 */
export async function readTcpOwner(
  connection: TcpConnection,
  linuxTables: readonly (() => TcpTable)[] = LINUX_TABLES,
): Promise<TcpOwner | undefined> {
  const { local, remote, inode } = connection;
  const own = parseLoopbackTuple(local, remote);
  if (own === undefined) return undefined;
  if (process.platform === 'linux') return readLinuxOwner(own, inode, linuxTables);
  return process.platform === 'darwin' ? readLsofOwner(local, remote) : undefined;
}

/**
 * Decides by a table of the kernel; `own` is our end. `unlisted` when the table does not have our end, which may be the
 * table's fault.
 */
export function decideTcpOwner(
  table: Pick<TcpTable, 'find'>,
  own: TcpTuple,
  inode: number | undefined,
): TcpOwner | 'unlisted' | undefined {
  const theirs = table.find(reverseTuple(own));
  const ours = table.find(own);
  if (ours === undefined) return 'unlisted';
  if (!isHeldIn(ours, OWN_STATES) || (inode !== undefined && ours.inode !== inode)) return undefined;
  if (theirs === undefined || !isHeldIn(theirs, CLIENT_STATES)) return undefined;
  return theirs.uid === UID_NONE || theirs.inode === ours.inode ? undefined : { uid: theirs.uid };
}

/** The client may have said that it sends no more. */
const OWN_STATES: ReadonlySet<number> = new Set([TCP_STATE.established, TCP_STATE.closeWait]);
const CLIENT_STATES: ReadonlySet<number> = new Set([
  TCP_STATE.established,
  TCP_STATE.finWait1,
  TCP_STATE.finWait2,
  TCP_STATE.closeWait,
]);
const UID_NONE = 0xffffffff;

function isHeldIn({ state, inode }: TcpEnd, states: ReadonlySet<number>): boolean {
  return inode !== 0 && states.has(state);
}

const LINUX_TABLES = [openDiagTable, openProcTable] as const;
/** Those that have listed an end of ours. */
const provenTables = new WeakSet<() => TcpTable>();

function readLinuxOwner(
  own: TcpTuple,
  inode: number | undefined,
  tables: readonly (() => TcpTable)[],
): TcpOwner | undefined {
  for (const open of tables) {
    try {
      const table = open();
      try {
        const owner = decideTcpOwner(table, own, inode);
        if (owner !== 'unlisted') {
          provenTables.add(open);
          return owner;
        }
        if (provenTables.has(open)) return undefined;
      } finally {
        table.close();
      }
    } catch {
      // No FFI, or the sandbox forbids the socket: /proc says the same.
    }
  }
  return undefined;
}

// Node keeps the descriptor in an undocumented field, hence the guards.
function describeConnection(socket: Socket): TcpConnection | undefined {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  if (localAddress === undefined || localPort === undefined) return undefined;
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  const local = { address: localAddress, port: localPort };
  const remote = { address: remoteAddress, port: remotePort };
  if (process.platform !== 'linux') return { local, remote, inode: undefined };
  const fd = (socket as unknown as { _handle?: { fd?: unknown } | null })._handle?.fd;
  if (typeof fd !== 'number' || fd < 0) return undefined;
  try {
    return { local, remote, inode: fstatSync(fd).ino };
  } catch {
    return undefined;
  }
}
