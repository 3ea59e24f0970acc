import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseStateDocument } from '@heddle/tailnet/state/state-document';

/** The server a state directory belongs to, so that a second `connect` needs no options. */
export function readRememberedServer(stateDir: string): string | undefined {
  for (const name of ['state.json', 'state.json.bak']) {
    try {
      const parsed = parseStateDocument(readFileSync(join(stateDir, name), 'utf8'));
      if (parsed.kind === 'ok') return parsed.document.controlUrl;
    } catch {
      // Missing or unreadable: the engine says what is wrong with it.
    }
  }
  return undefined;
}
