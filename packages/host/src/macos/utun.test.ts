import { describe, expect, it } from 'vitest';
import { openUtun } from './utun.ts';
import type { UtunCalls } from './utun-calls.ts';

const EPERM = 1;
const EINTR = 4;
const FD = 11;

type CallName = 'socket' | 'fcntl' | 'ioctl' | 'connect' | 'getsockopt';

/** The kernel of a Mac whose utun0 to utun2 are taken. */
class FakeKernel implements UtunCalls {
  readonly log: string[] = [];
  /** The next results of a call: an error number each, then success. */
  readonly failures: Partial<Record<CallName, number[]>>;
  controlId = 4;
  connected: Uint8Array | undefined;
  madeName: string | undefined;
  #errno = 0;

  constructor(failures: Partial<Record<CallName, number[]>> = {}) {
    this.failures = failures;
  }

  socket(family: number, type: number, protocol: number): number {
    return this.#answer('socket', `${family} ${type} ${protocol}`, FD);
  }

  ioctl(fd: number, request: number, argument: Uint8Array): number {
    const name = Buffer.from(argument.subarray(4)).toString('latin1').replace(/\0+$/, '');
    const result = this.#answer('ioctl', `${fd} ${request.toString(16)} ${name}`, 0);
    if (result === 0) argument[0] = this.controlId;
    return result;
  }

  connect(fd: number, address: Uint8Array): number {
    this.connected = address.slice();
    return this.#answer('connect', `${fd}`, 0);
  }

  getsockopt(fd: number, level: number, name: number, value: Uint8Array, length: Uint32Array): number {
    const unit = this.connected?.[8] ?? 0;
    value.set(Buffer.from(`${this.madeName ?? `utun${unit === 0 ? 3 : unit - 1}`}\0`));
    return this.#answer('getsockopt', `${fd} ${level} ${name} ${length[0]}`, 0);
  }

  fcntl(fd: number, command: number, argument: number): number {
    return this.#answer('fcntl', `${fd} ${command} ${argument}`, 0);
  }

  close(fd: number): number {
    this.log.push(`close ${fd}`);
    return 0;
  }

  errno(): number {
    return this.#errno;
  }

  #answer(name: CallName, text: string, result: number): number {
    this.log.push(`${name} ${text}`);
    const failure = this.failures[name]?.shift();
    if (failure === undefined) return result;
    this.#errno = failure;
    return -1;
  }
}

function failureOf(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}

describe('a utun device', () => {
  it('is made with five calls, and removed once', () => {
    const kernel = new FakeKernel();
    const device = openUtun({ name: undefined }, kernel);
    expect(device).toMatchObject({ name: 'utun3', fd: FD });
    expect(kernel.log).toEqual([
      'socket 32 2 2',
      `fcntl ${FD} 2 1`,
      `ioctl ${FD} c0644e03 com.apple.net.utun_control`,
      `connect ${FD}`,
      `getsockopt ${FD} 2 2 16`,
    ]);
    expect([...(kernel.connected ?? [])]).toEqual([32, 32, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, ...Array(20).fill(0)]);
    device.close();
    device.close();
    expect(kernel.log.slice(5)).toEqual([`close ${FD}`]);
  });

  it('has the name that was asked for', () => {
    const kernel = new FakeKernel();
    expect(openUtun({ name: 'utun7' }, kernel).name).toBe('utun7');
    expect(kernel.connected?.[8]).toBe(8);
  });

  it.each(['tun0', 'utun', 'utun-1', 'utun007', ''])('is not called "%s", and the kernel is not asked', (name) => {
    const kernel = new FakeKernel();
    expect(() => openUtun({ name }, kernel)).toThrow(RangeError);
    expect(kernel.log).toEqual([]);
  });

  it.each<readonly [string, CallName, number, string]>([
    ['the device is taken', 'connect', 16, 'utun/busy'],
    ['the link is there', 'connect', 17, 'utun/busy'],
    ['the process is not root', 'connect', EPERM, 'utun/no-privilege'],
    ['a sandbox forbids the socket', 'socket', EPERM, 'utun/no-privilege'],
    ['a sandbox forbids the question', 'ioctl', 13, 'utun/no-privilege'],
    ['the kernel does not know the family', 'socket', 47, 'utun/unsupported'],
    ['the kernel does not know the protocol', 'socket', 43, 'utun/unsupported'],
    ['the kernel does not know the control', 'ioctl', 2, 'utun/unsupported'],
    ['there are too many descriptors', 'socket', 24, 'utun/failed'],
    ['there is no memory for it', 'connect', 55, 'utun/failed'],
    ['the descriptor cannot be kept from children', 'fcntl', 9, 'utun/failed'],
    ['the name is not told', 'getsockopt', 22, 'utun/failed'],
  ])('is not made, and nothing is left, when %s', (_, call, errno, code) => {
    const kernel = new FakeKernel({ [call]: [errno] });
    expect(failureOf(() => openUtun({ name: 'utun5' }, kernel))).toMatchObject({ name: 'MacosError', code });
    expect(kernel.log.filter((line) => line.startsWith('close'))).toEqual(call === 'socket' ? [] : [`close ${FD}`]);
  });

  it.each<readonly [string, Partial<FakeKernel>]>([
    ['another device than asked for', { madeName: 'utun6' }],
    ['something else', { madeName: 'en0' }],
    ['a control without number', { controlId: 0 }],
  ])('is given back when the kernel answers with %s', (_, answer) => {
    const kernel = Object.assign(new FakeKernel(), answer);
    expect(failureOf(() => openUtun({ name: 'utun5' }, kernel))).toMatchObject({ code: 'utun/failed' });
    expect(kernel.log.at(-1)).toBe(`close ${FD}`);
  });

  it('is made although signals interrupt the calls', () => {
    const kernel = new FakeKernel({ socket: [EINTR, EINTR], connect: [EINTR] });
    expect(openUtun({ name: undefined }, kernel).name).toBe('utun3');
  });

  it('is given up when signals never end', () => {
    const kernel = new FakeKernel({ connect: Array(1000).fill(EINTR) });
    expect(failureOf(() => openUtun({ name: undefined }, kernel))).toMatchObject({ code: 'utun/failed' });
    expect(kernel.log.filter((line) => line.startsWith('connect'))).toHaveLength(100);
  });

  it.runIf(process.platform !== 'darwin')('is not supported on this system', () => {
    expect(failureOf(() => openUtun({ name: undefined }))).toMatchObject({ code: 'utun/unsupported' });
  });

  it.skipIf(process.platform !== 'darwin' || process.getuid?.() !== 0)('is made by a Mac (macOS, root)', () => {
    const device = openUtun({ name: undefined });
    expect(device.name).toMatch(/^utun[0-9]+$/);
    expect(failureOf(() => openUtun({ name: device.name }))).toMatchObject({ code: 'utun/busy' });
    device.close();
  });
});
