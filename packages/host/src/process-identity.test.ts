import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { describeOwnProcess, isProcessAlive } from './process-identity.ts';

describe('process identity', () => {
  it('knows that the own process lives', () => {
    expect(isProcessAlive(describeOwnProcess())).toBe(true);
  });

  it.runIf(process.platform === 'linux')('does not take a later process of the same number for the first', () => {
    const own = describeOwnProcess();
    expect(own.startMark).toMatch(/^[0-9]+-[0-9a-f]{8}$/);
    expect(isProcessAlive({ pid: own.pid, startMark: '1-00000000' })).toBe(false);
  });

  it('knows that an ended process is dead', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    const pid = child.pid as number;
    await once(child, 'exit');
    expect(isProcessAlive({ pid, startMark: '' })).toBe(false);
  });

  it.runIf(process.platform === 'linux')('takes a zombie for dead', async () => {
    // The shell becomes `sleep`, which does not collect the child it inherited.
    const parent = spawn('/bin/sh', ['-c', 'true & echo $!; exec sleep 30'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    await expect.poll(() => isProcessAlive({ pid, startMark: '' })).toBe(false);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
  });
});
