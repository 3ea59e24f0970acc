import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acquireInstanceLock, findLockOwner, isLockEntry } from './instance-lock.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'heddle-lock-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

function acquire(): ReturnType<typeof acquireInstanceLock> {
  return acquireInstanceLock(join(dir, 'lock'));
}

describe('instance lock', () => {
  it('belongs to one owner until it is released', () => {
    const first = acquire();
    expect(first.kind).toBe('acquired');
    expect(acquire()).toEqual({ kind: 'held', pid: process.pid });
    expect(findLockOwner(join(dir, 'lock'))).toBe(process.pid);
    if (first.kind === 'acquired') first.lock.release();
    expect(findLockOwner(join(dir, 'lock'))).toBeUndefined();
    expect(acquire().kind).toBe('acquired');
    expect(readdirSync(dir)).toEqual(['lock.2']);
  });

  it('names the living process that holds it, and is free when that is killed', async () => {
    const owner = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    await once(owner, 'spawn');
    symlinkSync(`${owner.pid}:`, join(dir, 'lock.3'));
    expect(acquire()).toEqual({ kind: 'held', pid: owner.pid });
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    expect(acquire().kind).toBe('acquired');
  });

  it('is free when its owner is dead, or when its text means nothing', () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    symlinkSync(`${dead}:123-aaaaaaaa`, join(dir, 'lock.7'));
    const taken = acquire();
    expect(taken.kind).toBe('acquired');
    expect(readdirSync(dir)).toEqual(['lock.8']);
    if (taken.kind === 'acquired') taken.lock.release();
    symlinkSync('nonsense', join(dir, 'lock.9'));
    expect(acquire().kind).toBe('acquired');
  });

  it('removes what an owner left that was killed while it released', () => {
    symlinkSync('4194305:', join(dir, 'lock.3'));
    symlinkSync('released', join(dir, 'lock.3.released'));
    expect(acquire().kind).toBe('acquired');
    expect(readdirSync(dir)).toEqual(['lock.4']);
  });

  it('ignores neighbours with similar names', () => {
    for (const name of ['lock', 'lock.0', 'lock.x', 'lock.1x', 'lock.12345678901']) symlinkSync('x', join(dir, name));
    expect(acquire().kind).toBe('acquired');
    expect(isLockEntry('lock', 'lock.1')).toBe(true);
    expect(isLockEntry('lock', 'lock.x')).toBe(false);
  });

  it('fails loudly where it cannot write', () => {
    expect(() => acquireInstanceLock(join(dir, 'missing', 'lock'))).toThrow(/ENOENT/);
  });
});
