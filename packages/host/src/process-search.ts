import { readdirSync, readFileSync } from 'node:fs';
import { describeProcess, isProcessAlive, type ProcessIdentity } from './process-identity.ts';

/**
 * Finds living processes that were started with an argument that begins with `prefix`, ourselves excepted. Linux only;
 * elsewhere, and for processes the system hides, nothing is found.
 *
 * @param prefix Long enough to be ours alone: the path of a private folder.
 */
export function findProcessesByArgument(prefix: string): ProcessIdentity[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter((name) => /^[1-9][0-9]*$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && hasArgument(pid, prefix))
    .map((pid) => describeProcess(pid))
    .filter((identity) => isProcessAlive(identity));
}

// proc(5): /proc/PID/cmdline has a NUL after every argument.
function hasArgument(pid: number, prefix: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      .split('\0')
      .some((argument) => argument.startsWith(prefix));
  } catch {
    return false;
  }
}
