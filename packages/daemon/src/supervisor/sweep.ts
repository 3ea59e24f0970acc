import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isProcessAlive, type ProcessIdentity } from '@heddle/host/process-identity';
import { TEST_FILE } from '../drivers/team-paths.ts';

export interface SweepOptions {
  /** Processes an earlier supervisor has left: by its records, and by the folder in their command line. */
  readonly find: () => readonly ProcessIdentity[];
  readonly kill: (pid: number, signal: 'SIGTERM' | 'SIGKILL') => void;
  readonly isAlive?: (identity: ProcessIdentity) => boolean;
  readonly pause?: (ms: number) => Promise<unknown>;
  readonly log: (message: string, fields: Readonly<Record<string, number>>) => void;
}

const TERM_GRACE_MS = 5000;
const KILL_GRACE_MS = 1000;
const LOOK_EVERY_MS = 20;

/**
 * Ends the children of a supervisor that was killed, so that their devices and ports are free: SIGTERM, and SIGKILL 5 s
 * later. At most 6 s; at once when there are none.
 */
export async function sweepOrphans(options: SweepOptions): Promise<void> {
  const orphans = options.find();
  if (orphans.length === 0) return;
  for (const { pid } of orphans) {
    options.log('Ending a process that an earlier supervisor has left', { pid });
    signal(options, pid, 'SIGTERM');
  }
  const left = await waitForEnd(orphans, TERM_GRACE_MS, options);
  for (const { pid } of left) signal(options, pid, 'SIGKILL');
  await waitForEnd(left, KILL_GRACE_MS, options);
}

/**
 * Removes files that a supervisor left when it was killed while it wrote them; one may hold a key. `state` of a tailnet
 * looks after itself.
 */
export function removeLeftFiles(teamsDir: string): void {
  for (const entry of readdirSync(teamsDir, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    for (const name of readdirSync(join(teamsDir, entry.name))) {
      if (name === TEST_FILE || name.endsWith('.new')) rmSync(join(teamsDir, entry.name, name), { force: true });
    }
  }
}

async function waitForEnd(
  processes: readonly ProcessIdentity[],
  limitMs: number,
  { isAlive = isProcessAlive, pause = sleep }: SweepOptions,
): Promise<readonly ProcessIdentity[]> {
  let left = processes.filter((identity) => isAlive(identity));
  for (let waitedMs = 0; left.length > 0 && waitedMs < limitMs; waitedMs += LOOK_EVERY_MS) {
    await pause(LOOK_EVERY_MS);
    left = left.filter((identity) => isAlive(identity));
  }
  return left;
}

function signal({ kill }: SweepOptions, pid: number, name: 'SIGTERM' | 'SIGKILL'): void {
  try {
    kill(pid, name);
  } catch {
    // It has ended meanwhile.
  }
}
