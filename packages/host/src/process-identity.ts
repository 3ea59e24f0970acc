import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readWindowsStartMark } from './windows-process.ts';

/**
 * A process that cannot be confused with a later one of the same number: process ids are reused, the pair of boot and
 * start time is not.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque; no white space, at most 40 characters. Empty where the system does not tell start times. */
  readonly startMark: string;
}

/** Describes the calling process. */
export function describeOwnProcess(): ProcessIdentity {
  return describeProcess(process.pid);
}

/** Describes a process that lives, for example a child that has not been waited for. */
export function describeProcess(pid: number): ProcessIdentity {
  const mark = readStartMark(pid);
  return { pid, startMark: mark === 'dead' ? '' : mark };
}

/**
 * True while that very process lives. A zombie is dead. Only processes of the same pid namespace can be judged; one of
 * another user that the system hides counts as alive, because the wrong answer "dead" would cost a second writer.
 */
export function isProcessAlive(identity: ProcessIdentity): boolean {
  const mark = readStartMark(identity.pid);
  if (mark === 'dead') return false;
  return mark === '' || identity.startMark === '' || mark === identity.startMark;
}

function readStartMark(pid: number): string | 'dead' {
  if (!isSignalable(pid)) return 'dead';
  if (process.platform === 'linux') return readLinuxStartMark(pid);
  return process.platform === 'win32' ? readWindowsStartMark(pid) : readPsStartMark(pid);
}

function isSignalable(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

// proc(5): /proc/PID/stat is `pid (name) state ppid …`; the name may hold blanks and parentheses, so the fields are
// counted from the last one. Field 3 is the state, field 22 the start in clock ticks since boot.
function readLinuxStartMark(pid: number): string | 'dead' {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return 'dead';
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1');
    return `${fields[19]}-${bootId.slice(0, 8)}`;
  } catch {
    return isSignalable(pid) ? '' : 'dead';
  }
}

function readPsStartMark(pid: number): string | 'dead' {
  try {
    const options = { encoding: 'utf8', timeout: 2000, env: { PATH: '/bin:/usr/bin', LC_ALL: 'C' } } as const;
    const text = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], options).trim();
    const [state = '', ...start] = text.split(/\s+/);
    return state.startsWith('Z') ? 'dead' : start.join('-');
  } catch {
    return '';
  }
}
