import {
  appendFileSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LogRecord, logRecordShape } from '../schema/reply.ts';
import { formatLogRecord, LOG_TEXT_LENGTH_MAX } from './log-text.ts';
import { writeToFile } from './rotating-file.ts';
import { openSplitLog, SPLIT_LOG_BYTES_MAX, type SplitLog, type SplitLogOptions } from './split-log.ts';

const TIME = '2026-11-21T04:37:15.123Z';
const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

let folder = '';
let logFile = '';
let errFile = '';
const opened: SplitLog[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-split-log-'));
  logFile = join(folder, 'tun_daemon.log');
  errFile = join(folder, 'tun_daemon.err');
});
afterEach(() => {
  for (const log of opened.splice(0)) log.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(options: Partial<SplitLogOptions> = {}): SplitLog {
  const all = { logFile, errFile, format: 'json', bytesMax: SPLIT_LOG_BYTES_MAX, writeBytes: writeToFile } as const;
  const log = openSplitLog({ ...all, ...options });
  opened.push(log);
  return log;
}

function record(message: string, level: LogRecord['level'] = 'info', fields?: LogRecord['fields']): LogRecord {
  return { time: TIME, level, message, ...(fields === undefined ? {} : { fields }) };
}

const linesOf = (path: string): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1);
const messagesOf = (path: string): string[] => linesOf(path).map((line) => JSON.parse(line).message);

describe('a log in two files', () => {
  it('has each record in one of them, by its level', () => {
    const log = open();
    for (const level of LEVELS) log.write(record(`at ${level}`, level));
    expect(messagesOf(logFile)).toEqual(['at debug', 'at info']);
    expect(messagesOf(errFile)).toEqual(['at warn', 'at error']);
  });

  it('goes on where it ended, and leaves the mode of a file that was there', () => {
    writeFileSync(logFile, '{"message":"before"}\n', { mode: 0o600 });
    open().write(record('after'));
    expect(messagesOf(logFile)).toEqual(['before', 'after']);
    expect(statSync(logFile).mode & 0o777).toBe(0o600);
  });

  it('may be read by the group, whatever the umask', () => {
    const umask = process.umask(0o077);
    try {
      open().write(record('x'));
    } finally {
      process.umask(umask);
    }
    expect([logFile, errFile].map((path) => statSync(path).mode & 0o777)).toEqual([0o640, 0o640]);
  });

  it('may be one file', () => {
    const log = open({ errFile: logFile, bytesMax: 300 });
    for (let i = 0; i < 8; i++) log.write(record(`${i}`, i % 2 === 0 ? 'info' : 'error'));
    log.reopen();
    log.write(record('8'));
    expect(messagesOf(`${logFile}.1`).concat(messagesOf(logFile)).slice(-4)).toEqual(['5', '6', '7', '8']);
  });

  it('says which file it cannot open', () => {
    expect(() => open({ errFile: join(folder, 'missing/x.err') })).toThrow(/ENOENT.*missing\/x\.err/);
    expect(() => open({ logFile: folder })).toThrow(/EISDIR/);
  });

  it('is silent after it was closed', () => {
    const log = open();
    log.close();
    log.close();
    log.reopen();
    log.write(record('late'));
    expect(linesOf(logFile)).toEqual([]);
  });

  it('goes to standard error where there is no file', () => {
    const lines: [number, string][] = [];
    const writeBytes = (fd: number, bytes: Uint8Array) =>
      lines.push([fd, new TextDecoder().decode(bytes)]) && bytes.length;
    const log = open({ logFile: undefined, errFile: undefined, format: 'text', writeBytes });
    log.write(record('one'));
    log.write(record('two', 'error'));
    log.reopen();
    expect(lines).toEqual([
      [2, `${TIME} INFO one\n`],
      [2, `${TIME} ERROR two\n`],
    ]);
  });
});

describe('a file that somebody else renamed', () => {
  it('is written to until it is reopened, and then the new one', () => {
    const log = open();
    log.write(record('first'));
    renameSync(logFile, `${logFile}-old`);
    renameSync(errFile, `${errFile}-old`);
    log.write(record('second'));
    log.reopen();
    log.write(record('third'));
    log.write(record('fourth', 'warn'));
    expect(messagesOf(`${logFile}-old`)).toEqual(['first', 'second']);
    expect(messagesOf(logFile)).toEqual(['third']);
    expect(messagesOf(errFile)).toEqual(['fourth']);
  });

  it('stays in use when a new one cannot be opened', () => {
    const log = open();
    renameSync(logFile, `${logFile}-old`);
    mkdirSync(logFile);
    log.reopen();
    log.write(record('kept'));
    log.write(record('beside', 'error'));
    expect(messagesOf(`${logFile}-old`)).toEqual(['kept']);
    expect(messagesOf(errFile)).toEqual(['beside']);
  });
});

describe('a file that is full', () => {
  it('makes room before the line that would make it too long, and the older ones move on, five of them', () => {
    const lineBytes = formatLogRecord(record('00'), 'json', 0).length;
    const log = open({ bytesMax: 2 * lineBytes });
    for (let i = 0; i < 20; i++) log.write(record(String(i).padStart(2, '0')));
    expect(messagesOf(logFile)).toEqual(['18', '19']);
    expect([1, 2, 3, 4, 5].map((i) => messagesOf(`${logFile}.${i}`))).toEqual([
      ['16', '17'],
      ['14', '15'],
      ['12', '13'],
      ['10', '11'],
      ['08', '09'],
    ]);
    expect(readdirSync(folder)).toHaveLength(7);
    expect(statSync(`${logFile}.5`).mode & 0o777).toBe(0o640);
  });

  it.skipIf(process.getuid?.() !== 0)('is readable for the group that could read the older one (as root only)', () => {
    const log = open({ bytesMax: 100 });
    chownSync(logFile, -1, 4);
    for (let i = 0; i < 3; i++) log.write(record(`line ${i}`));
    expect([logFile, `${logFile}.1`].map((path) => statSync(path).gid)).toEqual([4, 4]);
  });

  it('is one of two: the other stays', () => {
    const log = open({ bytesMax: 200 });
    for (let i = 0; i < 5; i++) log.write(record(`line ${i}`, 'error'));
    log.write(record('alone'));
    expect(existsSync(`${errFile}.1`)).toBe(true);
    expect(existsSync(`${logFile}.1`)).toBe(false);
  });

  it('counts what was in it when it was opened', () => {
    writeFileSync(logFile, 'x'.repeat(190));
    open({ bytesMax: 200 }).write(record('new'));
    expect(statSync(`${logFile}.1`).size).toBe(190);
    expect(messagesOf(logFile)).toEqual(['new']);
  });

  it('takes a line that is longer than itself', () => {
    const log = open({ bytesMax: 10 });
    log.write(record('a'));
    log.write(record('b'));
    expect([messagesOf(`${logFile}.1`), messagesOf(logFile)]).toEqual([['a'], ['b']]);
  });

  it('is emptied when it cannot be renamed, for it may not grow for ever', () => {
    // Folders with something in them cannot be replaced by a file.
    for (const i of [1, 2, 3, 4, 5]) mkdirSync(`${logFile}.${i}/x`, { recursive: true });
    const log = open({ bytesMax: 200 });
    for (let i = 0; i < 50; i++) log.write(record(`line ${i}`));
    expect(statSync(logFile).size).toBeLessThanOrEqual(200);
    expect(messagesOf(logFile).at(-1)).toBe('line 49');
  });

  it('has 10 MiB', () => {
    writeFileSync(logFile, '');
    appendFileSync(logFile, new Uint8Array(10_485_760 - 1000).fill(0x0a));
    const log = open();
    log.write(record('fits'));
    expect(existsSync(`${logFile}.1`)).toBe(false);
    log.write(record('x'.repeat(1000)));
    expect(existsSync(`${logFile}.1`)).toBe(true);
  });
});

describe('a full disk', () => {
  const full = (): never => {
    throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  };

  it('loses lines, and the first line after it says how many', () => {
    let isFull = false;
    const log = open({ writeBytes: (fd, bytes) => (isFull ? full() : writeToFile(fd, bytes)) });
    log.write(record('before'));
    isFull = true;
    for (let i = 0; i < 3; i++) log.write(record('lost'));
    log.write(record('lost', 'error'));
    isFull = false;
    for (const message of ['after', 'and on']) log.write(record(message));
    log.write(record('other', 'error'));
    const lost = (path: string) => linesOf(path).map((line) => [JSON.parse(line).message, JSON.parse(line).lostLines]);
    expect(lost(logFile)).toEqual([
      ['before', undefined],
      ['after', 3],
      ['and on', undefined],
    ]);
    expect(lost(errFile)).toEqual([['other', 1]]);
  });

  it('that takes half a line does not spoil the next one', () => {
    let room = Number.POSITIVE_INFINITY;
    const writeBytes = (fd: number, bytes: Uint8Array): number => {
      if (room === 0) return full();
      const count = writeToFile(fd, bytes.subarray(0, room));
      room -= count;
      return count;
    };
    const log = open({ writeBytes });
    room = 20;
    log.write(record('torn'));
    log.write(record('lost'));
    room = Number.POSITIVE_INFINITY;
    log.write(record('whole'));
    const [torn, whole] = linesOf(logFile);
    expect(torn).toHaveLength(20);
    expect(JSON.parse(whole as string)).toMatchObject({ message: 'whole', lostLines: 2 });
  });
});

describe('a line', () => {
  it('of text has time, level, message and fields', () => {
    const fields = { uid: 1000, method: 'POST', path: '/tun', ok: true, why: 'no "room" left', none: '', sum: 'a=b' };
    expect(formatLogRecord(record('Device made', 'info', fields), 'text', 0)).toBe(
      `${TIME} INFO Device made uid=1000 method=POST path=/tun ok=true why="no \\"room\\" left" none="" sum="a=b"\n`,
    );
    expect(formatLogRecord(record('x', 'error'), 'text', 7)).toBe(`${TIME} ERROR x lostLines=7\n`);
  });

  it('of JSON is the record', () => {
    const whole = record('Device made', 'warn', { uid: 1000 });
    expect(JSON.parse(formatLogRecord(whole, 'json', 0))).toEqual(whole);
  });

  it('shows what a client tried to hide', () => {
    const message = 'a\nb\r\u001b[31m\u0085\u2028\u202ec\u007f';
    expect(formatLogRecord(record(message), 'text', 0)).toBe(
      `${TIME} INFO a\\u000ab\\u000d\\u001b[31m\\u0085\\u2028\\u202ec\\u007f\n`,
    );
    expect(formatLogRecord(record('x', 'info', { 'k\n=': '\u009b31m' }), 'text', 0)).toBe(
      `${TIME} INFO x "k\\n="=\\u009b31m\n`,
    );
  });

  it('is cut where it is too long', () => {
    const long = 'x'.repeat(100_000);
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, long]));
    for (const format of ['json', 'text'] as const) {
      expect(formatLogRecord(record(long), format, 0).length).toBeLessThan(LOG_TEXT_LENGTH_MAX + 100);
      expect(formatLogRecord(record(long, 'info', many), format, 0).length).toBeLessThan(40 * LOG_TEXT_LENGTH_MAX);
    }
  });

  it('is one line without control characters whatever was logged, and of JSON the record again', () => {
    const text = fc.string({ unit: 'binary', maxLength: 200 });
    const fields = fc.dictionary(text, fc.oneof(text, fc.integer(), fc.boolean()), { maxKeys: 8 });
    fc.assert(
      fc.property(text, fc.constantFrom(...LEVELS), fields, (message, level, some) => {
        const whole = record(message, level, some);
        for (const format of ['json', 'text'] as const) {
          const line = formatLogRecord(whole, format, 0);
          expect(line.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u);
          expect(line.endsWith('\n')).toBe(true);
        }
        const parsed = JSON.parse(formatLogRecord(whole, 'json', 0));
        expect(logRecordShape(parsed)).toMatchObject({ kind: 'ok' });
        expect(parsed.message).toBe(message);
        expect(Object.entries(parsed.fields).sort()).toEqual(Object.entries(some).sort());
      }),
    );
  });
});
