import { copyFileSync, renameSync, rmSync, statSync, truncateSync } from 'node:fs';

const LOG_BYTES_MAX = 10_485_760;
const KEPT_COUNT = 3;

/**
 * Empties a log that another program appends to once it has 10 MiB, keeping the last three as `.1` to `.3`. The program
 * has it open for appending and goes on at the new end; lines written during the copy may be lost.
 */
export function rotateLog(path: string, bytesMax: number = LOG_BYTES_MAX): void {
  try {
    if (statSync(path).size <= bytesMax) return;
    rmSync(`${path}.${KEPT_COUNT}`, { force: true });
    for (let i = KEPT_COUNT - 1; i >= 1; i--) moveIfThere(`${path}.${i}`, `${path}.${i + 1}`);
    copyFileSync(path, `${path}.1`);
  } catch {
    // No room for a copy, or no file: an ever growing log would be worse than a lost one.
  }
  try {
    if (statSync(path).size > bytesMax) truncateSync(path, 0);
  } catch {
    // No file.
  }
}

function moveIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch {
    // Not that many yet.
  }
}
