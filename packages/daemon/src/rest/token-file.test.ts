import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readTokenFile } from './token-file.ts';

const TOKEN = 'correct-horse-battery-staple';
const isRoot = process.geteuid?.() === 0;
const hasModes = process.platform !== 'win32';

describe('a token file', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-token-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const write = (content: string, mode = 0o600): string => {
    const path = join(folder, 'token');
    writeFileSync(path, content);
    chmodSync(path, mode);
    return path;
  };
  const expectRefused = (path: string, reason: string): void => {
    expect(() => readTokenFile(path)).toThrow(expect.objectContaining({ code: 'rest/bad-token-file' }));
    expect(() => readTokenFile(path)).toThrow(reason);
  };

  it('holds one line', () => {
    expect(readTokenFile(write(TOKEN))).toBe(TOKEN);
    expect(readTokenFile(write(`${TOKEN}\n`))).toBe(TOKEN);
    expect(readTokenFile(write(`${'A'.repeat(43)}=\n`, 0o400))).toBe(`${'A'.repeat(43)}=`);
  });

  it('with something else in it is refused, and the message does not have it', () => {
    for (const content of [
      '',
      '\n',
      'short',
      `${TOKEN} ${TOKEN}`,
      `${TOKEN}\n${TOKEN}`,
      `${TOKEN}ü`,
      'x'.repeat(513),
    ]) {
      expectRefused(write(content), 'does not hold one token');
      if (content.trim() !== '') expect(() => readTokenFile(write(content))).not.toThrow(content.trim());
    }
    expectRefused(write('x'.repeat(1_025)), 'more than 1024 bytes');
  });

  it('that is not there, or is no file, is refused', () => {
    expectRefused(join(folder, 'nothing'), 'ENOENT');
    mkdirSync(join(folder, 'folder'));
    expectRefused(join(folder, 'folder'), 'not a regular file');
  });

  it.skipIf(!hasModes)('that others may read or change is refused, through a link too', () => {
    for (const mode of [0o640, 0o604, 0o620, 0o602, 0o610]) expectRefused(write(TOKEN, mode), 'chmod 600');
    symlinkSync(write(TOKEN, 0o644), join(folder, 'link'));
    expectRefused(join(folder, 'link'), 'chmod 600');
  });

  it.skipIf(!isRoot)('of another user is refused (needs root)', () => {
    const path = write(TOKEN);
    chownSync(path, 65_534, 65_534);
    expectRefused(path, 'another user');
  });
});
