import type { StateEvent } from '../../schema/event.ts';

/** The line that says it worked. */
export function formatConnected(event: StateEvent): string {
  const count = event.peer_count ?? 0;
  return `Connected (${(event.addresses ?? []).join(', ')}) — ${count} ${count === 1 ? 'peer' : 'peers'} visible`;
}
