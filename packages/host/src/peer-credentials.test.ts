import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type PeerCredentials, readPeerCredentials } from './peer-credentials.ts';

describe.runIf(process.platform !== 'win32')('peer credentials', () => {
  it('name the user and the process at the other end', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'heddle-peer-'));
    let seen: PeerCredentials | undefined;
    const server = createServer((socket) => {
      seen = readPeerCredentials(socket);
      socket.end();
    });
    server.listen(join(dir, 's'));
    await once(server, 'listening');
    const client = connect(join(dir, 's'));
    client.resume();
    await once(client, 'close');
    server.close();
    rmSync(dir, { recursive: true });
    expect(seen).toMatchObject({ uid: process.getuid?.(), gid: process.getgid?.() });
    if (process.platform === 'linux') expect(seen?.pid).toBe(process.pid);
  });

  it('are absent for a socket without a descriptor', () => {
    expect(readPeerCredentials(new Socket())).toBeUndefined();
  });
});

describe('the client of a Windows pipe', () => {
  it('is an administrator, and that of anything else never without being asked for', () => {
    expect(readPeerCredentials(new Socket(), 'win32')).toEqual({ uid: 0, gid: 0, pid: undefined });
    for (const platform of ['linux', 'darwin', 'freebsd', 'sunos'] as const) {
      expect(readPeerCredentials(new Socket(), platform)).toBeUndefined();
    }
  });
});
