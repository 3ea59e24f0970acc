import { describe, expect, it } from 'vitest';
import { loadUtunCalls } from './utun-calls.ts';

// The declarations are those of POSIX; the numbers here are Linux's.
describe.skipIf(process.platform !== 'linux')('the calls of libc (numbers of Linux)', () => {
  const AF_UNIX = 1;
  const SOCK_DGRAM = 2;
  const F_GETFD = 1;
  const F_SETFD = 2;
  const FIONREAD = 0x541b;
  const SOL_SOCKET = 1;
  const SO_TYPE = 3;
  const EBADF = 9;
  const ENOENT = 2;

  it('take and give back what is passed', () => {
    const calls = loadUtunCalls();
    const fd = calls.socket(AF_UNIX, SOCK_DGRAM, 0);
    expect(fd).toBeGreaterThan(2);
    try {
      expect([calls.fcntl(fd, F_GETFD, 0), calls.fcntl(fd, F_SETFD, 1), calls.fcntl(fd, F_GETFD, 0)]).toEqual([
        0, 0, 1,
      ]);
      const waiting = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff);
      expect(calls.ioctl(fd, FIONREAD, waiting)).toBe(0);
      expect([...waiting]).toEqual([0, 0, 0, 0, 0xff]);
      const type = new Uint8Array(16);
      const length = new Uint32Array([type.length]);
      expect(calls.getsockopt(fd, SOL_SOCKET, SO_TYPE, type, length)).toBe(0);
      expect([type[0], length[0]]).toEqual([SOCK_DGRAM, 4]);
      const nowhere = Uint8Array.from([AF_UNIX, 0, ...Buffer.from('/nowhere/at/all\0')]);
      expect([calls.connect(fd, nowhere), calls.errno()]).toEqual([-1, ENOENT]);
    } finally {
      expect(calls.close(fd)).toBe(0);
    }
    expect([calls.close(fd), calls.errno()]).toEqual([-1, EBADF]);
  });
});
