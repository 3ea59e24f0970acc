import type { TeamChild } from './driver.ts';

const TERM_GRACE_MS = 5000;
const KILL_GRACE_MS = 1000;

/** How a child went: by itself, by force, or not at all (it hangs in the kernel). */
export type StopOutcome = 'stopped' | 'killed' | 'stuck';

/** SIGTERM, and SIGKILL 5 s later; resolves when the child is gone, at the latest after 6 s. */
export async function stopChild(child: TeamChild): Promise<StopOutcome> {
  child.signal('SIGTERM');
  if (await endsWithin(child, TERM_GRACE_MS)) return 'stopped';
  child.signal('SIGKILL');
  return (await endsWithin(child, KILL_GRACE_MS)) ? 'killed' : 'stuck';
}

async function endsWithin(child: TeamChild, limitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), limitMs);
  });
  const end = child.exited.then(() => true);
  try {
    return await Promise.race([end, limit]);
  } finally {
    clearTimeout(timer);
  }
}
