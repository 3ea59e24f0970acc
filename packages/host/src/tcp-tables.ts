/** Where Linux lists TCP sockets: SOCK_DIAG, asked for one socket at a time, and the text below /proc. All synchronous. */

import { closeSync, openSync, readSync } from 'node:fs';
import { endianness } from 'node:os';
import { DatagramSocket } from './datagram-socket.ts';
import { viewOf } from './netlink/message.ts';
import { findProcTcpEnd } from './proc-net-tcp.ts';
import { decodeDiagAnswer, encodeDiagRequest } from './sock-diag.ts';
import type { TcpEnd, TcpTuple } from './tcp-end.ts';

/** The sockets of the network namespace that the calling thread is in. Whoever opens it closes it. */
export interface TcpTable {
  /** Asks anew each time. Undefined when there is no such socket, or no answer. */
  find(tuple: TcpTuple): TcpEnd | undefined;
  /** Never throws. */
  close(): void;
}

/** What is needed of a socket, so that tests can answer in the kernel's place. */
export type DiagSocket = Pick<DatagramSocket, 'sendTo' | 'receive' | 'close'>;

/**
 * Opens SOCK_DIAG; needs no right. The first call of the process loads koffi (6–20 ms, 5 MB).
 * @throws {NodeJS.ErrnoException} `ENOSYS` and others where the system or the sandbox has no such socket.
 */
export function openDiagTable(openSocket: () => DiagSocket = openDiagSocket): TcpTable {
  const socket = openSocket();
  const buffer = new Uint8Array(ANSWER_BYTES_MAX);
  let sequence = 0;
  return {
    find: (tuple) => {
      sequence += 1;
      try {
        socket.sendTo(encodeDiagRequest(tuple, sequence), KERNEL);
        const received = socket.receive(buffer);
        if (received === undefined) return undefined;
        const { lengthBytes, sender } = received;
        if (lengthBytes > buffer.length || !isKernel(sender)) return undefined;
        const end = decodeDiagAnswer(buffer.subarray(0, lengthBytes), tuple, sequence);
        return typeof end === 'string' ? undefined : end;
      } catch {
        return undefined;
      }
    },
    close: () => socket.close(),
  };
}

/**
 * Opens the text below `folder`, which is read anew for each socket. That takes some 10 ms on a machine with much memory,
 * however few sockets there are.
 */
export function openProcTable(folder = '/proc/thread-self/net'): TcpTable {
  return {
    find: (tuple) => {
      if (tuple.from.address.length === 16) return findProcTcpEnd(readText(`${folder}/tcp6`), tuple, 'plain');
      return (
        findProcTcpEnd(readText(`${folder}/tcp`), tuple, 'plain') ??
        findProcTcpEnd(readText(`${folder}/tcp6`), tuple, 'mapped')
      );
    },
    close: () => {},
  };
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_SOCK_DIAG = 4;
/** sockaddr_nl: family u16, pad u16, port u32, groups u32. Bound to, it lets the kernel choose a port. */
const KERNEL = Uint8Array.of(AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
/** The answer to one question has some 200 bytes. */
const ANSWER_BYTES_MAX = 8192;

function openDiagSocket(): DiagSocket {
  if (endianness() !== 'LE') throw new Error('Netlink needs a little-endian machine');
  const socket = DatagramSocket.open({ family: AF_NETLINK, type: SOCK_RAW, protocol: NETLINK_SOCK_DIAG });
  try {
    socket.bind(KERNEL);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Any process may send to the port of a netlink socket; port 0 is the kernel alone. */
function isKernel(sender: Uint8Array): boolean {
  if (sender.length !== KERNEL.length) return false;
  const view = viewOf(sender);
  return view.getUint16(0, true) === AF_NETLINK && view.getUint32(4, true) === 0;
}

/** Some 100,000 sockets. */
const TEXT_BYTES_MAX = 16 * 1024 * 1024;
const CHUNK_BYTES = 0x10000;

// Files of /proc have no size beforehand. One that is too long is no answer: the rest might name the socket again.
function readText(path: string): string {
  if (endianness() !== 'LE') return '';
  const chunks: Buffer[] = [];
  let totalBytes = 0;
  try {
    const fd = openSync(path, 'r');
    try {
      for (;;) {
        const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
        const count = readSync(fd, chunk);
        if (count === 0) return Buffer.concat(chunks).toString('latin1');
        totalBytes += count;
        if (totalBytes > TEXT_BYTES_MAX) return '';
        chunks.push(chunk.subarray(0, count));
      }
    } finally {
      closeSync(fd);
    }
  } catch {
    return '';
  }
}
