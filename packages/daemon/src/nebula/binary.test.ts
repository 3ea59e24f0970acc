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
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findNebula } from './binary.ts';
import { formatVersion, isAtLeast, parseVersion } from './version.ts';

const UID = process.geteuid?.() ?? 0;

let folder = '';
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'heddle-binary-')));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function makeProgram(path: string, mode = 0o755): string {
  writeFileSync(path, '#!/bin/sh\n');
  chmodSync(path, mode);
  return path;
}

function find(path: string | undefined, searchPath = '', uid: number | undefined = UID): string {
  return findNebula({ path, searchPath, uid });
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'none';
}

describe.skipIf(process.platform === 'win32')('the Nebula program', () => {
  it('is found in the search path, where relative entries do not count', () => {
    const program = makeProgram(join(folder, 'nebula'));
    expect(find(undefined, ['.', '', '/does/not/exist', folder].join(delimiter))).toBe(program);
    expect(codeOf(() => find(undefined, '.:/does/not/exist'))).toBe('nebula/binary-missing');
  });

  it('may be named by the user, through a link too', () => {
    const program = makeProgram(join(folder, 'nebula-1.11'));
    symlinkSync(program, join(folder, 'link'));
    expect(find(program)).toBe(program);
    expect(find(join(folder, 'link'))).toBe(program);
  });

  it('is missing when it is relative, absent, a folder or not executable', () => {
    makeProgram(join(folder, 'plain'), 0o644);
    for (const path of ['nebula', join(folder, 'none'), folder, join(folder, 'plain')]) {
      expect(codeOf(() => find(path))).toBe('nebula/binary-missing');
    }
  });

  it.each([0o775, 0o757])('is unsafe with mode %o', (mode) => {
    const program = makeProgram(join(folder, 'nebula'), mode);
    expect(codeOf(() => find(program))).toBe('nebula/binary-unsafe');
    expect(codeOf(() => find(undefined, folder))).toBe('nebula/binary-unsafe');
  });

  it('is unsafe in or under a folder that others can write, or behind a link there', () => {
    const inner = join(folder, 'open', 'inner');
    mkdirSync(inner, { recursive: true });
    const program = makeProgram(join(inner, 'nebula'));
    const outer = makeProgram(join(folder, 'nebula'));
    symlinkSync(outer, join(folder, 'open', 'link'));
    expect(find(program)).toBe(program);
    chmodSync(join(folder, 'open'), 0o777);
    expect(codeOf(() => find(program))).toBe('nebula/binary-unsafe');
    expect(codeOf(() => find(join(folder, 'open', 'link')))).toBe('nebula/binary-unsafe');
    expect(find(outer)).toBe(outer);
    chmodSync(join(folder, 'open'), 0o1777);
    expect(find(program)).toBe(program);
    chmodSync(inner, 0o1777);
    expect(codeOf(() => find(program))).toBe('nebula/binary-unsafe');
  });

  it('is unsafe when it belongs to somebody else', () => {
    const program = makeProgram(join(folder, 'nebula'));
    if (UID === 0) chownSync(program, 12_345, 0);
    expect(codeOf(() => find(program, '', UID === 0 ? 0 : UID + 1))).toBe('nebula/binary-unsafe');
    if (UID === 0) expect(codeOf(() => find(program, '', 12_345))).toBe('none');
  });

  it('is not judged where files have no owner', () => {
    const program = makeProgram(join(folder, 'nebula'), 0o777);
    expect(findNebula({ path: program, searchPath: '', uid: undefined })).toBe(program);
  });
});

describe('the version', () => {
  it('is read from what the program prints', () => {
    expect(parseVersion('Version: 1.11.1\n')).toEqual({ major: 1, minor: 11, patch: 1 });
    expect(parseVersion('Version: 1.6.1')).toEqual({ major: 1, minor: 6, patch: 1 });
    expect(parseVersion('Version: 1.12.0-rc1+dfsg\n')).toEqual({ major: 1, minor: 12, patch: 0 });
  });

  it.each(['', 'Version: ', 'Version: devel', '1.2.3', 'Version: 1.2', 'Version: 1.2.3.4', 'Version: 999999.1.1'])(
    'is not in "%s"',
    (text) => expect(parseVersion(text)).toBeUndefined(),
  );

  it('is compared by number', () => {
    const version = { major: 1, minor: 11, patch: 0 };
    expect([isAtLeast(version, 1, 9), isAtLeast(version, 1, 11), isAtLeast(version, 1, 12)]).toEqual([
      true,
      true,
      false,
    ]);
    expect([isAtLeast(version, 0, 99), isAtLeast(version, 2, 0)]).toEqual([true, false]);
    expect(formatVersion(version)).toBe('1.11.0');
  });
});
