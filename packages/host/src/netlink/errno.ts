import { constants } from 'node:os';

/** The name in errno(3) of a positive number: `EEXIST`. `errno 524` for one that only kernels use. */
export function formatErrno(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

const NAMES: ReadonlyMap<number, string> = new Map([
  ...Object.entries(constants.errno).map(([name, errno]) => [errno, name] as const),
  // Numbers with two names: those that netlink is documented with.
  [constants.errno.EOPNOTSUPP, 'EOPNOTSUPP'],
  [constants.errno.EAGAIN, 'EAGAIN'],
]);
