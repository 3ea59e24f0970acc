import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { describe, expect, it } from 'vitest';
import { describeFailure } from './failure.ts';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
/** Every string that looks like a code, in any package: a new room is to be added here. */
const CODE =
  /['"`]((?:usage|cli|connect|wait|disconnect|engine|serve|forward|ipc|socket|state|proxy|listen|dial|ping|tailnet|control|derp|lab|team|plan|nebula|service|registration|rest|tun|subnet|allocation|interface)\/[a-z]+(?:-[a-z0-9]+)*)['"`]/g;
const THROWN = /new (?:Tailnet|Control)Error\(\s*['"`]([^'"`]+)['"`]/g;
const ROW = /^\| `([a-z]+\/[a-z0-9-]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm;

function sources(): string[] {
  return readdirSync(join(ROOT, 'packages')).flatMap((name) => {
    const folder = join(ROOT, 'packages', name, 'src');
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
      .map((path) => readFileSync(join(folder, path), 'utf8'));
  });
}

const texts = sources();
const codesBy = (pattern: RegExp): string[] =>
  texts.flatMap((text) => [...text.matchAll(pattern)].map((match) => match[1] as string));
const codes = [...new Set(codesBy(CODE))].sort();
const rows = [...readFileSync(join(ROOT, 'docs/guide/errors.md'), 'utf8').matchAll(ROW)].map(
  ([, code = '', when = '', next = '', exit = '']) => ({ code, when, next, exit }),
);

describe('every error code', () => {
  it('of any package is in the guide, once, and the guide has no other', () => {
    expect(codes.length).toBeGreaterThan(80);
    expect(rows.map(({ code }) => code).sort()).toEqual(codes);
  });

  it('that is thrown is of a known room', () => {
    expect(codesBy(THROWN).length).toBeGreaterThan(60);
    expect(codesBy(THROWN).filter((code) => !codes.includes(code))).toEqual([]);
  });

  it('has the meaning, the next step and the exit status that the guide says', () => {
    for (const { code, when, next, exit } of rows) {
      expect([code, when.trim(), next.trim()]).not.toContain('');
      if (exit !== '–')
        expect(`${code} ${exit}`).toBe(`${code} ${describeFailure(new TailnetError(code, 'x')).exitStatus}`);
    }
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
