import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { escapeSpecifiers, quoteArgument, quoteListedPath, quoteProgram } from './systemd-quoting.ts';

const hasAnalyzer = spawnSync('systemd-analyze', ['--version']).status === 0;
const NEEDS_ANALYZER = hasAnalyzer ? '' : ' (skipped: systemd-analyze is not installed)';

/** Reads a command line as systemd.service(5) describes it: words, quotes, escapes, specifiers, variables. */
function readCommandLine(line: string): string[] {
  const words: string[] = [];
  const pattern = /"((?:[^"\\]|\\.)*)"|([^\s"]+)/gy;
  for (let rest = line.trimStart(); rest !== ''; rest = rest.slice(pattern.lastIndex).trimStart()) {
    pattern.lastIndex = 0;
    const match = pattern.exec(rest);
    if (match === null) throw new Error(`Cannot read ${rest}`);
    words.push(match[1] === undefined ? (match[2] as string) : match[1].replaceAll(/\\(.)/gs, '$1'));
  }
  return words.map((word, i) => expandVariables(expandSpecifiers(word), i));
}

function expandSpecifiers(word: string): string {
  return word.replaceAll(/%(.)?/gs, (_, letter) => (letter === '%' ? '%' : `<specifier ${letter}>`));
}

function expandVariables(word: string, position: number): string {
  if (position === 0) return word;
  return word.replaceAll(/\$(\$|\{|[A-Za-z_])?/g, (text, next) => (next === '$' ? '$' : `<variable ${text}>`));
}

const nasty = fc.string({ unit: fc.constantFrom('$', '%', '{', '}', '"', '\\', ' ', ';', '#', 'h', 'ü', '/') });

describe('a word of a command', () => {
  it('is read by systemd as it was meant', () => {
    fc.assert(
      fc.property(nasty, fc.array(nasty), (program, args) => {
        const line = [quoteProgram(`/${program}`), ...args.map(quoteArgument)].join(' ');
        expect(readCommandLine(line)).toEqual([`/${program}`, ...args]);
      }),
    );
  });

  it('is plain where it can be', () => {
    expect(quoteArgument('--config-root')).toBe('--config-root');
    expect(quoteArgument('/var/run/tech.deltaops.cvpn/cmd.sock')).toBe('/var/run/tech.deltaops.cvpn/cmd.sock');
  });

  it('keeps blanks, percent signs and dollars', () => {
    expect(quoteArgument(`/a b/100%h/$HOME/\${X}`)).toBe(`"/a b/100%%h/$$HOME/$\${X}"`);
    expect(quoteArgument('')).toBe('""');
    expect(quoteProgram('/a b/100%h/$HOME')).toBe('"/a b/100%%h/$HOME"');
  });
});

it('a path of a list keeps its blanks, a path of a condition takes the rest of the line', () => {
  expect(quoteListedPath('-/a b%h$X')).toBe('"-/a b%%h$X"');
  expect(quoteListedPath('-/a/b')).toBe('-/a/b');
  expect(escapeSpecifiers('/a b%h$X')).toBe('/a b%%h$X');
});

describe('systemd itself', () => {
  let folder: string | undefined;
  afterEach(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  const verify = (program: string): string => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-quoting-'));
    const path = join(folder, `a b%h$HOME\${X};#ü/pro gram`);
    mkdirSync(dirname(path));
    writeFileSync(path, '#!/bin/sh\n');
    chmodSync(path, 0o755);
    const unit = join(folder, 'heddle-quoting.service');
    writeFileSync(unit, `[Service]\nExecStart=${program.replace('PATH', quoteProgram(path))} ${quoteArgument(path)}\n`);
    const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', unit], { encoding: 'utf8' });
    return `${stdout}${stderr}`;
  };

  it.skipIf(!hasAnalyzer)(`finds a program with a nasty path${NEEDS_ANALYZER}`, () => {
    expect(verify('PATH')).not.toContain('heddle-quoting.service');
  });

  it.skipIf(!hasAnalyzer)(`would say if it did not${NEEDS_ANALYZER}`, () => {
    expect(verify('/does/not/exist PATH')).toContain('heddle-quoting.service');
  });
});
