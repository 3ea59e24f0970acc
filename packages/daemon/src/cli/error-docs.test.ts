import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { describe, expect, it } from 'vitest';
import { describeFailure } from './failure.ts';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const FOLDERS = ['packages/daemon/src', 'packages/tailnet/src/state'];
const OURS = /'((?:usage|cli|connect|wait|disconnect|engine|ipc|state)\/[a-z-]+)'/g;

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(folder, name), 'utf8'));
}

const codes = new Set(
  FOLDERS.flatMap((folder) => sources(join(ROOT, folder))).flatMap((text) =>
    [...text.matchAll(OURS)].map((match) => match[1] as string),
  ),
);

describe('every error code', () => {
  it('is in the guide', () => {
    const guide = readFileSync(join(ROOT, 'docs/guide/errors.md'), 'utf8');
    expect(codes.size).toBeGreaterThan(30);
    expect([...codes].filter((code) => !guide.includes(`| \`${code}\` |`))).toEqual([]);
  });

  it('has one line, a next step and an exit status', () => {
    for (const code of [...codes, 'control/new', 'unknown/new']) {
      const failure = describeFailure(new TailnetError(code, 'two\n  lines'));
      expect(failure).toMatchObject({ code, message: 'two lines' });
      expect(failure.next).not.toBe('');
      expect(failure.exitStatus).toBeGreaterThan(0);
    }
    expect(describeFailure(new Error('x')).code).toBe('cli/internal');
    expect(describeFailure('x')).toMatchObject({ code: 'cli/internal', message: 'x' });
  });
});
