/**
 * A failed exchange with the kernel. `code` is stable:
 *
 * - `netlink/unsupported`: not Linux, a big-endian machine, no FFI, or the sandbox forbids netlink sockets;
 * - `netlink/failed`: the kernel refused a call or a question;
 * - `netlink/refused`: the kernel refused a change, which is not done (of a change of several things, see there);
 * - `netlink/unanswered`: a change was asked for and the answer did not come; it is done or it is not;
 * - `netlink/changing`: the table changed during each of several attempts, or the kernel was out of memory before it did
 *   anything;
 * - `netlink/invalid-answer`: bytes that do not decode, or more of them than allowed. After a change it is as unknown as
 *   above whether it is done.
 */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  readonly code: `netlink/${'unsupported' | 'failed' | 'refused' | 'unanswered' | 'changing' | 'invalid-answer'}`;
  /** Why, in the kernel's word: `EEXIST`, `EOPNOTSUPP`, `EPERM`, `ENODEV`, …; `undefined` where it gave none. */
  readonly errno: string | undefined;
  /** True when the same call may succeed later without anybody changing anything. */
  readonly isRetryable: boolean;

  constructor(code: NetlinkError['code'], message: string, reason: NetlinkErrorReason = NO_REASON) {
    super(message, reason.cause === undefined ? undefined : { cause: reason.cause });
    this.code = code;
    this.errno = reason.errno;
    this.isRetryable = code === 'netlink/changing';
  }
}

/** What a {@link NetlinkError} goes back to. */
export interface NetlinkErrorReason {
  readonly errno: string | undefined;
  readonly cause: unknown;
}

const NO_REASON: NetlinkErrorReason = { errno: undefined, cause: undefined };
