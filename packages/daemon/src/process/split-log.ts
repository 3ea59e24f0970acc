/**
 * The log of a daemon in two files: `debug` and `info` in one, `warn` and `error` in the other, each record in one of
 * them only. Records are written at once; the daemons say little enough for that.
 */

import type { LogRecord } from '../schema/reply.ts';
import { formatLogRecord, type LogFormat } from './log-text.ts';
import { RotatingFile } from './rotating-file.ts';

/** Of one file. With five older ones each, a log takes 120 MiB at most. */
export const SPLIT_LOG_BYTES_MAX = 10_485_760;
const KEPT_COUNT = 5;

export interface SplitLogOptions {
  /** For `debug` and `info`; undefined: standard error. */
  readonly logFile: string | undefined;
  /** For `warn` and `error`; undefined: standard error. */
  readonly errFile: string | undefined;
  readonly format: LogFormat;
  readonly bytesMax: number;
  /** `writeToFile`, unless a test fills the disk. Throws the system's error, and may write less than it was given. */
  readonly writeBytes: (fd: number, bytes: Uint8Array) => number;
}

export interface SplitLog {
  /** Never throws. While a disk is full lines are lost and counted; the next that fits has the count. */
  write(record: LogRecord): void;
  /** Opens both files again after somebody else has renamed them (SIGHUP). Files it cannot open stay as they are. */
  reopen(): void;
  /** Records that are written afterwards are dropped. */
  close(): void;
}

/**
 * Opens or makes the files.
 * @throws the system's error of a file that cannot be opened.
 */
export function openSplitLog(options: SplitLogOptions): SplitLog {
  const quiet = openStream(options.logFile, options);
  const loud = openLoud(quiet, options);
  let isClosed = false;
  return {
    write: (record) => {
      if (isClosed) return;
      if (record.level === 'warn' || record.level === 'error') loud.write(record);
      else quiet.write(record);
    },
    reopen: () => {
      if (isClosed) return;
      for (const stream of new Set([quiet, loud])) stream.sink.reopen();
    },
    close: () => {
      if (isClosed) return;
      isClosed = true;
      for (const stream of new Set([quiet, loud])) stream.sink.close();
    },
  };
}

/** Where lines go: a file, or standard error. */
interface Sink {
  append(line: string): boolean;
  reopen(): unknown;
  close(): void;
}

interface Stream {
  readonly sink: Sink;
  readonly write: (record: LogRecord) => void;
}

// One file under both names has one descriptor, or its two rotations would cross.
function openLoud(quiet: Stream, options: SplitLogOptions): Stream {
  if (options.errFile === options.logFile) return quiet;
  try {
    return openStream(options.errFile, options);
  } catch (error) {
    quiet.sink.close();
    throw error;
  }
}

function openStream(path: string | undefined, { format, bytesMax, writeBytes }: SplitLogOptions): Stream {
  const keptCount = KEPT_COUNT;
  const sink =
    path === undefined ? standardError(writeBytes) : new RotatingFile({ path, bytesMax, keptCount, writeBytes });
  let lostCount = 0;
  return {
    sink,
    write: (record) => {
      lostCount = sink.append(formatLogRecord(record, format, lostCount)) ? 0 : lostCount + 1;
    },
  };
}

const STANDARD_ERROR = 2;

function standardError(writeBytes: SplitLogOptions['writeBytes']): Sink {
  return {
    append: (line) => {
      const bytes = new TextEncoder().encode(line);
      try {
        return writeBytes(STANDARD_ERROR, bytes) === bytes.length;
      } catch {
        return false;
      }
    },
    reopen: () => {},
    close: () => {},
  };
}
