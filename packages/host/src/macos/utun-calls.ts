import { createRequire } from 'node:module';

/** The calls of libc that make a utun device; below 0 is a failure, whose number `errno` then has. */
export interface UtunCalls {
  socket(family: number, type: number, protocol: number): number;
  /** The kernel may write into `argument`. */
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  connect(fd: number, address: Uint8Array): number;
  /** Writes into `value`, and into `length[0]` how much; before the call that is the size of `value`. */
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, length: Uint32Array): number;
  fcntl(fd: number, command: number, argument: number): number;
  close(fd: number): number;
  errno(): number;
}

/**
 * Binds the calls of the libc of this process through koffi (6–20 ms, 5 MB the first time). ioctl and fcntl are declared
 * with `...`: macOS on arm64 passes what stands there on the stack, and named parameters in registers.
 * @throws {Error} where there is no FFI, as on Windows.
 */
export function loadUtunCalls(): UtunCalls {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const system = koffi.load(null);
  const ioctl = system.func('int ioctl(int, unsigned long, ...)');
  const connect = system.func('int connect(int, void *, uint32_t)');
  const fcntl = system.func('int fcntl(int, int, ...)');
  return {
    socket: system.func('int socket(int, int, int)'),
    ioctl: (fd, request, argument) => ioctl(fd, request, 'void *', argument),
    connect: (fd, address) => connect(fd, address, address.length),
    getsockopt: system.func('int getsockopt(int, int, int, void *, void *)'),
    fcntl: (fd, command, argument) => fcntl(fd, command, 'int', argument),
    close: system.func('int close(int)'),
    errno: () => koffi.errno(),
  };
}
