import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseRequest } from '../schema/request.ts';
import { type ControlServer, startControlServer } from './control-server.ts';
import { checkSocketPath, defaultSupervisorPath, isPipePath } from './socket-path.ts';

const PIPE = '\\\\.\\pipe\\heddle-test';

describe('the name of a pipe', () => {
  it('is one on Windows only, in any case of letters', () => {
    expect(['\\\\.\\pipe\\x', '\\\\.\\PIPE\\x'].map((path) => isPipePath(path, 'win32'))).toEqual([true, true]);
    expect(['/run/x.sock', 'C:\\pipe\\x', '\\\\server\\pipe\\x'].map((path) => isPipePath(path, 'win32'))).toEqual([
      false,
      false,
      false,
    ]);
    expect(isPipePath(PIPE, 'linux')).toBe(false);
  });
  it('is the one that clients know', () => {
    expect(defaultSupervisorPath('win32')).toBe('\\\\.\\pipe\\tech.deltaops.cvpn.cmd');
    expect(defaultSupervisorPath('linux')).toBe('/var/run/tech.deltaops.cvpn/cmd.sock');
  });
});

// Elsewhere such a name is that of a socket in the working folder: enough to see what is done to the file system around it.
describe.skipIf(process.platform === 'win32')('a pipe', () => {
  const realPlatform = Object.getOwnPropertyDescriptor(process, 'platform') as PropertyDescriptor;
  const realCwd = process.cwd();
  let dir: string;
  const servers: ControlServer[] = [];
  const start = async (): Promise<void> => {
    const options = { parse: parseRequest, isRead: () => true, subscribe: () => () => {} };
    servers.push(await startControlServer({ ...options, socketPath: PIPE, answer: async () => ({ message: 'yes' }) }));
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'heddle-pipe-'));
    process.chdir(dir);
    Object.defineProperty(process, 'platform', { ...realPlatform, value: 'win32' });
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.close();
    Object.defineProperty(process, 'platform', realPlatform);
    process.chdir(realCwd);
    rmSync(dir, { recursive: true, force: true });
  });

  it('needs neither folder nor lock, and nothing is removed for it', async () => {
    await start();
    expect(readdirSync(dir)).toEqual([PIPE]);
    await servers.pop()?.close();
    expect(readdirSync(dir)).toEqual([]);
  });

  it('of a living daemon refuses a second one and names the first', async () => {
    await start();
    await expect(start()).rejects.toMatchObject({
      code: 'ipc/already-running',
      message: expect.stringContaining(`process ${process.pid}`),
    });
    await servers.pop()?.close();
    await start();
  });

  it('is given to one of two that start at once', async () => {
    const results = await Promise.allSettled([start(), start()]);
    const reasons = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    expect(reasons).toMatchObject([{ code: 'ipc/already-running' }]);
    expect(servers).toHaveLength(1);
  });

  it('has a name of at most 256 characters', () => {
    checkSocketPath('\\\\.\\pipe\\'.padEnd(256, 'x'));
    expect(() => checkSocketPath('\\\\.\\pipe\\'.padEnd(257, 'x'))).toThrow('256');
  });
});
