/**
 * A failed exchange with the kernel. `code` is stable:
 *
 * - `netlink/unsupported`: not Linux, a big-endian machine, no FFI, or the sandbox forbids netlink sockets;
 * - `netlink/failed`: the kernel refused a call;
 * - `netlink/changing`: the table changed during each of several attempts, or the kernel was out of memory;
 * - `netlink/invalid-answer`: bytes that do not decode, or more of them than allowed.
 */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  readonly code: `netlink/${'unsupported' | 'failed' | 'changing' | 'invalid-answer'}`;
  /** True when the same call may succeed later without anybody changing anything. */
  readonly isRetryable: boolean;

  constructor(code: NetlinkError['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.isRetryable = code === 'netlink/changing';
  }
}
