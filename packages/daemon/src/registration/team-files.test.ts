import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeFileSystem } from '@heddle/tailnet/state/state-files';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failureOf } from '../../../../tests/support/team-api/team-fixture.ts';
import { readTeamFile, readWithCopy, removeTeamFile, writeTeamFile, writeWithCopy } from './team-files.ts';
import { listTeamFolders, prepareTeamFolder, type TeamFolder, teamFolder, withTeamLock } from './team-folder.ts';
import { isTeamName, parseTeamName } from './team-name.ts';

let root: string;
let folder: TeamFolder;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'heddle-files-'));
  folder = teamFolder(root, parseTeamName('acme'), nodeFileSystem);
  prepareTeamFolder(folder);
});
afterEach(() => rmSync(root, { recursive: true }));

const at = (name: string): string => join(root, 'acme', name);
const parse = (text: string): string | undefined => (text.endsWith('.') ? text : undefined);

describe('the name of a team', () => {
  it('is what the daemon takes for one, and nothing that leaves a folder', () => {
    for (const name of ['a', 'acme', 'a-b_c', '0', 'a'.repeat(64)]) expect(isTeamName(name)).toBe(true);
    for (const name of [
      '',
      '.',
      '..',
      'a/b',
      'a\\b',
      '-a',
      'a-',
      '_a',
      'a.b',
      'a b',
      'a\n',
      'ä',
      'a\0',
      'a'.repeat(65),
    ]) {
      expect(isTeamName(name)).toBe(false);
    }
  });
});

describe('the folder of a team', () => {
  it('is narrowed to its owner', () => {
    chmodSync(join(root, 'acme'), 0o755);
    prepareTeamFolder(folder);
    expect(statSync(join(root, 'acme')).mode & 0o777).toBe(0o700);
  });

  it('is found below the root when it has a good name and is no link', () => {
    for (const name of ['zeta', '.hidden', 'bad name']) mkdirSync(join(root, name));
    writeFileSync(join(root, 'file'), '');
    symlinkSync(join(root, 'zeta'), join(root, 'link'));
    expect(listTeamFolders(root, nodeFileSystem).map(({ team }) => team)).toEqual(['acme', 'zeta']);
    expect(listTeamFolders(join(root, 'none'), nodeFileSystem)).toEqual([]);
  });

  it('has one writer at a time', async () => {
    await withTeamLock(folder, async () => {
      const error = await failureOf(() => withTeamLock(folder, async () => {}));
      expect(error).toMatchObject({ code: 'registration/busy', isRetryable: true });
    });
    expect(await withTeamLock(folder, async () => 'free')).toBe('free');
  });

  it.runIf(process.getuid?.() === 0)('of somebody else is not touched', async () => {
    chownSync(join(root, 'acme'), 12345, 12345);
    expect((await failureOf(() => prepareTeamFolder(folder))).code).toBe('registration/unsafe-folder');
    expect((await failureOf(() => readTeamFile(folder, 'config.yml'))).code).toBe('registration/unsafe-folder');
    expect((await failureOf(() => writeTeamFile(folder, 'config.yml', 'x'))).code).toBe('registration/unsafe-folder');
  });

  it('in which others can write is not touched', async () => {
    chmodSync(join(root, 'acme'), 0o770);
    expect((await failureOf(() => writeTeamFile(folder, 'node.key', 'x'))).code).toBe('registration/unsafe-folder');
  });
});

describe('a file of a team', () => {
  it('is replaced with mode 0600, whatever it had', () => {
    writeFileSync(at('node.key'), 'old', { mode: 0o644 });
    writeTeamFile(folder, 'node.key', 'new');
    expect(readFileSync(at('node.key'), 'utf8')).toBe('new');
    expect(statSync(at('node.key')).mode & 0o777).toBe(0o600);
  });

  it('is never read or written through a link', async () => {
    writeFileSync(join(root, 'victim'), 'untouched');
    for (const name of ['node.key', 'credentials.json', 'config.yml'] as const) {
      symlinkSync(join(root, 'victim'), at(name));
      expect((await failureOf(() => writeTeamFile(folder, name, 'x'))).code).toBe('registration/unsafe-folder');
      expect((await failureOf(() => readTeamFile(folder, name))).code).toBe('registration/unsafe-folder');
    }
    expect(readFileSync(join(root, 'victim'), 'utf8')).toBe('untouched');
  });

  it('is not read when it is no regular file, or larger than any of ours', async () => {
    mkdirSync(at('node.key'));
    expect((await failureOf(() => readTeamFile(folder, 'node.key'))).code).toBe('registration/unsafe-folder');
    writeFileSync(at('config.yml'), '');
    truncateSync(at('config.yml'), 5_000_000);
    expect((await failureOf(() => readTeamFile(folder, 'config.yml'))).code).toBe('registration/unsafe-folder');
  });

  it('keeps its old text when the disk is full', async () => {
    writeTeamFile(folder, 'config.yml', 'old');
    const fsyncSync = (): never => {
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    };
    const full = { ...folder, fs: { ...nodeFileSystem, fsyncSync } };
    const error = await failureOf(() => writeTeamFile(full, 'config.yml', 'new'));
    expect(error).toMatchObject({ code: 'registration/disk-full', isRetryable: true });
    expect(readFileSync(at('config.yml'), 'utf8')).toBe('old');
  });

  it('that is gone is removed without complaint', () => {
    removeTeamFile(folder, '.pending.json');
  });
});

describe('a file with a copy', () => {
  it('is answered from the copy when it is damaged or missing, and left as it is', () => {
    writeWithCopy(folder, 'config.yml', 'whole.');
    expect(readWithCopy(folder, 'config.yml', parse)).toEqual({ value: 'whole.', text: 'whole.', isFromCopy: false });
    writeFileSync(at('config.yml'), 'who');
    expect(readWithCopy(folder, 'config.yml', parse)).toMatchObject({ value: 'whole.', isFromCopy: true });
    expect(readFileSync(at('config.yml'), 'utf8')).toBe('who');
    rmSync(at('config.yml'));
    expect(readWithCopy(folder, 'config.yml', parse)).toMatchObject({ value: 'whole.', isFromCopy: true });
  });

  it('is refused when both are damaged, and missing when both are missing', async () => {
    expect(readWithCopy(folder, 'config.yml', parse)).toBeUndefined();
    writeWithCopy(folder, 'config.yml', 'half');
    expect((await failureOf(() => readWithCopy(folder, 'config.yml', parse))).code).toBe('registration/damaged-file');
  });
});
