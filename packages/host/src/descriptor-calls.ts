/**
 * The calls on open files that Node.js does not have, made synchronously through koffi. The file itself is opened with
 * `openSync`, which always adds close-on-exec.
 */

import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';

/**
 * ioctl(2) with an argument by value (an `int`), or with a structure that the kernel reads and writes in place. The first
 * call of the process loads koffi (6–20 ms, 5 MB).
 * @throws {NodeJS.ErrnoException} with `code` and `syscall`; `ENOSYS` where there is no FFI.
 */
export function ioctl(fd: number, request: number, argument: number | Uint8Array): void {
  const type = typeof argument === 'number' ? 'int' : 'void *';
  invoke('ioctl', (calls) => calls.ioctl(fd, request, type, argument));
}

/**
 * flock(2). `operation` is LOCK_EX 2 or LOCK_UN 8, with LOCK_NB 4 for not waiting: waiting would stop the whole process.
 * @throws {NodeJS.ErrnoException} `EAGAIN` when it is locked; `ENOSYS` where there is no FFI.
 */
export function flock(fd: number, operation: number): void {
  invoke('flock', (calls) => calls.flock(fd, operation));
}

interface DescriptorCalls {
  /** Variadic: the type of the argument goes before it. */
  ioctl(fd: number, request: number, type: 'int' | 'void *', argument: number | Uint8Array): number;
  flock(fd: number, operation: number): number;
  errno(): number;
}
let descriptorCalls: DescriptorCalls | undefined;

const EINTR_COUNT_MAX = 100;

function invoke(syscall: string, call: (calls: DescriptorCalls) => number): void {
  descriptorCalls ??= loadCalls(syscall);
  for (let attempt = 0; attempt < EINTR_COUNT_MAX; attempt++) {
    if (call(descriptorCalls) >= 0) return;
    const errno = descriptorCalls.errno();
    const code = errno > 0 ? getSystemErrorName(-errno) : 'UNKNOWN';
    if (code !== 'EINTR') throw createFailure(syscall, code);
  }
  throw createFailure(syscall, 'EINTR');
}

function loadCalls(syscall: string): DescriptorCalls {
  if (process.platform === 'win32') throw createFailure(syscall, 'ENOSYS');
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    const system = koffi.load(null);
    return {
      ioctl: system.func('int ioctl(int, unsigned long, ...)'),
      flock: system.func('int flock(int, int)'),
      errno: () => koffi.errno(),
    };
  } catch (cause) {
    throw Object.assign(createFailure(syscall, 'ENOSYS'), { cause });
  }
}

function createFailure(syscall: string, code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${syscall} ${code}`), { code, syscall });
}
