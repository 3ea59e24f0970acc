import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DetachedProcess, startDetached } from './detached-process.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'heddle-detached-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

function start(script: string, env: NodeJS.ProcessEnv = process.env): Promise<DetachedProcess> {
  const logPath = join(dir, 'log');
  return startDetached({ command: process.execPath, args: ['-e', script], logPath, input: 'secret\n', env });
}

describe.runIf(process.platform !== 'win32')('detached process', () => {
  it('gets its input, reports, and writes to the log', async () => {
    const script = `process.stdin.on('data', (d) => { console.log(d.length); require('fs').writeSync(3, 'up ' + process.cwd() + '\\nmore'); })`;
    const child = await start(script);
    expect(await text(child.report)).toBe('up /\nmore');
    await expect.poll(() => readFileSync(join(dir, 'log'), 'utf8')).toBe('7\n');
    expect(statSync(join(dir, 'log')).mode & 0o777).toBe(0o600);
    await expect.poll(() => child.hasEnded()).toBe(true);
    child.release();
  });

  it('reports nothing when it dies at once', async () => {
    const child = await start('process.exit(3)');
    expect(await text(child.report)).toBe('');
  });

  it('has a session of its own and no channel to the service manager', async () => {
    const script = `require('fs').writeSync(3, require('child_process').execSync('ps -o sid= -p ' + process.pid).toString().trim() + ' ' + process.env.NOTIFY_SOCKET + '\\n')`;
    const child = await start(script, { ...process.env, NOTIFY_SOCKET: '/run/x' });
    expect(await text(child.report)).toBe(`${child.pid} undefined\n`);
  });

  it('says so when the command is missing', async () => {
    const options = { args: [], logPath: join(dir, 'log'), input: '', env: {} };
    await expect(startDetached({ command: join(dir, 'missing'), ...options })).rejects.toThrow(/ENOENT/);
  });
});
