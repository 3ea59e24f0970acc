/**
 * A failed call on a TUN device. `code` is stable:
 *
 * - `tun-device/busy`: a link has the name, or a program has the device open;
 * - `tun-device/absent`: there is no such persistent device;
 * - `tun-device/no-privilege`: it needs CAP_NET_ADMIN, or the right to open /dev/net/tun;
 * - `tun-device/no-device-file`: /dev/net/tun is missing, or there is no driver behind it;
 * - `tun-device/unsupported`: not Linux, a big-endian machine, or no FFI;
 * - `tun-device/failed`: anything else that the kernel refuses.
 */
export class TunError extends Error {
  override readonly name = 'TunError';
  readonly code: `tun-device/${'busy' | 'absent' | 'no-privilege' | 'no-device-file' | 'unsupported' | 'failed'}`;
  /** Name of the system error; undefined where none is behind it. */
  readonly errno: string | undefined;
  /** True when the same call may succeed later without anybody changing anything. */
  readonly isRetryable: boolean;

  constructor(code: TunError['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.errno = (cause as NodeJS.ErrnoException | undefined)?.code;
    this.isRetryable = code === 'tun-device/busy';
  }
}
