import { describe, expect, it } from 'vitest';
import { runCommand } from './command-runner.ts';

describe.skipIf(process.platform === 'win32')('a command (not on Windows)', () => {
  it('ends with its status and what it wrote', async () => {
    expect(await runCommand(['/bin/echo', 'a b', '$HOME;', '-x'])).toEqual({
      status: 0,
      stdout: 'a b $HOME; -x\n',
      stderr: '',
    });
    const failed = await runCommand(['/bin/sh', '-c', 'echo told >&2; exit 77']);
    expect(failed).toEqual({ status: 77, stdout: '', stderr: 'told\n' });
  });

  it('has the C locale, a short path and nothing else of us around it', async () => {
    const { stdout } = await runCommand(['/usr/bin/env']);
    expect(stdout.trim().split('\n').sort()).toEqual(['LC_ALL=C', 'PATH=/usr/bin:/bin:/usr/sbin:/sbin']);
  });

  it('has no status when there is no such program', async () => {
    const result = await runCommand(['/nowhere/at/all']);
    expect(result).toMatchObject({ status: undefined, stdout: '' });
    expect(result.stderr).toContain('ENOENT');
  });

  it('is killed when it takes too long', async () => {
    const result = await runCommand(['/bin/sleep', '600'], 50);
    expect(result).toMatchObject({ status: undefined, stdout: '' });
    expect(result.stderr).toContain('more than 50 ms');
  });

  it('is killed when it writes without end', async () => {
    const result = await runCommand(['/bin/sh', '-c', 'while :; do printf %65536d 0; done']);
    expect(result.status).toBeUndefined();
    expect(result.stderr).toContain('MAXBUFFER');
    expect(result.stdout.length).toBeLessThanOrEqual(8 * 1024 * 1024);
  });

  it('has no status when somebody kills it', async () => {
    const result = await runCommand(['/bin/sh', '-c', 'kill -9 $$']);
    expect(result.status).toBeUndefined();
    expect(result.stderr).toContain('SIGKILL');
  });
});
