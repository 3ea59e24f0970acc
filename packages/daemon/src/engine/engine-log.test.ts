import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLogFile } from '../process/log-file.ts';
import type { LogRecord } from '../schema/reply.ts';
import { EngineLog } from './engine-log.ts';

const line = (message: string) => ({ level: 'info', message }) as const;

describe('EngineLog', () => {
  const create = (written: LogRecord[], isVerbose = false): EngineLog =>
    new EngineLog({
      write: (record) => written.push(record),
      secrets: ['s3cret-key', 'abc'],
      isVerbose,
      unixMs: () => 0,
    });

  it('keeps the newest thousand lines and writes all', () => {
    const written: LogRecord[] = [];
    const log = create(written);
    for (let i = 0; i < 1500; i++) log.add(line(`${i}`));
    expect(written).toHaveLength(1500);
    expect(log.recent(5000)).toHaveLength(1000);
    expect(log.recent(2).map((record) => record.message)).toEqual(['1498', '1499']);
    expect(written[0]?.time).toBe('1970-01-01T00:00:00.000Z');
  });

  it('leaves debug lines out unless asked, and cuts endless ones', () => {
    const log = create([]);
    log.add({ level: 'debug', message: 'x' });
    log.add(line('y'.repeat(10_000)));
    expect(log.recent(9).map((record) => record.message.length)).toEqual([2000]);
    const verbose = create([], true);
    verbose.add({ level: 'debug', message: 'x' });
    expect(verbose.recent(9)).toHaveLength(1);
  });

  it('blanks out secrets, but not words that are too short to be one', () => {
    const log = create([]);
    log.add({ level: 'info', message: 'abc s3cret-key s3cret-key', fields: { a: 'x s3cret-key', b: true } });
    expect(log.recent(1)[0]).toMatchObject({
      message: 'abc [redacted] [redacted]',
      fields: { a: 'x [redacted]', b: true },
    });
  });

  it('survives a sink that fails', () => {
    const fail = (): never => {
      throw new Error('ENOSPC');
    };
    const log = new EngineLog({ write: fail, secrets: [], isVerbose: false, unixMs: () => 0 });
    log.add(line('x'));
    expect(log.recent(1)).toHaveLength(1);
  });
});

describe('the log file', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'heddle-log-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const record = (message: string): LogRecord => ({ time: 't', level: 'info', message });

  it('is appended to and turned over at its bound', () => {
    const path = join(dir, 'engine.log');
    const fd = openSync(path, 'a', 0o600);
    const write = createLogFile(fd, path);
    const block = 'x'.repeat(100_000);
    for (let i = 0; i < 200; i++) write(record(`${i} ${block}`));
    closeSync(fd);
    expect(statSync(path).size).toBeLessThan(8_600_000);
    expect(statSync(`${path}.1`).size).toBeLessThan(8_600_000);
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    expect(JSON.parse(lines.at(-1) as string).message).toMatch(/^199 /);
    expect(readFileSync(path).includes(0)).toBe(false);
  });

  it('counts the lines a full disk costs', () => {
    const path = join(dir, 'engine.log');
    const fd = openSync(path, 'a', 0o600);
    const write = createLogFile(fd, path);
    closeSync(fd);
    write(record('lost'));
    write(record('lost'));
    expect(openSync(path, 'a')).toBe(fd);
    write(record('kept'));
    closeSync(fd);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ message: 'kept', lostLines: 2 });
  });
});
