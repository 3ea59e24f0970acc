import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createServiceSystem } from './service-system.ts';

const system = createServiceSystem();
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-service-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(process.platform === 'win32')('a file of a service', () => {
  it('is written as a whole, with its mode whatever the umask', async () => {
    const path = join(folder, 'x.service');
    const umask = process.umask(0o077);
    try {
      await system.writeFileAtomic(path, 'one', 0o644);
      await system.writeFileAtomic(path, 'two', 0o644);
    } finally {
      process.umask(umask);
    }
    expect(readFileSync(path, 'utf8')).toBe('two');
    expect(statSync(path).mode & 0o777).toBe(0o644);
    expect(readdirSync(folder)).toEqual(['x.service']);
  });

  it('leaves nothing behind when it cannot be written', async () => {
    const path = join(folder, 'x.service');
    mkdirSync(join(path, 'y'), { recursive: true });
    await expect(system.writeFileAtomic(path, 'one', 0o644)).rejects.toMatchObject({ code: expect.any(String) });
    expect(readdirSync(folder)).toEqual(['x.service']);
  });

  it('replaces a symbolic link, not what it leads to', async () => {
    const [path, other] = [join(folder, 'x.service'), join(folder, 'other')];
    writeFileSync(other, 'theirs');
    symlinkSync(other, path);
    await system.writeFileAtomic(path, 'ours', 0o644);
    expect(lstatSync(path).isSymbolicLink()).toBe(false);
    expect(readFileSync(other, 'utf8')).toBe('theirs');
  });

  it('reads as missing, as its text, or as empty when it cannot be ours', async () => {
    const path = join(folder, 'x');
    expect(await system.readFile(path)).toBeUndefined();
    writeFileSync(path, 'text');
    expect(await system.readFile(path)).toBe('text');
    writeFileSync(path, 'x'.repeat(70_000));
    expect(await system.readFile(path)).toBe('');
    symlinkSync('/dev/null', join(folder, 'masked'));
    expect(await system.readFile(join(folder, 'masked'))).toBe('');
    execFileSync('mkfifo', [join(folder, 'fifo')]);
    expect(await system.readFile(join(folder, 'fifo'))).toBe('');
    expect(await system.readFile(folder)).toBe('');
  });

  it('is found in its folder, even when it is a link to nothing', async () => {
    writeFileSync(join(folder, 'b'), '');
    symlinkSync('released', join(folder, 'a'));
    expect(await system.listFolder(folder)).toEqual(['a', 'b']);
    expect(await system.listFolder(join(folder, 'missing'))).toEqual([]);
    await expect(system.listFolder(join(folder, 'b'))).rejects.toMatchObject({ code: 'ENOTDIR' });
    await system.removeTree(join(folder, 'a'));
    expect(readdirSync(folder)).toEqual(['b']);
  });

  it('is removed, and may be missing', async () => {
    mkdirSync(join(folder, 'a/b'), { recursive: true });
    writeFileSync(join(folder, 'x'), '');
    await system.remove(join(folder, 'x'));
    await system.remove(join(folder, 'x'));
    await system.removeTree(join(folder, 'a'));
    await system.removeTree(join(folder, 'a'));
    expect(existsSync(join(folder, 'x'))).toBe(false);
    expect(await system.isPresent(join(folder, 'a'))).toBe(false);
    expect(await system.isPresent(folder)).toBe(true);
  });
});

describe('a command', () => {
  it('answers with its exit status and what it said', async () => {
    const script = 'console.log("out"); console.error("err"); process.exitCode = 3';
    expect(await system.run(process.execPath, ['-e', script])).toEqual({ code: 3, stdout: 'out\n', stderr: 'err\n' });
    expect(await system.run(process.execPath, ['-e', ''])).toMatchObject({ code: 0 });
  });

  it('answers 127 when there is no such program', async () => {
    expect(await system.run(join(folder, 'nothing'), [])).toMatchObject({
      code: 127,
      stderr: expect.stringContaining('ENOENT'),
    });
  });

  it('inherits nothing of our environment, the notification socket least of all', async () => {
    const script = 'console.log(process.env.NOTIFY_SOCKET, process.env.HEDDLE_TEST, process.env.LC_ALL)';
    process.env['NOTIFY_SOCKET'] = '/run/x';
    process.env['HEDDLE_TEST'] = '1';
    try {
      expect(await system.run(process.execPath, ['-e', script])).toMatchObject({ stdout: 'undefined undefined C\n' });
    } finally {
      delete process.env['NOTIFY_SOCKET'];
      delete process.env['HEDDLE_TEST'];
    }
  });
});
