import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureTokenFile, readTokenFile } from './token-file.ts';

const TOKEN = 'a'.repeat(40);

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-token-'));
  path = join(folder, 'token');
});
afterEach(() => rmSync(folder, { recursive: true }));

const refusal = (about: string): unknown =>
  expect.objectContaining({ code: 'rest/bad-token-file', message: expect.stringContaining(about) });

/** Mounts a file system of 64 KiB; undefined where that is not allowed. */
function mountSmall(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined;
  const small = join(folder, 'small');
  mkdirSync(small);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'heddle-test', small], { stdio: 'ignore' });
    return small;
  } catch {
    rmdirSync(small);
    return undefined;
  }
}

describe('a token file', () => {
  it('that is missing is made for its owner alone, and read the next time', () => {
    expect(() => readTokenFile(path)).toThrow(refusal('ENOENT'));
    const token = ensureTokenFile(path);
    expect(token).toMatch(/^[0-9a-f]{64}$/);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(ensureTokenFile(path)).toBe(token);
    expect(readTokenFile(path)).toBe(token);
  });

  it('may have white space around the token', () => {
    writeFileSync(path, `\n  ${TOKEN}\n`, { mode: 0o600 });
    expect(ensureTokenFile(path)).toBe(TOKEN);
  });

  it('is refused when others can read it', () => {
    writeFileSync(path, TOKEN);
    chmodSync(path, 0o640);
    expect(() => ensureTokenFile(path)).toThrow(refusal('640'));
  });

  it.runIf(process.geteuid?.() === 0)('is refused when it belongs to somebody else (needs root to be tried)', () => {
    writeFileSync(path, TOKEN, { mode: 0o600 });
    chownSync(path, 12345, 12345);
    expect(() => ensureTokenFile(path)).toThrow(refusal('user 12345'));
  });

  it.each(['', 'a'.repeat(15), `${TOKEN} ${TOKEN}`, 'a'.repeat(513), 'ä'.repeat(30)])(
    'with %j holds no token',
    (text) => {
      writeFileSync(path, text, { mode: 0o600 });
      const failure = expect(() => ensureTokenFile(path));
      failure.toThrow(refusal('16 to 512 characters'));
      if (text !== '') failure.not.toThrow(refusal(text));
    },
  );

  it('is a file, and not made through a link that leads nowhere', () => {
    execFileSync('mkfifo', [path]);
    chmodSync(path, 0o600);
    expect(() => ensureTokenFile(path)).toThrow(refusal('not a file'));
    symlinkSync(join(folder, 'nowhere'), join(folder, 'link'));
    expect(() => ensureTokenFile(join(folder, 'link'))).toThrow(refusal('ENOENT'));
    expect(readdirSync(folder)).toEqual(['link', 'token']);
    expect(() => ensureTokenFile(join(folder, 'none', 'token'))).toThrow(refusal('ENOENT'));
  });

  it('is made whole or not at all on a full disk, and made when there is room', (context) => {
    const small = mountSmall();
    if (small === undefined) return context.skip('needs Linux, root and mount');
    try {
      const { bavail, bsize } = statfsSync(small);
      writeFileSync(join(small, 'filler'), new Uint8Array(bavail * bsize));
      expect(() => ensureTokenFile(join(small, 'token'))).toThrow(refusal('ENOSPC'));
      expect(readdirSync(small)).toEqual(['filler']);
      rmSync(join(small, 'filler'));
      const token = ensureTokenFile(join(small, 'token'));
      expect(readTokenFile(join(small, 'token'))).toBe(token);
      expect(readdirSync(small)).toEqual(['token']);
    } finally {
      execFileSync('umount', [small]);
    }
  });

  it('is not a draft that a killed daemon left', () => {
    writeFileSync(`${path}.0011223344556677.new`, '');
    expect(ensureTokenFile(path)).toMatch(/^[0-9a-f]{64}$/);
    expect(readdirSync(folder)).toEqual(['token', 'token.0011223344556677.new']);
  });
});
