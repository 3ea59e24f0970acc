import { copyFileSync, fstatSync, ftruncateSync, writeSync } from 'node:fs';
import type { LogRecord } from '../schema/reply.ts';

const LOG_BYTES_MAX = 8_388_608;

/**
 * Writes records as JSON lines to a descriptor opened for appending. Above 8 MiB the file is copied to `path`.1 and
 * emptied: the descriptor is also standard error, which cannot be reopened, and whoever follows the file keeps it.
 * While the disk is full lines are lost and counted; the count is written when there is room again.
 */
export function createLogFile(fd: number, path: string): (record: LogRecord) => void {
  let lostCount = 0;
  let writtenBytes = fstatSync(fd).size;
  return (record) => {
    if (writtenBytes > LOG_BYTES_MAX) {
      rotate(fd, path);
      writtenBytes = 0;
    }
    const lost = lostCount === 0 ? {} : { lostLines: lostCount };
    const text = `${JSON.stringify({ ...record, ...lost })}\n`;
    try {
      writtenBytes += writeSync(fd, text);
      lostCount = 0;
    } catch {
      lostCount++;
    }
  };
}

function rotate(fd: number, path: string): void {
  try {
    copyFileSync(path, `${path}.1`);
  } catch {
    // The old lines go without a copy: an ever growing log would be worse.
  }
  try {
    ftruncateSync(fd);
  } catch {
    // Not a regular file.
  }
}
