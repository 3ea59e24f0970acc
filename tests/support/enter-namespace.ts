import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';

const CLONE_NEWNET = 0x40000000;

/**
 * Moves this process (its main thread, and every child it starts from now on) into a named network namespace, for good:
 * only for a test file that has a process of its own. Needs root.
 */
export function enterNamespace(name: string): void {
  const fd = openSync(`/run/netns/${name}`, 'r');
  try {
    const setns = koffi.load(null).func('int setns(int, int)');
    if (setns(fd, CLONE_NEWNET) !== 0) throw new Error(`Cannot enter the network namespace ${name}`);
  } finally {
    closeSync(fd);
  }
}
