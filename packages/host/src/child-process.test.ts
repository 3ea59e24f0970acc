import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Child, startChild } from './child-process.ts';
import { isProcessAlive } from './process-identity.ts';
import { findProcessesByArgument } from './process-search.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'heddle-child-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

function start(script: string, options: { input?: string; isReporting?: boolean; args?: string[] } = {}) {
  return startChild({
    command: process.execPath,
    args: ['-e', script, ...(options.args ?? [])],
    logPath: join(dir, 'log'),
    env: { ...process.env, NOTIFY_SOCKET: '/run/x' },
    input: options.input,
    isReporting: options.isReporting ?? false,
  });
}

const readLog = (): string => readFileSync(join(dir, 'log'), 'utf8');

describe.runIf(process.platform !== 'win32')('a child', () => {
  it('writes to the log itself, and to its end', async () => {
    writeFileSync(join(dir, 'log'), 'before\n');
    const child = await start('console.log("out", process.cwd(), process.env.NOTIFY_SOCKET); console.error("err")');
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(readLog()).toBe('before\nout / undefined\nerr\n');
  });
  it('is given its input, and reports', async () => {
    const script = `process.stdin.on('data', (d) => { require('fs').writeSync(3, 'got ' + d); process.exit() })`;
    const child = await start(script, { input: 'secret', isReporting: true });
    expect(await text(child.report as NonNullable<Child['report']>)).toBe('got secret');
  });
  it('is known by more than its number, and says how it ended', async () => {
    const child = await start('setInterval(() => {}, 1000)');
    expect(isProcessAlive(child.identity)).toBe(true);
    expect(child.identity.startMark).not.toBe('');
    child.kill('SIGKILL');
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' });
    expect(isProcessAlive(child.identity)).toBe(false);
    child.kill('SIGKILL');
  });
  it('that does not exist is an error', async () => {
    const options = { args: [], logPath: join(dir, 'log'), env: {}, input: undefined, isReporting: false };
    await expect(startChild({ command: join(dir, 'missing'), ...options })).rejects.toThrow(/ENOENT/);
  });
  it.runIf(process.platform === 'linux')('is found by an argument that is ours alone', async () => {
    const child = await start('setInterval(() => {}, 1000)', { args: [join(dir, 'acme.json')] });
    expect(findProcessesByArgument(dir)).toEqual([child.identity]);
    child.kill('SIGKILL');
    await child.exited;
    expect(findProcessesByArgument(dir)).toEqual([]);
  });
});
