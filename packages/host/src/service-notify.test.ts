import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DatagramSocket } from './datagram-socket.ts';
import { createServiceNotifier } from './service-notify.ts';

const isLinux = process.platform === 'linux';
const hasSocat = spawnSync('socat', ['-V']).status === 0;

/** A service manager's socket, whose address the test writes itself: family 1, then what unix(7) wants. */
class Manager {
  readonly #socket = DatagramSocket.open({ family: 1, type: 2, protocol: 0 });

  constructor(path: string) {
    this.#socket.bind(Buffer.from(`\u0001\0${path}`, 'latin1'));
  }

  /** Everything received since the last call. */
  take(): string[] {
    const texts: string[] = [];
    const buffer = new Uint8Array(4096);
    for (;;) {
      const received = this.#socket.receive(buffer);
      if (received === undefined) return texts;
      texts.push(Buffer.from(buffer.subarray(0, received.lengthBytes)).toString());
    }
  }

  close(): void {
    this.#socket.close();
  }
}

describe('without a service manager', () => {
  it.each([
    {},
    { NOTIFY_SOCKET: '' },
    { NOTIFY_SOCKET: '/' },
    { NOTIFY_SOCKET: '@' },
    { NOTIFY_SOCKET: 'run/notify' },
    { NOTIFY_SOCKET: 'vsock:2:1234' },
    { NOTIFY_SOCKET: '/run/a\0b' },
    { NOTIFY_SOCKET: `/${'x'.repeat(107)}` },
    { NOTIFY_SOCKET: `@${'ü'.repeat(54)}` },
    { WATCHDOG_USEC: '1000000' },
  ])('there is no notifier: %j', (env) => {
    expect(createServiceNotifier(env, process.pid)).toBeUndefined();
  });
});

describe.runIf(isLinux)('a service notifier', () => {
  let folder: string;
  let path: string;
  let manager: Manager;
  beforeEach(() => {
    vi.useFakeTimers();
    folder = mkdtempSync(join(tmpdir(), 'heddle-notify-'));
    path = join(folder, 'notify');
    manager = new Manager(`${path}\0`);
  });
  afterEach(() => {
    vi.useRealTimers();
    manager.close();
    rmSync(folder, { recursive: true });
  });

  it('says what state the process is in', () => {
    const notifier = createServiceNotifier({ NOTIFY_SOCKET: path }, process.pid);
    notifier?.ready();
    notifier?.status('2 of 3 teams are up');
    notifier?.stopping();
    expect(manager.take()).toEqual(['READY=1', 'STATUS=2 of 3 teams are up', 'STOPPING=1']);
  });

  it('says since when it reloads, on the clock of the manager', () => {
    const before = process.hrtime.bigint() / 1000n;
    createServiceNotifier({ NOTIFY_SOCKET: path }, process.pid)?.reloading();
    const match = /^RELOADING=1\nMONOTONIC_USEC=([0-9]+)$/.exec(manager.take()[0] ?? '');
    expect(BigInt(match?.[1] ?? -1) >= before).toBe(true);
    expect(BigInt(match?.[1] ?? -1) <= process.hrtime.bigint() / 1000n).toBe(true);
  });

  it('reaches a manager at an abstract address, of any length that fits', () => {
    for (const name of [`heddle-${process.pid}`, `${process.pid}`.padEnd(107, 'x')]) {
      const abstract = new Manager(`\0${name}`);
      createServiceNotifier({ NOTIFY_SOCKET: `@${name}` }, process.pid)?.ready();
      expect(abstract.take()).toEqual(['READY=1']);
      abstract.close();
    }
  });

  it.each([
    ['a\nREADY=1\r\n\tb\u0000c\u0085d\u2028e\u001b[0m', 'a READY=1 b c d e [0m'],
    ['  ', ''],
    ['x'.repeat(300), 'x'.repeat(200)],
    ['😀'.repeat(300), '😀'.repeat(200)],
    [`${'x'.repeat(199)} y`, 'x'.repeat(199)],
  ])('makes one short line of the status %j', (text, line) => {
    createServiceNotifier({ NOTIFY_SOCKET: path }, process.pid)?.status(text);
    expect(manager.take()).toEqual([`STATUS=${line}`]);
  });

  it('tells the watchdog at once and then twice per period, until it is stopped', () => {
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '30000000', WATCHDOG_PID: `${process.pid}` };
    const stop = createServiceNotifier(env, process.pid)?.startWatchdog();
    expect(manager.take()).toEqual(['WATCHDOG=1']);
    vi.advanceTimersByTime(14_999);
    expect(manager.take()).toEqual([]);
    vi.advanceTimersByTime(15_001);
    expect(manager.take()).toEqual(['WATCHDOG=1', 'WATCHDOG=1']);
    stop?.();
    vi.advanceTimersByTime(60_000);
    expect(manager.take()).toEqual([]);
  });

  it.each([
    { WATCHDOG_PID: '1' },
    { WATCHDOG_USEC: '0' },
    { WATCHDOG_USEC: '-5' },
    { WATCHDOG_USEC: '1e9' },
    { WATCHDOG_USEC: undefined },
  ])('leaves a watchdog alone that is not meant or makes no sense: %j', (override) => {
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '1000000', ...override };
    createServiceNotifier(env, process.pid)?.startWatchdog()();
    expect([manager.take(), vi.getTimerCount()]).toEqual([[], 0]);
  });

  it.each([
    ['1', 1],
    ['5999', 2],
    ['9'.repeat(19), 0x7fffffff],
  ])('rounds a period of %s µs to a timer of %d ms', (usec, ms) => {
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: usec };
    const stop = createServiceNotifier(env, process.pid)?.startWatchdog();
    vi.advanceTimersByTime(ms - 1);
    expect(manager.take()).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(manager.take()).toHaveLength(1);
    stop?.();
  });

  it('does not mind a manager that is gone or does not read, and keeps no descriptor', () => {
    const notifier = createServiceNotifier({ NOTIFY_SOCKET: path }, process.pid);
    notifier?.ready();
    const before = readdirSync('/proc/self/fd').length;
    manager.close();
    notifier?.status('nobody reads this');
    rmSync(path);
    notifier?.stopping();
    expect(readdirSync('/proc/self/fd').length).toBe(before - 1);
  });

  it('waits a bounded time for a manager whose queue is full', () => {
    const notifier = createServiceNotifier({ NOTIFY_SOCKET: path }, process.pid);
    const filler = DatagramSocket.open({ family: 1, type: 2, protocol: 0 });
    filler.setSendTimeout(1);
    const address = Buffer.from(`\u0001\0${path}\0`, 'latin1');
    expect(() => {
      for (let count = 0; count < 10_000; count++) filler.sendTo(Buffer.from('x'), address);
    }).toThrow('sendto EAGAIN');
    filler.close();
    notifier?.ready();
    expect(manager.take()).not.toContain('READY=1');
    notifier?.ready();
    expect(manager.take()).toEqual(['READY=1']);
  });

  it.runIf(hasSocat)('is understood by socat', async () => {
    vi.useRealTimers();
    const file = join(folder, 'socat');
    const socat: ChildProcess = spawn('socat', ['-u', `UNIX-RECV:${file}`, '-'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let text = '';
    socat.stdout?.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    await expect.poll(() => existsSync(file)).toBe(true);
    const notifier = createServiceNotifier({ NOTIFY_SOCKET: file }, process.pid);
    notifier?.ready();
    notifier?.status('up');
    await expect.poll(() => text).toBe('READY=1STATUS=up');
    socat.kill('SIGKILL');
  });
});
