/**
 * TUN devices of Linux: made, held and kept, never read. A handle is a descriptor of /dev/net/tun with the device
 * attached; as long as it is open the device has a carrier, and packets sent into it wait in a queue of the kernel until
 * that drops them.
 *
 * ```
 *            createTun                     close
 * (nothing) ───────────▶ attached ─────────────────────▶ (nothing)
 *                        │     ▲
 *          setPersistent │     │ attachTun
 *              and close ▼     │
 *                       persistent ────────────────────▶ (nothing)
 *                                   netlink deleteLink
 * ```
 *
 * A device is in the network namespace that the calling thread was in. Deleting a link by netlink works in both states,
 * also while a program has it open; this file has no way to delete.
 *
 * Error contract: what throws has changed nothing, and leaves no descriptor and no device behind.
 */

import { closeSync, constants, openSync } from 'node:fs';
import { endianness } from 'node:os';
import { ioctl } from '../descriptor-calls.ts';
import { decodeIfreq, encodeIfreq } from './ifreq.ts';
import { TunError } from './tun-error.ts';

/** What a device is made with. */
export interface TunOptions {
  /** 1–15 printable characters of ASCII without blank, `%`, `/` and `:`. */
  readonly name: string;
  /** The user who may attach a program to the device without CAP_NET_ADMIN; 0: nobody but root. */
  readonly ownerUid: number;
}

/** A TUN device that this process has open; whoever opens it closes it. No child inherits it. */
export class TunHandle {
  readonly name: string;
  #fd: number;

  /** Takes the descriptor over. For this file. */
  constructor(name: string, fd: number) {
    this.name = name;
    this.#fd = fd;
  }

  /** −1 when closed. Reading it on the thread pool would take a thread for good. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * True when the device stays without this handle.
   * @throws {TunError} @throws {TypeError} after `close()`
   */
  isPersistent(): boolean {
    const request = encodeIfreq({ name: this.name, flags: 0 });
    this.#call(TUNGETIFF, request);
    const answer = decodeIfreq(request);
    return typeof answer !== 'string' && (answer.flags & IFF_PERSIST) !== 0;
  }

  /**
   * Lets the device stay when the handle is closed, or go.
   * @throws {TunError} @throws {TypeError} after `close()`
   */
  setPersistent(isOn: boolean): void {
    this.#call(TUNSETPERSIST, isOn ? 1 : 0);
  }

  /**
   * Changes who may attach to the device without CAP_NET_ADMIN. There is no "nobody": to the kernel a device without an
   * owner is everybody's, which is why 0 stands for root alone.
   * @throws {TunError} @throws {TypeError} after `close()`
   * @throws {RangeError} when the number is no user's.
   */
  setOwner(uid: number): void {
    if (!Number.isInteger(uid) || uid < 0 || uid > UID_MAX) throw new RangeError(`${uid} is no number of a user`);
    this.#call(TUNSETOWNER, uid | 0);
  }

  /** Further calls do nothing; never throws. */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    try {
      closeSync(fd);
    } catch {
      // Linux frees the descriptor whatever close(2) says.
    }
  }

  #call(request: number, argument: number | Uint8Array): void {
    if (this.#fd < 0) throw new TypeError(`The TUN device "${this.name}" is closed`);
    callDevice(this.#fd, this.name, { request, argument });
  }
}

/**
 * Makes a device, which goes when the handle is closed unless it is made persistent. A link that has the name already,
 * whoever made it and of whatever kind, is left alone.
 * @throws {TunError} `busy` when the name is taken; all others as well, but `absent`.
 * @throws {TypeError} when no device can have the name. @throws {RangeError} when the owner is no user's number.
 */
export function createTun({ name, ownerUid }: TunOptions): TunHandle {
  const handle = attach(name, IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL);
  return closeOnFailure(handle, () => handle.setOwner(ownerUid));
}

/**
 * Takes hold of a persistent device. Where there is none the kernel makes one, which this call removes at once: see that
 * the link is there and ours before.
 * @throws {TunError} `absent`; `busy` while another program has it open; `failed` when the link is no TUN device.
 * @throws {TypeError} when no device can have the name.
 */
export function attachTun(name: string): TunHandle {
  const handle = attach(name, IFF_TUN | IFF_NO_PI);
  return closeOnFailure(handle, () => {
    if (!handle.isPersistent()) throw new TunError('tun-device/absent', `There is no persistent TUN device "${name}"`);
  });
}

const DEVICE_FILE = '/dev/net/tun';

// linux/if_tun.h; the numbers are those of all architectures that Node.js is built for besides POWER.
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOWNER = 0x400454cc;
const TUNGETIFF = 0x800454d2;
const IFF_TUN = 0x0001;
/** In answers only. */
const IFF_PERSIST = 0x0800;
/** Packets without four bytes before them. */
const IFF_NO_PI = 0x1000;
/** Refuse a name that is taken. */
const IFF_TUN_EXCL = 0x8000;
/** (uid_t)-1 is nobody's. */
const UID_MAX = 0xfffffffe;

function attach(name: string, flags: number): TunHandle {
  const request = encodeIfreq({ name, flags });
  const handle = new TunHandle(name, openDeviceFile(name));
  return closeOnFailure(handle, () => {
    callDevice(handle.fd, name, { request: TUNSETIFF, argument: request });
    const answer = decodeIfreq(request);
    if (typeof answer === 'string' || answer.name !== name) {
      throw new TunError('tun-device/failed', `The kernel gave another device than "${name}"`);
    }
  });
}

// Without O_NONBLOCK a read by mistake would never return.
function openDeviceFile(name: string): number {
  if (process.platform !== 'linux' || endianness() !== 'LE') {
    throw new TunError('tun-device/unsupported', `This system cannot make the TUN device "${name}"`);
  }
  try {
    return openSync(DEVICE_FILE, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (cause) {
    throw describeFailure(name, cause, OPEN_CODES);
  }
}

function callDevice(fd: number, name: string, call: { request: number; argument: number | Uint8Array }): void {
  try {
    ioctl(fd, call.request, call.argument);
  } catch (cause) {
    throw describeFailure(name, cause, CALL_CODES);
  }
}

function closeOnFailure(handle: TunHandle, step: () => void): TunHandle {
  try {
    step();
    return handle;
  } catch (error) {
    handle.close();
    throw error;
  }
}

type Codes = Readonly<Record<string, TunError['code']>>;
const OPEN_CODES: Codes = {
  ENOENT: 'tun-device/no-device-file',
  ENOTDIR: 'tun-device/no-device-file',
  ENXIO: 'tun-device/no-device-file',
  ENODEV: 'tun-device/no-device-file',
  EACCES: 'tun-device/no-privilege',
  EPERM: 'tun-device/no-privilege',
};
const CALL_CODES: Codes = {
  EBUSY: 'tun-device/busy',
  EPERM: 'tun-device/no-privilege',
  EACCES: 'tun-device/no-privilege',
  ENOSYS: 'tun-device/unsupported',
  // The file is there and is not the driver's.
  ENOTTY: 'tun-device/no-device-file',
};

function describeFailure(name: string, cause: unknown, codes: Codes): TunError {
  const errno = (cause as NodeJS.ErrnoException).code ?? 'unknown';
  return new TunError(codes[errno] ?? 'tun-device/failed', `Cannot use the TUN device "${name}" (${errno})`, cause);
}
