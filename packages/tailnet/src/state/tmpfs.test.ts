import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmdirSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadOrCreateKeys } from './node-keys.ts';
import { openStateDir } from './state-dir.ts';

const crypto = { x25519PublicKey: () => new Uint8Array(32) };
const rng = { fill: (bytes: Uint8Array) => bytes.fill(1) };
const controlUrl = 'http://localhost';

/** Mounts a file system of 16 KiB; undefined where that is not allowed. */
function mountSmall(): string | undefined {
  const path = mkdtempSync(join(tmpdir(), 'heddle-tmpfs-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k,mode=700', 'heddle-test', path], { stdio: 'ignore' });
    return path;
  } catch {
    rmdirSync(path);
    return undefined;
  }
}

describe('a file system that is really full', () => {
  it('is reported, and the node starts once there is room', (context) => {
    const path = process.platform === 'linux' && process.getuid?.() === 0 ? mountSmall() : undefined;
    if (path === undefined) return context.skip('needs root and mount');
    try {
      const { bavail, bsize } = statfsSync(path);
      writeFileSync(join(path, 'engine.log'), new Uint8Array(bavail * bsize));
      const dir = openStateDir(path);
      expect(() => loadOrCreateKeys({ dir, crypto, rng, controlUrl })).toThrow(/No space left/);
      expect(readdirSync(path).sort()).toEqual(['engine.log', 'lock.1']);
      writeFileSync(join(path, 'engine.log'), '');
      const keys = loadOrCreateKeys({ dir, crypto, rng, controlUrl });
      dir.close();
      expect(loadOrCreateKeys({ dir: openStateDir(path), crypto, rng, controlUrl }).nodeKey.exposeText()).toBe(
        keys.nodeKey.exposeText(),
      );
    } finally {
      execFileSync('umount', [path]);
      rmdirSync(path);
    }
  });
});
