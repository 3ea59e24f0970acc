import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileLockError, lockFile } from './file-lock.ts';

const NOW = { timeoutMs: 0, signal: undefined };
/** Longer than any test: what waits is to be woken by something else. */
const LATER = { timeoutMs: 60_000, signal: undefined };

describe.runIf(process.platform !== 'win32')('a locked file', () => {
  let folder = '';
  let path = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-lock-'));
    path = join(folder, 'allocation.lock');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const codeOf = (attempt: Promise<unknown>): Promise<unknown> =>
    attempt.then(
      () => 'locked',
      (error: unknown) => (error instanceof FileLockError ? error.code : error),
    );

  it('is made for its owner alone, and stays', async () => {
    const lock = await lockFile(path, NOW);
    lock.release();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path)).toHaveLength(0);
  });

  it('keeps what an existing file holds', async () => {
    writeFileSync(path, 'content');
    (await lockFile(path, NOW)).release();
    expect(readFileSync(path, 'utf8')).toBe('content');
  });

  it('is not locked a second time before it is released, not even by the same process', async () => {
    const lock = await lockFile(path, NOW);
    expect(await codeOf(lockFile(path, NOW))).toBe('file-lock/busy');
    expect(await codeOf(lockFile(path, { timeoutMs: 12, signal: undefined }))).toBe('file-lock/busy');
    lock.release();
    lock.release();
    const next = await lockFile(path, NOW);
    lock.release();
    expect(await codeOf(lockFile(path, NOW))).toBe('file-lock/busy');
    next.release();
  });

  it('is had by one at a time of many who wait', async () => {
    let holderCount = 0;
    let holderCountMax = 0;
    const work = async () => {
      const lock = await lockFile(path, LATER);
      holderCount += 1;
      holderCountMax = Math.max(holderCountMax, holderCount);
      await new Promise((resolve) => setImmediate(resolve));
      holderCount -= 1;
      lock.release();
    };
    await Promise.all(Array.from({ length: 8 }, work));
    expect(holderCountMax).toBe(1);
  });

  it('is given up waiting for with the reason of the signal', async () => {
    const lock = await lockFile(path, NOW);
    const abort = new AbortController();
    const waiting = codeOf(lockFile(path, { ...LATER, signal: abort.signal }));
    abort.abort('the daemon ends');
    expect(await waiting).toBe('the daemon ends');
    lock.release();
    expect(await codeOf(lockFile(path, { ...NOW, signal: abort.signal }))).toBe('the daemon ends');
  });

  it('is free as soon as the process that holds it is killed', async () => {
    const script = `
      const koffi = require(${JSON.stringify(createRequire(import.meta.url).resolve('koffi'))});
      const fd = require('node:fs').openSync(${JSON.stringify(path)}, 'a');
      console.log(koffi.load(null).func('int flock(int, int)')(fd, 2));
      setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [said] = (await once(holder.stdout, 'data')) as [Buffer];
    expect(said.toString().trim()).toBe('0');
    expect(await codeOf(lockFile(path, NOW))).toBe('file-lock/busy');
    const waiting = lockFile(path, LATER);
    holder.kill('SIGKILL');
    (await waiting).release();
  });

  it.skipIf(spawnSync('flock', ['--version']).status !== 0)(
    'is locked to flock(1) as well (needs util-linux)',
    async () => {
      const tryOutside = () => spawnSync('flock', ['-n', '-E', '7', path, 'true']).status;
      const lock = await lockFile(path, NOW);
      expect(tryOutside()).toBe(7);
      lock.release();
      expect(tryOutside()).toBe(0);
    },
  );

  it('is not kept by a child that outlives its lock', async () => {
    const lock = await lockFile(path, NOW);
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    await once(child, 'spawn');
    lock.release();
    (await lockFile(path, NOW)).release();
    child.kill('SIGKILL');
  });

  it.skipIf(process.platform !== 'linux')('is not open in a child, and not left open after a refusal', async () => {
    const openIn = (pid: string) =>
      readdirSync(`/proc/${pid}/fd`).filter((fd) => {
        try {
          return readlinkSync(`/proc/${pid}/fd/${fd}`) === path;
        } catch {
          return false;
        }
      }).length;
    const lock = await lockFile(path, NOW);
    for (let round = 0; round < 20; round++) await codeOf(lockFile(path, NOW));
    expect(openIn('self')).toBe(1);
    expect(execFileSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' })).not.toContain(path);
    lock.release();
    expect(openIn('self')).toBe(0);
  });

  it('is the one that has the name: after a removal the new one counts', async () => {
    const old = await lockFile(path, NOW);
    rmSync(path);
    const lock = await lockFile(path, NOW);
    old.release();
    expect(await codeOf(lockFile(path, NOW))).toBe('file-lock/busy');
    lock.release();
  });

  it('is no link, no folder and no pipe, and lies in a folder that is there', async () => {
    symlinkSync(join(folder, 'elsewhere'), path);
    expect(await codeOf(lockFile(path, LATER))).toBe('file-lock/failed');
    expect(existsSync(join(folder, 'elsewhere'))).toBe(false);
    mkdirSync(join(folder, 'd'));
    expect(await codeOf(lockFile(join(folder, 'd'), LATER))).toBe('file-lock/failed');
    execFileSync('mkfifo', [join(folder, 'p')]);
    expect(await codeOf(lockFile(join(folder, 'p'), LATER))).toBe('file-lock/failed');
    expect(await codeOf(lockFile(join(folder, 'none', 'x'), LATER))).toBe('file-lock/failed');
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('is not waited for during %d ms', async (timeoutMs) => {
    expect(await codeOf(lockFile(path, { timeoutMs, signal: undefined }))).toBeInstanceOf(RangeError);
    expect(existsSync(path)).toBe(false);
  });
});

describe('on Windows', () => {
  it('there is no such lock, and it says so', async () => {
    const platform = Object.getOwnPropertyDescriptor(process, 'platform')!;
    Object.defineProperty(process, 'platform', { ...platform, value: 'win32' });
    try {
      const refusal = await lockFile(join(tmpdir(), 'heddle-none', 'x'), NOW).catch((error: unknown) => error);
      expect(refusal).toMatchObject({ name: 'FileLockError', code: 'file-lock/unsupported', isRetryable: false });
    } finally {
      Object.defineProperty(process, 'platform', platform);
    }
  });
});
