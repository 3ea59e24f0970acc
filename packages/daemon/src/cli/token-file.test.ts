import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ScriptedDaemon, TUN } from '../../test/scripted-daemon.ts';

let dir: string;
let daemon: ScriptedDaemon;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'heddle-token-'));
  daemon = await ScriptedDaemon.start();
});
afterEach(async () => {
  await daemon.close();
  rmSync(dir, { recursive: true, force: true });
});

describe('--token-file', () => {
  function tokenFile(text: string, mode = 0o600): string {
    const path = join(dir, 'token');
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  }

  it('sends the token of the file', async () => {
    daemon.says(TUN);
    expect((await daemon.ask(`tun create --token-file ${tokenFile('abc-DEF_0123456789==\n')}`)).status).toBe(0);
    expect(daemon.asked.at(-1)?.headers.authorization).toBe('Bearer abc-DEF_0123456789==');
  });

  it('is refused when it is open to others, and its token stays at home', async () => {
    for (const mode of [0o640, 0o604, 0o620, 0o666]) {
      const { status, err } = await daemon.ask(`tun create --token-file ${tokenFile('abc', mode)}`);
      expect([mode, status, err.includes('[rest/bad-token-file]')]).toEqual([mode, 2, true]);
      expect(err).toContain(`its mode is ${mode.toString(8)}, not 600`);
    }
    expect(daemon.asked).toEqual([]);
  });

  it('is refused when it holds no token, without a word of what it holds', async () => {
    for (const text of ['', ' \n', 'two words', 'new\nline', 'tökén', 'x'.repeat(5000)]) {
      const { status, err } = await daemon.ask(`tun create --token-file ${tokenFile(text)}`);
      expect([status, err.includes('is not one token of 16 to 512 characters [rest/bad-token-file]')]).toEqual([
        2,
        true,
      ]);
      if (text.trim() !== '') expect(err).not.toContain(text);
    }
    for (const path of [join(dir, 'missing'), dir]) {
      expect((await daemon.ask(`tun create --token-file ${path}`)).err).toContain('[rest/bad-token-file]');
    }
    expect(daemon.asked).toEqual([]);
  });
});
