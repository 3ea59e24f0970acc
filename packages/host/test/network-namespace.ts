import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { expect } from 'vitest';

const CLONE_NEWNET = 0x40000000;

/**
 * Runs `test`, which is synchronous, while this thread is in an empty network namespace; says why where that is not
 * possible, and where a program that `test` starts fails.
 */
export function withNetworkNamespace(test: () => void): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux';
  const system = koffi.load(null);
  const enter = system.func('int setns(int, int)') as (fd: number, kind: number) => number;
  const home = openSync('/proc/thread-self/ns/net', 'r');
  try {
    if (system.func('int unshare(int)')(CLONE_NEWNET) !== 0)
      return 'needs the right to make a network namespace (root)';
    try {
      return runInside(test);
    } finally {
      expect(enter(home, CLONE_NEWNET), 'The thread is back home').toBe(0);
    }
  } finally {
    closeSync(home);
  }
}

function runInside(test: () => void): string | undefined {
  try {
    test();
    return undefined;
  } catch (error) {
    // Only a failed command has it: no iproute2, or a kernel without bridge, veth or tun.
    const { stderr } = error as { stderr?: Buffer | string };
    if (stderr === undefined) throw error;
    return `cannot set the tables up (${stderr.toString().trim()})`;
  }
}
