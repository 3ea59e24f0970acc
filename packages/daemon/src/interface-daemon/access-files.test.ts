import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AccessFiles } from './access-files.ts';

let folder: string;
let tokenFile: string;
let operatorsFile: string;
const logged: unknown[][] = [];
const log = (...line: unknown[]) => void logged.push(line);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-access-'));
  tokenFile = join(folder, 'token');
  operatorsFile = join(folder, 'daemon.yml');
  logged.length = 0;
});
afterEach(() => rmSync(folder, { recursive: true }));

const FIRST = 'the-first-token-of-all';
const SECOND = 'the-second-token-of-all';
const write = (path: string, text: string) => writeFileSync(path, text, { mode: 0o600 });
const open = () => new AccessFiles({ configRoot: folder, tokenFile, log });

describe('the files that say who may change things', () => {
  it('are read again when that is asked for', () => {
    write(tokenFile, FIRST);
    write(operatorsFile, 'operators: [1000]');
    const access = open();
    const { operatorUids } = access;
    write(tokenFile, SECOND);
    write(operatorsFile, 'operators: [1001, root]');
    expect([access.token, [...operatorUids]]).toEqual([FIRST, [1000]]);
    access.reload();
    expect([access.token, [...operatorUids]]).toEqual([SECOND, [1001, 0]]);
    rmSync(operatorsFile);
    access.reload();
    expect([...operatorUids]).toEqual([]);
    expect(logged).toEqual([]);
  });

  it('count as they were when they are bad, each by itself', () => {
    write(tokenFile, FIRST);
    write(operatorsFile, 'operators: [1000]');
    const access = open();
    write(tokenFile, 'short');
    write(operatorsFile, 'operators: [1001]');
    access.reload();
    expect([access.token, [...access.operatorUids]]).toEqual([FIRST, [1001]]);
    expect(logged.map(([level, message]) => [level, message])).toEqual([['warn', 'Kept the token of before']]);
    write(tokenFile, SECOND);
    for (const text of ['operators: [no-such-user-here]', 'operators: {', '[]']) {
      write(operatorsFile, text);
      access.reload();
      expect([access.token, [...access.operatorUids]]).toEqual([SECOND, [1001]]);
    }
    chmodSync(tokenFile, 0o644);
    access.reload();
    expect(access.token).toBe(SECOND);
    expect(JSON.stringify(logged)).not.toContain(SECOND);
  });

  it('are needed good at the start', () => {
    write(tokenFile, 'short');
    expect(open).toThrow(expect.objectContaining({ code: 'rest/bad-token-file' }));
    write(operatorsFile, 'operators: 1');
    expect(open).toThrow(expect.objectContaining({ code: 'team/bad-daemon-file' }));
  });

  it('are a new token when the old file was removed', () => {
    const access = open();
    const { token } = access;
    expect(readFileSync(tokenFile, 'utf8').trim()).toBe(token);
    rmSync(tokenFile);
    access.reload();
    expect(access.token).not.toBe(token);
    expect(readFileSync(tokenFile, 'utf8').trim()).toBe(access.token);
  });

  it('are no token where none is wanted', () => {
    const access = new AccessFiles({ configRoot: folder, tokenFile: undefined, log });
    access.reload();
    expect([access.token, existsSync(tokenFile)]).toEqual([undefined, false]);
  });
});
