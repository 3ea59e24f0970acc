import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
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
    expect(() => ensureTokenFile(join(folder, 'none', 'token'))).toThrow(refusal('ENOENT'));
  });
});
