/**
 * Datagram sockets of the families Node.js does not have (netlink, Unix), called synchronously through koffi. Linux
 * only: the numbers below and the byte order of addresses are its.
 */

import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';

/** socket(2). */
export interface SocketKind {
  readonly family: number;
  /** SOCK_DGRAM 2 or SOCK_RAW 3; close-on-exec is added. */
  readonly type: number;
  readonly protocol: number;
}

/** One received datagram. */
export interface ReceivedDatagram {
  /** Of the whole datagram, also when the buffer was too small for it. */
  readonly lengthBytes: number;
  /** `sockaddr` of the sender, at most 16 bytes. */
  readonly sender: Uint8Array;
}

/** An open datagram socket; whoever opens it closes it. Every failed call throws an error with `code` and `syscall`. */
export class DatagramSocket {
  readonly #calls: SystemCalls;
  readonly #sender: Uint8Array = new Uint8Array(16);
  readonly #senderLength: Uint32Array = new Uint32Array(1);
  #fd: number;

  private constructor(calls: SystemCalls, fd: number) {
    this.#calls = calls;
    this.#fd = fd;
  }

  /**
   * Opens a socket that is not inherited by children. The first call of the process loads koffi (6–20 ms, 5 MB).
   * @throws {NodeJS.ErrnoException} `ENOSYS` where there is no FFI or the system is not Linux.
   */
  static open(kind: SocketKind): DatagramSocket {
    systemCalls ??= loadSystemCalls();
    const calls = systemCalls;
    const fd = invoke(calls, 'socket', () => calls.socket(kind.family, kind.type | SOCK_CLOEXEC, kind.protocol));
    return new DatagramSocket(calls, fd);
  }

  /** @throws {NodeJS.ErrnoException} */
  bind(address: Uint8Array): void {
    invoke(this.#calls, 'bind', () => this.#calls.bind(this.#fd, address, address.length));
  }

  /**
   * Bounds how long `sendTo` waits for room at the receiver; without it there is no bound.
   * @throws {NodeJS.ErrnoException}
   */
  setSendTimeout(timeoutMs: number): void {
    const value = this.#calls.encodeTime(timeoutMs);
    invoke(this.#calls, 'setsockopt', () =>
      this.#calls.setsockopt(this.#fd, SOL_SOCKET, SO_SNDTIMEO, value, value.length),
    );
  }

  /** @throws {NodeJS.ErrnoException} `EAGAIN` when there is no room within the time set. */
  sendTo(bytes: Uint8Array, address: Uint8Array): void {
    invoke(this.#calls, 'sendto', () =>
      this.#calls.sendto(this.#fd, bytes, bytes.length, MSG_NOSIGNAL, address, address.length),
    );
  }

  /**
   * As {@link sendTo}, on a thread of the pool: for a receiver that works before the call returns, as the kernel does.
   * The socket stays open, and `bytes` and `address` unchanged, until the promise settles.
   * @throws {NodeJS.ErrnoException} `EIO`, whatever the reason was: errno belongs to the other thread.
   */
  async sendToOnThread(bytes: Uint8Array, address: Uint8Array): Promise<void> {
    const result = await this.#calls.sendtoOnThread(this.#fd, bytes, address);
    if (result < 0) throw createFailure('sendto', EIO);
  }

  /**
   * Takes the next datagram into `buffer`, without waiting; `undefined` when there is none.
   * @throws {NodeJS.ErrnoException}
   */
  receive(buffer: Uint8Array): ReceivedDatagram | undefined {
    const sender = this.#sender;
    const senderLength = this.#senderLength;
    senderLength[0] = sender.length;
    const lengthBytes = invoke(this.#calls, 'recvfrom', () => {
      const result = this.#calls.recvfrom(
        this.#fd,
        buffer,
        buffer.length,
        MSG_TRUNC | MSG_DONTWAIT,
        sender,
        senderLength,
      );
      return result < 0 && this.#calls.errno() === EAGAIN ? NO_DATAGRAM : result;
    });
    // Asked for at every turn by some: an error with a stack would cost more than the call.
    if (lengthBytes === NO_DATAGRAM) return undefined;
    return { lengthBytes, sender: sender.slice(0, senderLength[0]) };
  }

  /** Further calls do nothing; never throws. */
  close(): void {
    if (this.#fd < 0) return;
    this.#calls.close(this.#fd);
    this.#fd = -1;
  }
}

/** Octal in the headers: 02000000. */
const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SO_SNDTIMEO = 21;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const EINTR_COUNT_MAX = 100;
/** Longer than any datagram. */
const NO_DATAGRAM = Number.MAX_SAFE_INTEGER;

interface SystemCalls {
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  sendto(fd: number, data: Uint8Array, size: number, flags: number, address: Uint8Array, length: number): number;
  sendtoOnThread(fd: number, data: Uint8Array, address: Uint8Array): Promise<number>;
  recvfrom(fd: number, data: Uint8Array, size: number, flags: number, from: Uint8Array, length: Uint32Array): number;
  close(fd: number): number;
  errno(): number;
  encodeTime(timeoutMs: number): Uint8Array;
}
let systemCalls: SystemCalls | undefined;

function loadSystemCalls(): SystemCalls {
  if (process.platform !== 'linux') throw createFailure('socket', ENOSYS);
  let koffi: typeof import('koffi');
  try {
    koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  } catch (cause) {
    throw Object.assign(createFailure('socket', ENOSYS), { cause });
  }
  const system = koffi.load(null);
  const longBytes = koffi.sizeof('long');
  const sendto = system.func('intptr_t sendto(int, void *, size_t, int, void *, uint32_t)');
  return {
    socket: system.func('int socket(int, int, int)'),
    bind: system.func('int bind(int, void *, uint32_t)'),
    setsockopt: system.func('int setsockopt(int, int, int, void *, uint32_t)'),
    sendto,
    sendtoOnThread: (fd, data, address) =>
      new Promise((resolve, reject) => {
        sendto.async(fd, data, data.length, MSG_NOSIGNAL, address, address.length, (error: unknown, result: number) =>
          error ? reject(error) : resolve(result),
        );
      }),
    recvfrom: system.func('intptr_t recvfrom(int, void *, size_t, int, void *, void *)'),
    close: system.func('int close(int)'),
    errno: () => koffi.errno(),
    encodeTime: (timeoutMs) => encodeTimeval(timeoutMs, longBytes),
  };
}

// struct timeval of socket(7): two longs, seconds and microseconds.
function encodeTimeval(timeoutMs: number, longBytes: number): Uint8Array {
  const parts = [Math.floor(timeoutMs / 1000), (timeoutMs % 1000) * 1000];
  return new Uint8Array(longBytes === 8 ? BigInt64Array.from(parts.map(BigInt)).buffer : Int32Array.from(parts).buffer);
}

function invoke(calls: SystemCalls, name: string, call: () => number): number {
  for (let attempt = 0; attempt < EINTR_COUNT_MAX; attempt++) {
    const result = call();
    if (result >= 0) return result;
    const errno = calls.errno();
    if (errno !== EINTR) throw createFailure(name, errno);
  }
  throw createFailure(name, EINTR);
}

const EINTR = 4;
const EAGAIN = 11;
const EIO = 5;
const ENOSYS = 38;

function createFailure(syscall: string, errno: number): NodeJS.ErrnoException {
  const code = errno > 0 ? getSystemErrorName(-errno) : 'UNKNOWN';
  return Object.assign(new Error(`${syscall} ${code}`), { code, errno: -errno, syscall });
}
