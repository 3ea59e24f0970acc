import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rotateLog } from './log-rotation.ts';
import { readLogTail, readTail } from './log-tail.ts';

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'heddle-log-'));
  path = join(dir, 'team.log');
});
afterEach(() => rmSync(dir, { recursive: true }));

describe('a log that another program writes', () => {
  it('is left alone while it is small, and where there is none', () => {
    rotateLog(path, 10);
    writeFileSync(path, '0123456789');
    rotateLog(path, 10);
    expect(readFileSync(path, 'utf8')).toBe('0123456789');
    expect(existsSync(`${path}.1`)).toBe(false);
  });
  it('is emptied in place when it is large, and the last three are kept', () => {
    for (let i = 1; i <= 5; i++) {
      appendFileSync(path, `this is number ${i}`);
      rotateLog(path, 10);
      expect(statSync(path).size).toBe(0);
    }
    const kept = ['.1', '.2', '.3'].map((suffix) => readFileSync(path + suffix, 'utf8'));
    expect(kept).toEqual(['this is number 5', 'this is number 4', 'this is number 3']);
    expect(existsSync(`${path}.4`)).toBe(false);
  });
});

describe('the tail of a log', () => {
  it('is its newest lines, those of JSON as values', () => {
    writeFileSync(path, 'plain\n{"level":"info"}\n\n{"cut');
    expect(readLogTail(path, 10)).toEqual(['plain', { level: 'info' }, '{"cut']);
    expect(readLogTail(path, 1)).toEqual(['{"cut']);
  });
  it('begins where a process began, or at the start of a file that was emptied since', () => {
    writeFileSync(path, 'of before\n');
    const offset = statSync(path).size;
    appendFileSync(path, 'of now\n');
    expect(readTail(path, offset)).toBe('of now\n');
    writeFileSync(path, 'new\n');
    expect(readTail(path, offset)).toBe('new\n');
  });
  it('is bounded, and begins with a whole line', () => {
    writeFileSync(path, Array.from({ length: 50_000 }, (_, i) => `line ${i}\n`).join(''));
    const text = readTail(path) as string;
    expect(text.length).toBeLessThanOrEqual(262_144);
    expect(text).toMatch(/^line \d+\n/);
    expect(text.endsWith('line 49999\n')).toBe(true);
  });
  it('of a file that is not there is nothing', () => {
    expect(readTail(path)).toBeUndefined();
    expect(readLogTail(path, 10)).toEqual([]);
  });
});
