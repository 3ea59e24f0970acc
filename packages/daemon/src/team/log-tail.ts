import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

/** Enough for a thousand lines of most programs. */
const TAIL_BYTES_MAX = 262_144;

/**
 * The newest lines of a log file, oldest first; lines that are JSON as values, others as text. Reads at most 256 KiB from
 * its end; nothing when there is no such file.
 */
export function readLogTail(path: string, lineCountMax: number): unknown[] {
  const text = readTail(path);
  if (text === undefined) return [];
  return text
    .split('\n')
    .filter((line) => line !== '')
    .slice(-lineCountMax)
    .map(toValue);
}

/** The text from an offset on, as far back as 256 KiB from the end; `undefined` when there is no such file. */
export function readTail(path: string, fromOffset = 0): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    const { size } = fstatSync(fd);
    // A file that was emptied since starts anew.
    const wanted = size < fromOffset ? 0 : fromOffset;
    const start = Math.max(wanted, size - TAIL_BYTES_MAX);
    const bytes = new Uint8Array(size - start);
    const length = readSync(fd, bytes, 0, bytes.length, start);
    const text = new StringDecoder('utf8').write(Buffer.from(bytes.subarray(0, length)));
    // The first line is a part of one when reading began in its middle.
    return start > wanted ? text.slice(text.indexOf('\n') + 1) : text;
  } finally {
    closeSync(fd);
  }
}

function toValue(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return line;
  }
}
