import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CommandOutcome, runCommand } from './command-runner.ts';
import { checkNebula, exitClassOfNebulaCheck, formatNebulaCheck, type NebulaCheck } from './nebula-check.ts';

let folder: string;
let binary: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'heddle-nebula-')));
  binary = join(folder, 'nebula');
  writeFileSync(binary, '#!/bin/sh\necho "Version: 1.9.7"\n', { mode: 0o755 });
});
afterEach(() => rmSync(folder, { recursive: true }));

const exited = (stdout: string, status = 0): CommandOutcome => ({ kind: 'exited', status, stdout });

async function check(
  outcome?: CommandOutcome,
  given: { binary?: string | undefined; searchPath?: string } = { binary },
): Promise<NebulaCheck> {
  const run = outcome === undefined ? runCommand : async () => outcome;
  const uid = process.geteuid?.();
  const result = await checkNebula({ binary: undefined, searchPath: undefined, uid, run, ...given });
  expect(formatNebulaCheck(result)).toMatch(/^Nebula .+\n$/);
  expect(exitClassOfNebulaCheck(result) === undefined).toBe(result.kind === 'ok');
  return result;
}

describe('the Nebula program', () => {
  it('is run for its version', async () => {
    expect(await check()).toEqual({ kind: 'ok', path: binary, version: '1.9.7' });
  });

  it('is found along the path, behind a link, and not in a relative folder', async () => {
    mkdirSync(join(folder, 'bin'));
    symlinkSync(binary, join(folder, 'bin/nebula'));
    expect(await check(undefined, { searchPath: `/nonexistent:${join(folder, 'bin')}` })).toMatchObject({
      path: binary,
    });
    expect(await check(undefined, { searchPath: '.::bin' })).toMatchObject({ kind: 'missing' });
  });

  it.each([
    ['Version: 1.6.1\n', 'ok'],
    ['Version: 1.11.1\nBuild: x\n', 'ok'],
    ['Version: 1.10.0-beta.1+dfsg', 'ok'],
    ['Version: 2.0.0', 'ok'],
    ['Version: 1.5.2', 'too-old'],
    ['Version: 0.9.0', 'too-old'],
    ['Usage of nebula:', 'unusable'],
    ['', 'unusable'],
    ['Version: \u001b[2J', 'unusable'],
  ])('that says %j is %s', async (stdout, kind) => {
    expect((await check(exited(stdout))).kind).toBe(kind);
  });

  it('that does not run is of no use', async () => {
    expect(await check(exited('Version: 1.9.7', 2))).toMatchObject({ kind: 'unusable', reason: 'exit status 2' });
    expect(await check({ kind: 'failed', reason: 'timeout' })).toMatchObject({ kind: 'unusable', reason: 'timeout' });
  });

  it('that is missing or not executable is missing', async () => {
    chmodSync(binary, 0o644);
    expect(await check()).toEqual({ kind: 'missing', reason: expect.stringContaining(binary) });
    expect((await check(undefined, { binary: folder })).kind).toBe('missing');
  });

  it('that others can change is not run', async () => {
    chmodSync(binary, 0o777);
    expect(await check()).toMatchObject({ kind: 'unsafe', reason: expect.stringContaining(binary) });
  });

  it.runIf(process.getuid?.() === 0)('of another user is not run', async () => {
    chownSync(binary, 12345, 12345);
    expect(await check()).toMatchObject({ kind: 'unsafe', reason: expect.stringContaining('12345') });
  });
});
