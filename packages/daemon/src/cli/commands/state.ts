import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { reasonOf } from '../../socket/socket-path.ts';
import { dumpStore, restoreStore } from '../../store/dump.ts';
import { StateStore } from '../../store/state-store.ts';
import { DEFAULT_STATE_DB } from '../../supervisor/daemon-options.ts';
import type { CommandContext } from '../cli-context.ts';
import { writeJson } from '../terminal.ts';

export interface StateOptions {
  readonly stateDbPath?: string | undefined;
  readonly file?: string | undefined;
}

/** `heddle state dump` and `heddle state restore`: the database of the teams daemon, which must not run. */
export async function state(action: string, options: StateOptions, context: CommandContext): Promise<void> {
  const path = resolve(options.stateDbPath ?? DEFAULT_STATE_DB);
  const deps = { unixMs: context.world.unixMs, randomId: randomUUID };
  if (action === 'dump') return dump(path, deps, context);
  if (action === 'restore') return restore(path, options.file, deps, context);
  throw new TailnetError('usage/bad-option', `"${action}" is neither dump nor restore`);
}

type Deps = Parameters<typeof StateStore.open>[1];

async function dump(path: string, deps: Deps, { terminal }: CommandContext): Promise<void> {
  // Opening would make one.
  if (!existsSync(path)) throw new TailnetError('state/missing', `There is no state database at "${path}"`);
  const store = await StateStore.open(path, deps);
  try {
    terminal.out(dumpStore(store));
  } finally {
    await store.close();
  }
}

async function restore(path: string, file: string | undefined, deps: Deps, context: CommandContext): Promise<void> {
  const { terminal, world } = context;
  const text = file === undefined || file === '-' ? await world.readInput() : readDump(file);
  const result = await restoreStore(path, text, deps);
  if (terminal.isJson) writeJson(terminal, result);
  else {
    const kept = result.keptPath === undefined ? '' : `; what was there is at ${result.keptPath}`;
    terminal.out(`Restored ${result.teamCount} teams into ${path}${kept}\n`);
  }
}

function readDump(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new TailnetError('state/bad-dump', `Cannot read "${file}" (${reasonOf(error)})`);
  }
}
