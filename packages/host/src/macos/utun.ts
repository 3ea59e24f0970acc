/**
 * TUN devices of macOS. There is no persistent kind: the device is there while the socket that made it is open, in this
 * process or in a child that inherited it (which close-on-exec prevents), and goes with its addresses and routes.
 */

import { getSystemErrorName } from 'node:util';
import { MacosError } from './macos-error.ts';
import { loadUtunCalls, type UtunCalls } from './utun-calls.ts';
import {
  AF_SYSTEM,
  CTLIOCGINFO,
  decodeControlId,
  decodeUtunName,
  encodeControlAddress,
  encodeControlQuestion,
  formatUtunName,
  LINK_NAME_BYTES,
  parseUtunName,
  SYSPROTO_CONTROL,
  UTUN_OPT_IFNAME,
} from './utun-codec.ts';

/** An open utun device; whoever opens it closes it. */
export interface Utun {
  readonly name: string;
  /** Packets have the address family in front, 4 bytes in network order. What nobody reads the kernel drops. */
  readonly fd: number;
  /** Removes the device. Further calls do nothing; never throws. */
  close(): void;
}

/** Which device to make. */
export interface UtunOptions {
  /** `utun` and a number; undefined for the next free one. */
  readonly name: string | undefined;
}

/**
 * Makes a utun device, without address and not up; needs root.
 * @throws {MacosError} `utun/busy`, `utun/no-privilege`, `utun/unsupported`, `utun/failed`; nothing is left behind.
 * @throws {RangeError} when no utun device can have the name.
 */
export function openUtun({ name }: UtunOptions, calls?: UtunCalls): Utun {
  const number = name === undefined ? undefined : parseUtunName(name);
  if (name !== undefined && number === undefined) throw new RangeError(`No utun device is called "${name}"`);
  const system = calls ?? loadCalls();
  const fd = invoke(system, 'socket', () => system.socket(AF_SYSTEM, SOCK_DGRAM, SYSPROTO_CONTROL));
  try {
    invoke(system, 'fcntl', () => system.fcntl(fd, F_SETFD, FD_CLOEXEC));
    const address = encodeControlAddress(askControlId(system, fd), number);
    invoke(system, 'connect', () => system.connect(fd, address));
    const made = askName(system, fd);
    if (name !== undefined && made !== name)
      throw new MacosError('utun/failed', `The kernel made "${made}" of "${name}"`);
    return createHandle(system, fd, made);
  } catch (error) {
    system.close(fd);
    throw error;
  }
}

const SOCK_DGRAM = 2;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const EINTR_COUNT_MAX = 100;

let loaded: UtunCalls | undefined;

function loadCalls(): UtunCalls {
  if (process.platform !== 'darwin') throw new MacosError('utun/unsupported', 'Only macOS has utun devices');
  try {
    loaded ??= loadUtunCalls();
    return loaded;
  } catch (cause) {
    throw new MacosError('utun/unsupported', 'The system cannot be called without koffi', cause);
  }
}

function createHandle(calls: UtunCalls, fd: number, name: string): Utun {
  let isOpen = true;
  return {
    name,
    fd,
    close() {
      if (isOpen) calls.close(fd);
      isOpen = false;
    },
  };
}

function askControlId(calls: UtunCalls, fd: number): number {
  const info = encodeControlQuestion();
  invoke(calls, 'ioctl', () => calls.ioctl(fd, CTLIOCGINFO, info));
  const id = decodeControlId(info);
  if (typeof id === 'string') throw new MacosError('utun/failed', `The kernel does not tell its control: "${id}"`);
  return id;
}

function askName(calls: UtunCalls, fd: number): string {
  const bytes = new Uint8Array(LINK_NAME_BYTES);
  const length = new Uint32Array([bytes.length]);
  invoke(calls, 'getsockopt', () => calls.getsockopt(fd, SYSPROTO_CONTROL, UTUN_OPT_IFNAME, bytes, length));
  const number = decodeUtunName(bytes);
  if (typeof number !== 'string') return formatUtunName(number);
  throw new MacosError('utun/failed', `The kernel does not tell the name of the device: "${number}"`);
}

type CallName = 'socket' | 'fcntl' | 'ioctl' | 'connect' | 'getsockopt';

function invoke(calls: UtunCalls, name: CallName, call: () => number): number {
  let errno = EINTR;
  for (let attempt = 0; attempt < EINTR_COUNT_MAX && errno === EINTR; attempt++) {
    const result = call();
    if (result >= 0) return result;
    errno = calls.errno();
  }
  throw createFailure(name, errno);
}

// XNU bsd/sys/errno.h.
const EPERM = 1;
const ENOENT = 2;
const EINTR = 4;
const EACCES = 13;
const EBUSY = 16;
const EEXIST = 17;
const EPROTONOSUPPORT = 43;
const EPFNOSUPPORT = 46;
const EAFNOSUPPORT = 47;

function createFailure(call: CallName, errno: number): MacosError {
  const text = `${call} ${errno > 0 ? getSystemErrorName(-errno) : 'UNKNOWN'}`;
  if (errno === EPERM || errno === EACCES) return new MacosError('utun/no-privilege', `Only root may make it: ${text}`);
  if (call === 'connect' && (errno === EBUSY || errno === EEXIST)) {
    return new MacosError('utun/busy', `Another program has the device: ${text}`);
  }
  const isUnknown =
    (call === 'ioctl' && errno === ENOENT) || [EPROTONOSUPPORT, EPFNOSUPPORT, EAFNOSUPPORT].includes(errno);
  if (isUnknown) return new MacosError('utun/unsupported', `The kernel has no utun devices: ${text}`);
  return new MacosError('utun/failed', `The kernel made no device: ${text}`);
}
