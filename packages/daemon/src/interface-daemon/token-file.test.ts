import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readTokenFile } from './token-file.ts';

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
    const token = readTokenFile(path);
    expect(token).toMatch(/^[0-9a-f]{64}$/);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readTokenFile(path)).toBe(token);
  });

  it('is refused when others can read it', () => {
    writeFileSync(path, `${'x'.repeat(32)}\n`);
    chmodSync(path, 0o640);
    expect(() => readTokenFile(path)).toThrow(refusal('chmod 600'));
  });

  it.each(['', 'short', `${'x'.repeat(20)} ${'y'.repeat(20)}`, 'x'.repeat(513)])('with %j holds no token', (text) => {
    writeFileSync(path, text, { mode: 0o600 });
    expect(() => readTokenFile(path)).toThrow(refusal('16 to 512 characters'));
    try {
      readTokenFile(path);
    } catch (error) {
      if (text.trim() !== '') expect(String(error)).not.toContain(text.trim());
    }
  });

  it('is not a link to another file, and needs a folder', () => {
    writeFileSync(join(folder, 'other'), 'x'.repeat(32), { mode: 0o600 });
    symlinkSync(join(folder, 'other'), path);
    expect(() => readTokenFile(path)).toThrow(refusal('ELOOP'));
    expect(() => readTokenFile(join(folder, 'none', 'token'))).toThrow(refusal('ENOENT'));
    expect(readFileSync(join(folder, 'other'), 'utf8')).toBe('x'.repeat(32));
  });
});
